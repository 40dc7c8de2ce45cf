"""The C++ library computes on the cores that Python would."""

from collections.abc import Callable
from pathlib import Path

from sdrt.cores import placement
from tests.cpp.commands import Ask
from tests.machines import hybrid, in_a_group, prime_and_small, tree, two_sockets

MACHINES: list[tuple[Callable[[Path], object], set[int]]] = [
    (lambda root: tree(root, ["0,4", "1,5", "2,6", "3,7"] * 2), set(range(8))),
    (lambda root: tree(root, ["0,4", "1,5", "2,6", "3,7"] * 2), {1, 5, 6}),
    (lambda root: hybrid(root, 6, 8), set(range(20))),
    (lambda root: hybrid(root, 2, 8), set(range(12))),
    (lambda root: hybrid(root, 0, 4), set(range(4))),
    (prime_and_small, set(range(8))),
    (two_sockets, set(range(16))),
    (two_sockets, set(range(6, 16))),
    (lambda root: in_a_group(root, {"cpu.max": "150000 100000"}), set(range(4))),
    (lambda root: in_a_group(root, {"cpu.max": "max 100000"}), set(range(4))),
    (lambda root: in_a_group(root, {"a.slice/cpu.max": "50000 100000"}), set(range(4))),
    (lambda root: in_a_group(root, {"other/cpu.max": "50000 100000"}), set(range(4))),
    (
        lambda root: in_a_group(
            root,
            {
                "cpu,cpuacct/docker/7/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000",
            },
        ),
        set(range(4)),
    ),
    (lambda root: in_a_group(root, {"cpu.max": "nonsense"}), set(range(4))),
    (lambda root: root.mkdir(), {0, 1, 2}),
    (lambda root: root.mkdir(), set()),
]


def test_cores_are_chosen_as_in_python(results: Ask, tmp_path: Path) -> None:
    commands, expected = [], []
    for number, (make, allowed) in enumerate(MACHINES):
        root = tmp_path / str(number)
        make(root)
        commands.append({"op": "cores", "root": str(root), "allowed": sorted(allowed)})
        place = placement(root, allowed)
        expected.append(
            {
                "threads": place.threads,
                "processors": sorted(place.processors),
                "is_part": place.is_part,
            }
        )
    assert results(*commands) == expected
    assert len({str(answer) for answer in expected}) > 9
