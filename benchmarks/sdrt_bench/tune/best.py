"""Chooses settings from a record, for presets and for the report."""

import math

from sdrt.errors import UsageError
from sdrt_bench.pareto import pareto, worth_at
from sdrt_bench.tune.record import Result, TuneRecord, as_points
from sdrt_bench.tune.setting import PEERS_STEPS, PLAIN, Setting

FAST_DB = 30.0
"""Median PSNR that the preset `fast` reaches at least."""
ALLOWED = 0.01
"""The share of attributes that it may show less."""


def best(
    record: TuneRecord,
    at_least_db: float | None = None,
    at_most_seconds: float | None = None,
    no_worse_than: Setting | None = None,
) -> Result:
    """Choose the fastest setting that comes close enough, or the closest one that is fast enough.

    `at_least_db` is of the median over the prompts. `no_worse_than` is a setting whose median and
    tenth percentile are to be reached. With either of them the fastest setting is chosen, without
    them the closest. Seconds are the predicted ones, which every setting has. Raises `UsageError`
    where nothing meets the conditions.
    """
    count = record.prompts
    painted = [result for result in record.results if count and len(result.psnr_db) >= count]
    low_median, low_p10 = -math.inf if at_least_db is None else at_least_db, -math.inf
    if no_worse_than is not None:
        other = next((result for result in painted if result.setting == no_worse_than), None)
        if other is None:
            raise UsageError(
                f"the record has no result of {no_worse_than.label} on {count} prompts; search "
                "for longer"
            )
        low_median = max(low_median, other.closeness(count).median)
        low_p10 = other.closeness(count).p10
    most = math.inf if at_most_seconds is None else at_most_seconds
    fitting = [
        result
        for result in painted
        if result.predicted_s <= most
        and result.closeness(count).median >= low_median
        and result.closeness(count).p10 >= low_p10
    ]
    if not fitting:
        wanted = [
            f"at least {low_median:.2f} dB" if low_median > -math.inf else "",
            f"{low_p10:.2f} dB at the tenth percentile" if low_p10 > -math.inf else "",
            f"at most {most:g} s" if most < math.inf else "",
        ]
        raise UsageError(
            f"none of {len(painted)} settings has {', '.join(filter(None, wanted))}; ask for "
            "less, or search for longer"
        )
    if at_least_db is None and no_worse_than is None:
        return max(fitting, key=lambda result: result.closeness(count).median)
    return min(fitting, key=lambda result: result.predicted_s)


def peers_default(record: TuneRecord) -> Setting:
    """What other tools do unless they are told otherwise."""
    return Setting(sampler="ddim", steps=PEERS_STEPS, spacing=record.identity.spacing)


def balanced(record: TuneRecord) -> Result | None:
    """The fastest setting that is no worse than the peers' default, if that was tried."""
    peers, count = peers_default(record), record.prompts
    tried = {result.setting for result in record.results if len(result.psnr_db) >= count}
    return best(record, no_worse_than=peers) if peers in tried else None


def fast(record: TuneRecord) -> Result | None:
    """The fastest setting at `FAST_DB` that shows as much of the prompts as the peers' default.

    One point less is allowed. None if the peers' default was not tried, or nothing is so good.
    """
    count, peers = record.prompts, peers_default(record)
    painted = [result for result in record.results if count and len(result.psnr_db) >= count]
    shown = next((each.accuracy(count) for each in painted if each.setting == peers), None)
    good = [
        result
        for result in painted
        if result.closeness(count).median >= FAST_DB
        and (shown is None or (result.accuracy(count) or 0.0) >= shown - ALLOWED)
    ]
    return min(good, key=lambda result: result.predicted_s, default=None)


def plain_db(record: TuneRecord, seconds: float) -> float | None:
    """Median PSNR that plain dpm++2m reaches in this time, between two numbers of steps.

    None for a time outside of those that were tried.
    """
    plain = [
        result
        for result in record.results
        if result.setting
        == Setting(sampler=PLAIN, steps=result.setting.steps, spacing=record.identity.spacing)
    ]
    return worth_at(as_points(plain, record.prompts), seconds)


def untricked_db(record: TuneRecord, seconds: float) -> float | None:
    """Median PSNR that the best samplers and schedulers reach in this time without a trick.

    It is interpolated along their front, beyond whose end nothing is added; None for a time that
    none of them is as fast as.
    """
    bare = [result for result in record.results if not result.setting.uses_trick]
    best_of_all = pareto(as_points(bare, record.prompts))
    if best_of_all and seconds > best_of_all[-1][0]:
        return best_of_all[-1][1]
    return worth_at(best_of_all, seconds)
