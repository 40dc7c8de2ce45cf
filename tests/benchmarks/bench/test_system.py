"""What the system tells."""

import pytest

from sdrt_bench.bench.process_stats import Memory, Times, Watch, noise_between, resident_bytes


def times(own: float, **fields: float) -> Times:
    return Times({"user": 0, "idle": 0, "steal": 0, **fields}, own)


def test_others_are_what_was_busy_and_not_this_process() -> None:
    before = times(5, user=10, idle=100, steal=1)
    found = noise_between(before, times(11, user=20, idle=108, steal=3), 2000, 2100)
    assert found.steal_share == pytest.approx(2 / 20)
    assert found.other_share == pytest.approx(4 / 20)
    assert (found.mhz_before, found.mhz_after) == (2000, 2100)


def test_nothing_is_said_where_the_system_does_not_tell() -> None:
    found = noise_between(Times({}, 0), Times({}, 1), None, None)
    assert found.model_dump() == dict.fromkeys(found.model_dump())


def test_shares_stay_shares_when_readings_do_not_fit() -> None:
    found = noise_between(times(0, user=1, idle=5), times(9, user=2, idle=4), None, None)
    assert found.other_share == 0


def test_this_machine_tells() -> None:
    memory = Memory()
    memory.look()
    assert 0 < (memory.peak or 0) <= 2 * (resident_bytes() or 0)
    noise = Watch().noise()
    assert noise.other_share is None or 0 <= noise.other_share <= 1
