"""The machine that something was measured on, and the commit of the sources."""

import platform
import subprocess
from pathlib import Path

from sdrt import machine
from sdrt.cores import placement
from sdrt_bench.bench.process_stats import governor
from sdrt_bench.bench.record import CommitInfo, MachineInfo, Peak
from sdrt_bench.bench.worker import versions


def machine_info(peaks: tuple[Peak, ...] = ()) -> MachineInfo:
    """Describe this machine."""
    return MachineInfo(
        node=platform.node(),
        processor=machine.processor(),
        instruction_sets=machine.instruction_sets(),
        cores=len(placement().usable),
        memory_bytes=machine.memory_bytes()[0],
        system=platform.platform(),
        python=platform.python_version(),
        governor=governor(),
        versions=versions(),
        peaks=peaks,
    )


def commit_info(folder: Path = Path(__file__).parent) -> CommitInfo:
    """Give the commit of the checkout that these sources lie in, if it is one of sdrt."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    # Installed inside of somebody's repository, sources are not part of it.
    if not top or not _git(folder, "ls-files", Path(__file__).name):
        return CommitInfo()
    return CommitInfo(
        id=_git(folder, "rev-parse", "HEAD") or "unknown",
        dirty=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    )


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
