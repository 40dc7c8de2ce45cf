"""From the raw samples of a cell to its figures, and whether they are to be trusted."""

import statistics
from collections.abc import Sequence

import numpy as np

from sdrt_bench.bench.record import Round, Stats

HOUR = 3600

# Over any of these a cell's times are not to be trusted.
SPREAD = 0.10
"""Of the middle 80 % of the steps, as a share of their median."""
STEAL = 0.02
OTHERS = 0.05
FREQUENCY = 0.05
DRIFT = 0.05
"""Between the medians of two rounds, as a share of the smaller."""


def steps_that_count(rounds: Sequence[Round]) -> list[float]:
    """All rounds' steps but each round's first, which also warms up; seconds."""
    return [seconds for one in rounds for seconds in one.step_s[1:]]


def stats_of(rounds: Sequence[Round]) -> Stats | None:
    """None where no round has a second step."""
    data = steps_that_count(rounds)
    if not data:
        return None
    median, mean = statistics.median(data), statistics.fmean(data)
    p10, p90 = (float(value) for value in np.percentile(data, (10, 90)))
    return Stats(
        data=tuple(data),
        rounds=len(data),
        min=min(data),
        max=max(data),
        mean=mean,
        stddev=statistics.stdev(data) if len(data) > 1 else 0.0,
        median=median,
        p10=p10,
        p90=p90,
        mad=statistics.median(abs(one - median) for one in data),
        ops=1 / mean if mean else 0.0,
    )


def images_per_hour(rounds: Sequence[Round], batch: int) -> float | None:
    """From the median of the rounds."""
    times = [one.image_s for one in rounds if one.image_s]
    return HOUR * batch / statistics.median(times) if times else None


def noisy(rounds: Sequence[Round]) -> tuple[str, ...]:
    """A sentence for each limit that was crossed."""
    return tuple(sentence for sentence in (*_of_steps(rounds), *_of_machine(rounds)) if sentence)


def _of_steps(rounds: Sequence[Round]) -> list[str]:
    found = stats_of(rounds)
    if found is None or not found.median:
        return []
    sentences = []
    spread = (found.p90 - found.p10) / found.median
    if spread > SPREAD:
        sentences.append(
            f"the middle 80 % of the steps spread over {_percent(spread)} of their median "
            f"(limit {_percent(SPREAD)})"
        )
    medians = [statistics.median(one.step_s[1:]) for one in rounds if len(one.step_s) > 1]
    drift = max(medians) / min(medians) - 1 if min(medians) else 0.0
    if drift > DRIFT:
        sentences.append(
            f"the medians of its rounds differ by {_percent(drift)} (limit {_percent(DRIFT)})"
        )
    return sentences


def _of_machine(rounds: Sequence[Round]) -> list[str]:
    steal = max((one.noise.steal_share or 0.0 for one in rounds), default=0.0)
    others = max((one.noise.other_share or 0.0 for one in rounds), default=0.0)
    changes = [
        abs(one.noise.mhz_after / one.noise.mhz_before - 1)
        for one in rounds
        if one.noise.mhz_before and one.noise.mhz_after
    ]
    change = max(changes, default=0.0)
    return [
        f"the hypervisor gave {_percent(steal)} of the processors' time to others "
        f"(limit {_percent(STEAL)})"
        if steal > STEAL
        else "",
        f"other processes took {_percent(others)} of the processors' time "
        f"(limit {_percent(OTHERS)})"
        if others > OTHERS
        else "",
        f"the processors' frequency changed by {_percent(change)} (limit {_percent(FREQUENCY)})"
        if change > FREQUENCY
        else "",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
