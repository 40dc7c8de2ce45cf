"""A slower cell is named, and chance is not taken for one."""

import pytest

from sdrt.errors import RegressionError, UsageError
from sdrt_bench.bench.record import MachineInfo
from sdrt_bench.bench.regression import compare, ratio_interval, read_threshold
from tests.benchmarks.bench.records import cell, record, rounds_of


def noisy(step: float, seed: int) -> dict[str, object]:
    return {"seed": seed, "spread": 0.03, "drift": 0.02}


@pytest.mark.parametrize("seed", range(8))
def test_equal_cells_in_noise_are_the_same(seed: int) -> None:
    old = record(cell(2.0, None, noisy(2.0, seed)))
    new = record(cell(2.0, None, noisy(2.0, seed + 100)))
    comparison = compare(old, new, 0.05)
    assert [change.verdict for change in comparison.changes] == ["same"]
    comparison.check()


@pytest.mark.parametrize("seed", range(8))
def test_a_cell_that_became_a_quarter_slower_is_worse(seed: int) -> None:
    old = record(cell(2.0, None, noisy(2.0, seed)), cell(1.0, {"precision": "fp32"}))
    new = record(cell(2.5, None, noisy(2.5, seed + 100)), cell(1.0, {"precision": "fp32"}))
    comparison = compare(old, new, 0.05)
    assert [change.verdict for change in comparison.changes] == ["worse", "same"]
    with pytest.raises(RegressionError, match=r"1 of 2 cells .* openvino bf16, .*--threshold"):
        comparison.check()
    back = compare(new, old, 0.05)
    assert [change.verdict for change in back.changes] == ["better", "same"]


def test_slower_by_less_than_allowed_is_the_same() -> None:
    comparison = compare(record(cell(2.0)), record(cell(2.5)), 0.5)
    assert comparison.changes[0].verdict == "same"
    assert comparison.changes[0].ratio == pytest.approx(1.25, abs=0.01)


def test_the_interval_is_the_same_each_time_and_holds_the_truth() -> None:
    old, new = (
        [measured.step_s for measured in rounds_of(step, count=5, steps=20, seed=seed)]
        for step, seed in ((2.0, 1), (2.2, 2))
    )
    low, high = ratio_interval(old, new)
    assert (low, high) == ratio_interval(old, new)
    assert low < 1.1 < high
    assert high - low < 0.05


def test_rounds_that_differ_widen_the_interval() -> None:
    still, drifting = (
        [measured.step_s for measured in rounds_of(2.0, count=5, steps=20, drift=drift, seed=3)]
        for drift in (0.0, 0.2)
    )
    narrow, wide = (ratio_interval(still, rounds) for rounds in (still, drifting))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_of_too_few_steps_nothing_is_said() -> None:
    old = record(cell(2.0, None, {"count": 1, "steps": 3}))
    new = record(cell(9.0, None, {"count": 1, "steps": 3}))
    (change,) = compare(old, new, 0.05).changes
    assert change.verdict == "unknown"
    assert "fewer than" in change.to_text()


def test_a_cell_that_fails_now_is_worse_and_cells_of_one_side_are_listed() -> None:
    good = cell(2.0)
    failed = good.model_copy(
        update={"status": "failed", "error": "killed", "rounds": (), "stats": None}
    )
    gone, come = cell(1.0, {"width": 64}), cell(1.0, {"width": 128})
    comparison = compare(record(good, gone), record(failed, come), 0.05)
    assert [change.verdict for change in comparison.changes] == ["worse"]
    text = comparison.to_text()
    assert "new failed: killed" in text
    assert "only old openvino bf16, sd15 64x512" in text
    assert "only new openvino bf16, sd15 128x512" in text


def test_memory_is_compared_too() -> None:
    old, new = (record(cell(2.0, None, {"peak": peak})) for peak in (10**9, 15 * 10**8))
    assert "peak RSS x 1.500" in compare(old, new, 0.05).to_text()


def test_records_of_unlike_machines_are_refused_unless_one_insists() -> None:
    old, new = record(cell(2.0)), record(cell(2.0))
    other = MachineInfo(**{**new.machine_info.model_dump(), "processor": "Xeon 8488C"})
    moved = new.model_copy(update={"machine_info": other})
    with pytest.raises(UsageError, match=r"AMD EPYC 9005.*Xeon 8488C.*--other-machine"):
        compare(old, moved, 0.05)
    assert compare(old, moved, 0.05, is_other_machine=True).changes


def test_two_cells_that_were_asked_for_alike_are_matched_in_their_order() -> None:
    pair = record(cell(2.0), cell(4.0))
    comparison = compare(pair, pair, 0.05)
    assert [change.ratio for change in comparison.changes] == [1.0, 1.0]


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), (" 2.5 % ", 0.025), ("0.1", 0.1)])
def test_a_threshold_is_a_share_or_percents(text: str, share: float) -> None:
    assert read_threshold(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "five", "-1%", "nan", "5000%"])
def test_other_thresholds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="such as 5%"):
        read_threshold(text)
