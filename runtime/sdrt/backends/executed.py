"""What an engine really ran: its kernels, and in which precision they did how much of the work."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from sdrt.machine import widest_instruction_set
from sdrt.manifest import Storage

SMALL_SHARE = 0.005  # is not worth a word

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


@dataclass(frozen=True)
class Retry:
    """A network had to go on in fp32."""

    failed: str
    """Precision in which it gave NaN or infinity,"""
    at: str
    """and where in the run: "step 3 of 20"."""


@dataclass(frozen=True)
class NetworkRecord:
    """One network of a run; for the fields' meaning see `sdrt.backends.executed.Executed`."""

    stored: str
    executed: str
    shares: dict[str, float] = field(default_factory=dict)
    isa: str = "unknown"
    isa_from: str = "processor"
    retried: Retry | None = None
    """Where it did not run from beginning to end as it did last."""

    @classmethod
    def of(cls, stored: Storage, found: Executed, retried: Retry | None) -> "NetworkRecord":
        """Keep of a graph what is worth writing beside a picture."""
        return cls(stored, found.precision, found.shares, found.isa, found.isa_from, retried)

    def summary(self) -> str:
        """What was executed, in a few words: "int8 93 %, bf16 7 %"."""
        shares = {name: share for name, share in self.shares.items() if share >= SMALL_SHARE}
        parts = [f"{name} {share * 100:.0f} %" for name, share in shares.items()]
        executed = ", ".join(parts) if len(parts) > 1 else self.executed
        return f"{executed} ({self.retried.failed} failed)" if self.retried else executed
