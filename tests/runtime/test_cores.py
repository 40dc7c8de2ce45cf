"""Which cores a process computes on, on machines of many kinds: trees as the system shows them."""

import os
from pathlib import Path

import pytest

from sdrt.cores import Placement, placement
from tests.machines import hybrid, in_a_group, prime_and_small, tree, two_sockets


def threads(place: Placement) -> list[int]:
    """The first logical processor of each core in use."""
    return [core.processors[0] for core in place.cores]


def test_hyper_threads_of_a_core_count_once(tmp_path: Path) -> None:
    place = placement(tree(tmp_path, ["0,4", "1,5", "2,6", "3,7"] * 2), range(8))
    assert (place.threads, threads(place)) == (4, [0, 1, 2, 3])
    assert place.processors == set(range(8))
    assert not place.is_part
    assert place.reasons == ("4 processors of 8 share a core with another",)


def test_affinity_is_kept_to(tmp_path: Path) -> None:
    """Of a core of which one thread may be used, that one is used."""
    place = placement(tree(tmp_path, ["0,4", "1,5", "2,6", "3,7"] * 2), {1, 5, 6})
    assert (place.threads, threads(place)) == (2, [1, 6])
    assert place.processors == {1, 5, 6}
    assert "5 processors may not be used (affinity or container)" in place.reasons


@pytest.mark.parametrize(
    ("fast", "slow", "used"), [(6, 8, 6), (2, 4, 2), (2, 8, 10), (0, 4, 4)], ids=str
)
def test_performance_cores_compute_unless_others_are_far_more(
    tmp_path: Path, fast: int, slow: int, used: int
) -> None:
    place = placement(hybrid(tmp_path, fast, slow), range(2 * fast + slow))
    assert place.threads == used
    assert place.is_part == (used == fast)
    assert (f"{slow} efficiency cores would be waited for" in place.reasons) == place.is_part


def test_arm_cores_have_a_capacity(tmp_path: Path) -> None:
    place = placement(prime_and_small(tmp_path), range(8))
    assert threads(place) == [4, 5, 6, 7]


def test_one_run_stays_in_one_socket(tmp_path: Path) -> None:
    place = placement(two_sockets(tmp_path), range(16))
    assert threads(place) == list(range(8))
    assert place.is_part
    assert place.reasons == ("8 cores in other sockets, far from the memory in use",)
    # Where few of the first may be used, in the other.
    assert threads(placement(tmp_path, range(6, 16))) == list(range(8, 16))


@pytest.mark.parametrize(("count", "size"), [(2, 8), (4, 4), (8, 2), (3, 5), (16, 1), (20, 1)])
def test_processes_side_by_side_use_all_sockets_and_have_cores_of_their_own(
    tmp_path: Path, count: int, size: int
) -> None:
    shares = placement(two_sockets(tmp_path), range(16)).shares(count)
    assert len(shares) == count
    assert min(share.threads for share in shares) == size
    used = [number for share in shares for number in share.processors]
    assert set(used) == set(range(16))
    assert (len(used) == 16) == (count <= 16)
    if count in (4, 8, 16):
        assert all(len({core.node for core in share.cores}) == 1 for share in shares)


@pytest.mark.parametrize(
    ("files", "quota", "used"),
    [
        ({"cpu.max": "150000 100000"}, 1.5, 2),
        ({"cpu.max": "50000 100000"}, 0.5, 1),
        ({"cpu.max": "max 100000"}, None, 4),
        ({"cpu.max": "800000 100000"}, 8, 4),
        ({"cpu.max": "max 100000", "a.slice/b.service/cpu.max": "200000 100000"}, 2, 2),
        ({"a.slice/cpu.max": "100000 100000", "a.slice/b.service/cpu.max": "max 100000"}, 1, 1),
        ({"other.slice/cpu.max": "100000 100000"}, None, 4),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, 4),
        (
            {
                "cpu,cpuacct/docker/7/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000",
            },
            2,
            2,
        ),
        ({"cpu.max": "nonsense"}, None, 4),
    ],
)
def test_control_groups_allow_a_share_of_the_time(
    tmp_path: Path, files: dict[str, str], quota: float | None, used: int
) -> None:
    place = placement(in_a_group(tmp_path, files), range(4))
    assert (place.quota, place.threads) == (quota, used)
    limits = [reason for reason in place.reasons if "control group" in reason]
    assert bool(limits) == (used < 4)
    assert [share.threads for share in place.shares(2)] == [min(2, -(-used // 2))] * 2


def test_without_what_linux_shows_each_processor_is_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert placement(tmp_path, range(4)).threads == 4
    assert placement(tmp_path, ()).threads == 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert placement(tmp_path).threads == 6


def test_a_process_takes_its_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[object] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda who, which: taken.append(which))
    placement(two_sockets(tmp_path), range(16)).shares(4)[2].take()
    assert taken == [frozenset({8, 9, 10, 11})]
