"""What the system tells of this process and of its neighbours; nothing where it is not Linux."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from sdrt_bench.bench.record import Noise

MHZ = re.compile(r"^cpu MHz\s*:\s*([\d.]+)", re.MULTILINE)
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# Fields of the first line of /proc/stat; those behind are counted in these already.
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
RESTING = ("idle", "iowait", "steal")


def resident_bytes() -> int | None:
    """Resident memory of this process."""
    return _bytes("/proc/self/status", "VmRSS")


def proportional_bytes() -> int | None:
    """Memory of this process; what it shares with others is divided among them."""
    return _bytes("/proc/self/smaps_rollup", "Pss")


@dataclass
class Memory:
    """Keeps the largest proportional memory that it was asked to look at."""

    peak: int | None = None

    def look(self) -> None:
        """Look now: some milliseconds, so between steps and never inside of one."""
        found = proportional_bytes()
        if found is not None:
            self.peak = max(self.peak or 0, found)


@dataclass(frozen=True)
class Times:
    """Processor time since the system started, seconds summed over processors."""

    by_field: dict[str, float]
    own: float
    """Of this process and the children that it waited for."""

    @classmethod
    def now(cls) -> "Times":
        """Empty where the system does not tell."""
        numbers = _read("/proc/stat").partition("\n")[0].split()[1:]
        fields = {name: int(ticks) / TICKS for name, ticks in zip(FIELDS, numbers, strict=False)}
        own = os.times()
        return cls(fields, own.user + own.system + own.children_user + own.children_system)


@dataclass(frozen=True)
class Watch:
    """Began to look at the machine; `noise` tells what happened since."""

    before: Times = field(default_factory=Times.now)
    mhz: float | None = field(default_factory=lambda: megahertz())

    def noise(self) -> Noise:
        """How quiet the machine was."""
        return noise_between(self.before, Times.now(), self.mhz, megahertz())


def noise_between(
    before: Times, after: Times, mhz_before: float | None, mhz_after: float | None
) -> Noise:
    """Shares of the processors' time between two readings."""
    spent = {
        name: max(0.0, seconds - before.by_field.get(name, seconds))
        for name, seconds in after.by_field.items()
    }
    total = sum(spent.values())
    if not total:
        return Noise(mhz_before=mhz_before, mhz_after=mhz_after)
    busy = sum(seconds for name, seconds in spent.items() if name not in RESTING)
    return Noise(
        steal_share=min(1.0, spent.get("steal", 0.0) / total),
        other_share=min(1.0, max(0.0, busy - (after.own - before.own)) / total),
        mhz_before=mhz_before,
        mhz_after=mhz_after,
    )


def megahertz() -> float | None:
    """Mean frequency of the processors now."""
    found = [float(text) for text in MHZ.findall(_read("/proc/cpuinfo"))]
    return round(sum(found) / len(found), 1) if found else None


def governor() -> str | None:
    """How the kernel chooses the first processor's frequency."""
    return _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None


def _bytes(path: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", _read(path), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
