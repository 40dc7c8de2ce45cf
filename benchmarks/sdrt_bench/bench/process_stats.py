"""Memory of this process, and load of the machine; empty where the system is not Linux."""

import os
import re
from dataclasses import dataclass, field

from sdrt.cores import system_text
from sdrt_bench.bench.record import SystemLoad

MHZ = re.compile(r"^cpu MHz\s*:\s*([\d.]+)", re.MULTILINE)
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# Fields of the first line of /proc/stat; those behind are counted in these already.
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
RESTING = ("idle", "iowait", "steal")


def resident_bytes() -> int | None:
    """Measure the resident memory of this process."""
    return _bytes("/proc/self/status", "VmRSS")


def proportional_bytes() -> int | None:
    """Measure this process's memory; what it shares with others is divided among them."""
    return _bytes("/proc/self/smaps_rollup", "Pss")


@dataclass
class PeakMemory:
    """The largest of all samples of the proportional memory."""

    peak: int | None = None

    def sample(self) -> None:
        """Take a sample; it takes milliseconds, so do it between steps."""
        present = proportional_bytes()
        if present is not None:
            self.peak = max(self.peak or 0, present)


@dataclass(frozen=True)
class CpuTimes:
    """Processor time since the system started, seconds summed over processors."""

    by_field: dict[str, float]
    process_s: float
    """This process and its finished children took so long."""

    @classmethod
    def now(cls) -> "CpuTimes":
        """Read the present times; empty where the system does not report them."""
        numbers = system_text("/proc/stat").partition("\n")[0].split()[1:]
        fields = {name: int(ticks) / TICKS for name, ticks in zip(FIELDS, numbers, strict=False)}
        times = os.times()
        return cls(fields, sum(times[:4]))  # in user and kernel mode, of children also


@dataclass(frozen=True)
class LoadMonitor:
    """Measures the load of the machine since the object was made."""

    before: CpuTimes = field(default_factory=CpuTimes.now)
    mhz: float | None = field(default_factory=lambda: megahertz())

    def system_load(self) -> SystemLoad:
        """Give the load since then."""
        return system_load_between(self.before, CpuTimes.now(), self.mhz, megahertz())


def system_load_between(
    before: CpuTimes, after: CpuTimes, mhz_before: float | None, mhz_after: float | None
) -> SystemLoad:
    """Give shares of the processors' time between two readings."""
    spent = {
        name: max(0.0, seconds - before.by_field.get(name, seconds))
        for name, seconds in after.by_field.items()
    }
    total = sum(spent.values())
    if not total:
        return SystemLoad(mhz_before=mhz_before, mhz_after=mhz_after)
    busy = sum(seconds for name, seconds in spent.items() if name not in RESTING)
    others = max(0.0, busy - (after.process_s - before.process_s))
    return SystemLoad(
        steal_share=min(1.0, spent.get("steal", 0.0) / total),
        other_processes_share=min(1.0, others / total),
        mhz_before=mhz_before,
        mhz_after=mhz_after,
    )


def megahertz() -> float | None:
    """Give the present mean frequency of the processors."""
    frequencies = [float(text) for text in MHZ.findall(system_text("/proc/cpuinfo"))]
    return round(sum(frequencies) / len(frequencies), 1) if frequencies else None


def governor() -> str | None:
    """Give the name of the kernel's policy for the first processor's frequency."""
    return system_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def _bytes(path: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", system_text(path), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None
