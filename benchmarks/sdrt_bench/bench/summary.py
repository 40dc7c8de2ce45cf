"""Figures of a cell from its raw samples, and reasons why its times cannot be trusted."""

import statistics
from collections.abc import Sequence

import numpy as np

from sdrt_bench.bench.record import Cell, Compute, Peak, Round, Stats

HOUR = 3600

# A cell's times cannot be trusted where a figure is above any of these limits.
SPREAD = 0.10  # from p10 to p90 of the steps, as a share of their median
STEAL = 0.02
OTHERS = 0.05
FREQUENCY = 0.05
DRIFT = 0.05  # between the medians of two rounds, as a share of the smaller


def steps_that_count(rounds: Sequence[Round]) -> list[float]:
    """Give all rounds' steps but each round's first, which also warms up; seconds."""
    return [seconds for measured in rounds for seconds in measured.step_s[1:]]


def stats_of(rounds: Sequence[Round]) -> Stats | None:
    """Give the figures of all steps; None where no round has a second step."""
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
        mad=statistics.median(abs(step - median) for step in data),
        ops=1 / mean if mean else 0.0,
    )


def images_per_hour(rounds: Sequence[Round], batch: int) -> float | None:
    """Give the rate of images at the median time of the rounds."""
    times = [measured.image_s for measured in rounds if measured.image_s]
    return HOUR * batch / statistics.median(times) if times else None


def timing_warnings(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Give a sentence for each limit that was crossed."""
    return tuple(sentence for sentence in (*_of_steps(rounds), *_of_load(rounds)) if sentence)


def _of_steps(rounds: Sequence[Round]) -> list[str]:
    stats = stats_of(rounds)
    if stats is None or not stats.median:
        return []
    sentences = []
    spread = (stats.p90 - stats.p10) / stats.median
    if spread > SPREAD:
        sentences.append(
            f"the middle 80 % of the steps spread over {_percent(spread)} of their median "
            f"(limit {_percent(SPREAD)})"
        )
    medians = [
        statistics.median(measured.step_s[1:]) for measured in rounds if len(measured.step_s) > 1
    ]
    drift = max(medians) / min(medians) - 1 if min(medians) else 0.0
    if drift > DRIFT:
        sentences.append(
            f"the medians of its rounds differ by {_percent(drift)} (limit {_percent(DRIFT)})"
        )
    return sentences


def _of_load(rounds: Sequence[Round]) -> list[str]:
    loads = [measured.system_load for measured in rounds]
    steal = max((load.steal_share or 0.0 for load in loads), default=0.0)
    others = max((load.other_processes_share or 0.0 for load in loads), default=0.0)
    changes = [
        abs(load.mhz_after / load.mhz_before - 1)
        for load in loads
        if load.mhz_before and load.mhz_after
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


def compute_of(cell: Cell, macs: tuple[int, int], peaks: Sequence[Peak]) -> Compute:
    """Give the operations of a step, how fast they were done, and this machine's peak.

    `macs` are the multiply-adds of a step, and those of attention among them.
    """
    total, attention = (2 * count / 1e9 for count in macs)
    achieved = total / cell.stats.median if cell.stats and cell.stats.median else None
    peak = _peak_gflops(cell, peaks)
    return Compute(
        gflop_per_step=total,
        gflop_attention=attention,
        achieved_gflops=achieved,
        peak_gflops=peak,
        share_of_peak=achieved / peak if achieved and peak else None,
    )


def _peak_gflops(cell: Cell, peaks: Sequence[Peak]) -> float | None:
    """Harmonic mean, by shares, of what the better of both layers reached in each precision."""
    shares = cell.precision.shares if cell.precision else {}
    best: dict[str, float] = {}
    for peak in peaks:
        if (peak.backend, peak.threads) == (cell.params.backend, cell.params.threads):
            best[peak.executed] = max(best.get(peak.executed, 0.0), peak.gflops)
    measured = {name: share for name, share in shares.items() if name in best}
    if not measured:
        return None
    return sum(measured.values()) / sum(share / best[name] for name, share in measured.items())
