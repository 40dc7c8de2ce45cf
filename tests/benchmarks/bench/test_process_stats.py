"""What the system tells."""

import pytest

from sdrt_bench.bench.process_stats import (
    CpuTimes,
    LoadMonitor,
    PeakMemory,
    resident_bytes,
    system_load_between,
)


def times(own: float, **fields: float) -> CpuTimes:
    return CpuTimes({"user": 0, "idle": 0, "steal": 0, **fields}, own)


def test_others_are_what_was_busy_and_not_this_process() -> None:
    before = times(5, user=10, idle=100, steal=1)
    load = system_load_between(before, times(11, user=20, idle=108, steal=3), 2000, 2100)
    assert load.steal_share == pytest.approx(2 / 20)
    assert load.other_processes_share == pytest.approx(4 / 20)
    assert (load.mhz_before, load.mhz_after) == (2000, 2100)


def test_nothing_is_said_where_the_system_does_not_tell() -> None:
    load = system_load_between(CpuTimes({}, 0), CpuTimes({}, 1), None, None)
    assert load.model_dump() == dict.fromkeys(load.model_dump())


def test_shares_stay_shares_when_readings_do_not_fit() -> None:
    load = system_load_between(times(0, user=1, idle=5), times(9, user=2, idle=4), None, None)
    assert load.other_processes_share == 0


def test_this_machine_tells() -> None:
    memory = PeakMemory()
    memory.sample()
    assert 0 < (memory.peak or 0) <= 2 * (resident_bytes() or 0)
    system_load = LoadMonitor().system_load()
    assert system_load.other_processes_share is None or 0 <= system_load.other_processes_share <= 1
