"""Facts about this machine: processor, instruction sets, memory."""

import ctypes
import gc
import platform
import re
import sys
from pathlib import Path

from sdrt.cores import control_group_folders, system_text

DECISIVE_FLAGS = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
)
"""Flags of /proc/cpuinfo that decide which kernels engines choose."""
M_MMAP_THRESHOLD = -3  # mallopt's parameter, from malloc.h
BY_PRECISION = {
    "fp32": ("avx512f", "avx2"),
    "bf16": ("amx_bf16", "avx512_bf16", "avx512f", "avx2"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2"),
}
"""Instruction sets that engines prefer for a precision, best first."""


def processor() -> str:
    """Name of the processor, as the system reports it."""
    match = re.search(r"^model name\s*:\s*(.+)$", system_text("/proc/cpuinfo"), re.MULTILINE)
    return match.group(1) if match else platform.processor() or platform.machine()


def instruction_sets() -> tuple[str, ...]:
    """The decisive instruction sets of this processor; empty where the system reports none."""
    match = re.search(r"^flags\s*:\s*(.+)$", system_text("/proc/cpuinfo"), re.MULTILINE)
    flags = set(match.group(1).split()) if match else set()
    return tuple(flag for flag in DECISIVE_FLAGS if flag in flags)


def widest_instruction_set(precision: str) -> str:
    """The instruction set that good kernels of a precision use on this processor, or "unknown"."""
    available = instruction_sets()
    return next((name for name in BY_PRECISION.get(precision, ()) if name in available), "unknown")


def has_bf16() -> bool:
    """Whether this processor has bf16 arithmetic; others emulate it, slower than fp32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(instruction_sets()))


def has_int8() -> bool:
    """Whether this processor sums products of 8-bit numbers in 32 bits; others may overflow.

    True also where the system reports no instruction sets.
    """
    available = set(instruction_sets())
    return not available or bool({"avx512_vnni", "avx_vnni", "amx_int8"} & available)


def memory_bytes() -> tuple[int, int]:
    """Total and available memory of the machine, or of the container if that has less.

    Zeros where the system does not report them.
    """
    text = system_text("/proc/meminfo")

    def find(name: str) -> int:
        match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        return int(match.group(1)) * 1024 if match else 0

    total, available = find("MemTotal"), find("MemAvailable")
    limit, free = _container_memory() or (total, available)
    return min(total, limit), min(available, free)


def resident_bytes() -> int:
    """Resident set of this process now; 0 where the system does not report it."""
    return _own_memory("VmRSS")


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far; 0 where the system does not report it."""
    if peak := _own_memory("VmHWM"):
        return peak  # the figure below may include the process that started this one
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back_freed_arrays() -> bool:
    """From now on return arrays of a megabyte and more to the system as soon as they are freed.

    glibc keeps freed blocks of up to 32 MB for later use, in pieces that often do not fit: ONNX
    Runtime's peaks are up to twice as high. This holds for the whole process, and costs some time.
    False where there is no glibc, and nothing has changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return bool(mallopt and mallopt(M_MMAP_THRESHOLD, 2**20))


def give_back_freed_blocks() -> None:
    """Return the free blocks of the process's heap to the system; does nothing without glibc.

    The heap keeps what engines needed for loading and compiling after they have freed it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def give_back_memory() -> None:
    """Collect garbage and return what it held to the system, before the next large allocation."""
    gc.collect()
    give_back_freed_blocks()


def _own_memory(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", system_text("/proc/self/status"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def _container_memory() -> tuple[int, int] | None:
    """Bytes that control groups allow, and how many are left; None without a limit."""
    limits = []
    for folder in control_group_folders(Path("/"), "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = system_text(folder / limit_name), system_text(folder / used_name)
            if limit.isdecimal() and used.isdecimal():
                # Pages of files that were not used lately are freed when memory is needed.
                stat = system_text(folder / "memory.stat")
                match = re.search(r"^(?:total_)?inactive_file (\d+)$", stat, re.MULTILINE)
                spare = int(match.group(1)) if match else 0
                limits.append((int(limit), max(0, int(limit) - int(used) + spare)))
    if not limits:
        return None
    return min(limit for limit, _ in limits), min(free for _, free in limits)
