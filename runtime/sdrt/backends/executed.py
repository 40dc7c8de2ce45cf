"""What an engine really ran: its kernels, and in which precision they did how much of the work."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sdrt.machine import widest_instruction_set

UNKNOWN = "unknown"
DIGITS = 4  # of a share


@dataclass(frozen=True)
class Kernel:
    """One node of a compiled graph."""

    kind: str
    """The engine's word for what it computes: "Convolution", "QLinearConv"."""
    precision: str
    """Of its arithmetic, which may not be that of its weights: "fp32", "bf16", "int8"."""
    macs: int = 0
    """Multiply-adds of one run; only convolutions, matrix products and attention have any."""
    isa: str = ""
    """Instruction set, where the engine names it."""
    seconds: float = 0.0
    """Time in one run, where it was taken."""


@dataclass(frozen=True)
class Executed:
    """What an engine ran, read from the engine and not from the artifact."""

    precision: str
    """What most multiply-adds ran in; "unknown" where there are none."""
    shares: dict[str, float]
    """Share of the multiply-adds that ran in each precision, largest first."""
    isa: str
    """Instruction set of most multiply-adds."""
    isa_from: Literal["kernels", "processor"]
    """Whether the engine names it, or only the processor tells which one engines choose on it."""
    time_shares: dict[str, float]
    """Share of the kernels' time that was spent in each precision; empty unless it was taken."""
    kernels: tuple[Kernel, ...] = ()
    """Empty where an engine has but one arithmetic for a network, so that nobody has to look."""


def executed(kernels: Iterable[Kernel]) -> Executed:
    """Sum up the kernels of a network."""
    kernels = tuple(kernels)
    shares = _shares((kernel.precision, kernel.macs) for kernel in kernels)
    precision = next(iter(shares), UNKNOWN)
    isa = next(iter(_shares((kernel.isa, kernel.macs) for kernel in kernels)), "")
    return Executed(
        precision=precision,
        shares=shares,
        isa=isa or widest_instruction_set(precision),
        isa_from="kernels" if isa else "processor",
        time_shares=_shares((kernel.precision, kernel.seconds) for kernel in kernels),
        kernels=kernels,
    )


def executed_only(precision: str) -> Executed:
    """What an engine ran that has no other arithmetic for a network."""
    isa = widest_instruction_set(precision)
    return Executed(precision, {precision: 1.0}, isa, "processor", {})


def _shares(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Add up the parts by name, and divide by their sum; the largest first, those of 0 left out."""
    sums: dict[str, float] = {}
    for name, part in parts:
        sums[name] = sums.get(name, 0) + part
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return {name: round(part / total, DIGITS) for name, part in ordered if part > 0}
