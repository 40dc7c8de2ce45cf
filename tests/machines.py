"""Machines of many kinds, as trees of the files in which the system shows them."""

from collections.abc import Mapping
from pathlib import Path


def tree(
    root: Path,
    siblings: list[str],
    packages: list[int] | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """What a machine shows of its processors: for each, those that share its core."""
    cpus = root / "sys/devices/system/cpu"
    named = {f"cpu{i}/topology/thread_siblings_list": text for i, text in enumerate(siblings)}
    for i, package in enumerate(packages or []):
        named[f"cpu{i}/topology/physical_package_id"] = str(package)
    named["online"] = f"0-{len(siblings) - 1}"
    contents = {cpus / name: text for name, text in named.items()}
    contents |= {root / name: text for name, text in (files or {}).items()}
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def hybrid(root: Path, fast: int, slow: int) -> Path:
    """An Intel laptop: performance cores have two threads each, efficiency cores one."""
    siblings = [f"{i - i % 2}-{i - i % 2 + 1}" for i in range(2 * fast)]
    siblings += [str(2 * fast + i) for i in range(slow)]
    atoms = {"sys/devices/cpu_atom/cpus": f"{2 * fast}-{2 * fast + slow - 1}"}
    return tree(root, siblings, files=atoms)


def prime_and_small(root: Path) -> Path:
    """An Arm processor: four small cores, three large ones and one prime core."""
    capacities = [250] * 4 + [900] * 3 + [1024]
    files = {
        f"sys/devices/system/cpu/cpu{i}/cpu_capacity": str(capacity)
        for i, capacity in enumerate(capacities)
    }
    return tree(root, [str(i) for i in range(8)], files=files)


def two_sockets(root: Path) -> Path:
    """Two of eight cores, each with two NUMA nodes."""
    nodes = {f"sys/devices/system/node/node{i}/cpulist": f"{4 * i}-{4 * i + 3}" for i in range(4)}
    return tree(root, [str(i) for i in range(16)], [0] * 8 + [1] * 8, nodes)


def in_a_group(root: Path, files: Mapping[str, str]) -> Path:
    """Four cores, and control groups around a process that is in one of a service."""
    named = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    named["proc/self/cgroup"] = "4:cpu,cpuacct:/docker/7\n0::/a.slice/b.service"
    return tree(root, ["0", "1", "2", "3"], files=named)
