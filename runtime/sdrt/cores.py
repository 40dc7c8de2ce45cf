"""Which cores a process computes on, and why: what the system says of them, and its limits.

Engines want one thread for each physical core: hyper-threads share the units that multiply, and a
thread on a slow core, or far from its memory, is one that all others wait for.
"""

import math
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

SLOW = 0.75  # of the fastest core's capacity; below it a core counts as an efficiency core
MANY = 2  # times as many efficiency cores as performance cores are worth waiting for
CPUS = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Core:
    """A physical core."""

    processors: tuple[int, ...]
    """The logical processors of it that may be used: its hyper-threads."""
    package: str = "0"
    """The processor in its socket that it belongs to."""
    node: int = 0
    """The NUMA node whose memory is near."""
    is_efficient: bool = False
    """Whether it is one of the slow cores of a hybrid processor."""


@dataclass(frozen=True)
class Placement:
    """The cores that a process computes on."""

    cores: tuple[Core, ...]
    """The cores in use, which are a part of those that may be used."""
    usable: tuple[Core, ...]
    """The cores that the process may use."""
    quota: float | None = None
    """Processors' worth of time that control groups allow; None without a limit."""
    reasons: tuple[str, ...] = ()
    """Why not every processor of the machine has a thread: sentences without a full stop."""

    @property
    def threads(self) -> int:
        """How many threads compute."""
        return max(1, min(len(self.cores), math.ceil(self.quota or len(self.cores))))

    @cached_property
    def processors(self) -> frozenset[int]:
        """The logical processors of the cores in use."""
        return frozenset(number for core in self.cores for number in core.processors)

    @property
    def is_part(self) -> bool:
        """Whether cores are left out, so that threads have to be kept off them."""
        return len(self.cores) < len(self.usable)

    def shares(self, count: int) -> "list[Placement]":
        """As many placements for processes that work side by side, apart from each other.

        Each has cores of one NUMA node as far as that goes evenly. Where there are fewer cores than
        processes, cores are shared, one for each process.
        """
        by_node = sorted(self.usable, key=lambda core: (core.is_efficient, core.node))
        quota = self.quota / count if self.quota else None
        if len(by_node) < count:
            lists = [[by_node[i % len(by_node)]] for i in range(count)]
        else:
            ends = [len(by_node) * i // count for i in range(count + 1)]
            lists = [by_node[ends[i] : ends[i + 1]] for i in range(count)]
        return [replace(self, cores=tuple(cores), quota=quota) for cores in lists]

    def take(self) -> None:
        """Keep this process, and what it starts, on its processors, where the system allows it."""
        if self.processors and hasattr(os, "sched_setaffinity"):
            with suppress(OSError):
                os.sched_setaffinity(0, self.processors)


def default_threads() -> int:
    """How many threads a process computes with unless it is told."""
    return placement().threads


def placement(root: Path = Path("/"), allowed: Collection[int] | None = None) -> Placement:
    """Where this process is to compute.

    `root` is where `sys` and `proc` are; `allowed` are the logical processors that the process may
    use, by default its affinity, of which a container's set of processors is a part.
    """
    allowed = _affinity() if allowed is None else allowed
    usable = tuple(_cores(root, allowed))
    reasons = []
    if hidden := len(allowed) - len(usable):
        reasons.append(f"{_count(hidden, 'processor')} of {len(allowed)} share a core with another")
    online = _numbers(system_text(root / CPUS / "online"))
    if excluded := len(online.difference(allowed)):
        reasons.append(f"{_count(excluded, 'processor')} may not be used (affinity or container)")
    chosen, said = _without_slow(usable)
    reasons += said
    chosen, said = _of_one_package(chosen)
    reasons += said
    quota = _quota(root)
    if quota and math.ceil(quota) < len(chosen):
        reasons.append(f"a control group allows the time of {quota:g} processors")
    return Placement(chosen, usable, quota, tuple(reasons))


def control_group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The control group of this process and those around it, of version 2, or 1 with a controller.

    In a container the group's path may be the host's; what is not there is left out.
    """
    base = root / "sys/fs/cgroup"
    for line in system_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and controller not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for name in {controller, controllers} if controllers else {""}:
            yield from (base / name / parent for parent in (group, *group.parents))
    # A container that shows its own group only, whatever its path is outside.
    yield from (base, base / controller)


def system_text(path: str | Path) -> str:
    """What the system shows in a file, without space around it; empty where it shows nothing."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cores(root: Path, allowed: Collection[int]) -> Iterator[Core]:
    """The physical cores of the processors that may be used, in the order of their numbers."""
    nodes = {
        number: int(folder.name.removeprefix("node"))
        for folder in (root / "sys/devices/system/node").glob("node[0-9]*")
        for number in _numbers(system_text(folder / "cpulist"))
    }
    efficient = _efficient(root, allowed)
    seen: set[int] = set()
    for number in sorted(allowed):
        topology = root / CPUS / f"cpu{number}" / "topology"
        siblings = _numbers(system_text(topology / "thread_siblings_list")) or {number}
        if number in seen:
            continue
        seen |= siblings
        yield Core(
            tuple(sorted(siblings.intersection(allowed))),
            system_text(topology / "physical_package_id") or "0",
            nodes.get(number, 0),
            number in efficient,
        )


def _efficient(root: Path, allowed: Collection[int]) -> set[int]:
    """The processors that are slower than others by their kind.

    Intel's hybrid processors list them; Arm's have a capacity.
    """
    listed = _numbers(system_text(root / "sys/devices/cpu_atom/cpus"))
    if listed:
        return listed
    capacities = {
        number: int(text)
        for number in allowed
        if (text := system_text(root / CPUS / f"cpu{number}" / "cpu_capacity")).isdecimal()
    }
    fastest = max(capacities.values(), default=0)
    return {number for number, capacity in capacities.items() if capacity < SLOW * fastest}


def _without_slow(cores: tuple[Core, ...]) -> tuple[tuple[Core, ...], list[str]]:
    """The performance cores, unless there are so many others that they are faster together."""
    fast = tuple(core for core in cores if not core.is_efficient)
    slow = len(cores) - len(fast)
    if not (fast and slow) or slow > MANY * len(fast):
        return cores, []
    return fast, [f"{_count(slow, 'efficiency core')} would be waited for"]


def _of_one_package(cores: tuple[Core, ...]) -> tuple[tuple[Core, ...], list[str]]:
    """The cores of one socket, that with most: two would wait for each other's memory."""
    packages: dict[str, list[Core]] = {}
    for core in cores:
        packages.setdefault(core.package, []).append(core)
    most = max(packages.values(), key=len, default=[])
    left = len(cores) - len(most)
    if not left:
        return cores, []
    return tuple(most), [f"{_count(left, 'core')} in other sockets, far from the memory in use"]


def _quota(root: Path) -> float | None:
    """The least processors' worth of time that a control group around this process allows."""
    quotas = []
    for folder in control_group_folders(root, "cpu"):
        parts = system_text(folder / "cpu.max").split()
        if not parts:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            parts = [system_text(folder / name) for name in names]
        if len(parts) == 2 and all(part.isdecimal() and int(part) for part in parts):
            quotas.append(int(parts[0]) / int(parts[1]))
    return min(quotas, default=None)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _numbers(text: str) -> set[int]:
    """The numbers of a list such as "0-3,8", as the system writes them."""
    numbers: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
