"""Axes are marked with round numbers."""

from itertools import pairwise

import pytest

from sdrt_bench.charts.axes import ticks, whole_ticks


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (21.3, 78.9), (-3, 0.2), (0.0012, 0.0019), (999, 1001), (5, 5), (0, 0)],
)
def test_ticks_are_round_and_hold_all_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 10
    steps = [b - a for a, b in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))
    mantissa = f"{steps[0]:e}".partition("e")[0].rstrip("0").rstrip(".")
    assert mantissa in ("1", "2", "2.5", "5")


@pytest.mark.parametrize("last", [1, 2, 5, 20, 50, 137, 1000])
def test_ticks_of_counted_things_are_whole_and_mark_both_ends(last: int) -> None:
    found = whole_ticks(1, last)
    assert (found[0], found[-1]) == (1, last)
    assert all(tick.is_integer() for tick in found)
    assert found == sorted(set(found))
    assert len(found) <= 12
