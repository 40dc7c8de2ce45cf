"""The precision that an engine really executed, read from its kernels, and the record of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from sdrt.machine import widest_instruction_set
from sdrt.manifest import Storage

SMALL_SHARE = 0.005  # smaller shares are left out of summaries
UNKNOWN = "unknown"
DIGITS = 4  # of the shares in records


@dataclass(frozen=True)
class Kernel:
    """One node of a compiled graph."""

    kind: str
    """The engine's name of its operation: "Convolution", "QLinearConv"."""
    precision: str
    """Precision of its arithmetic, which may differ from its weights': "fp32", "bf16", "int8"."""
    macs: int = 0
    """Multiply-adds of one run; only convolutions, matrix products and attention have any."""
    isa: str = ""
    """Instruction set, where the engine names it."""
    seconds: float = 0.0
    """Time of one run, where it was measured."""


@dataclass(frozen=True)
class Executed:
    """What an engine ran, read from the engine and not from the artifact."""

    precision: str
    """The precision of most multiply-adds; "unknown" where there are none."""
    shares: dict[str, float]
    """Share of the multiply-adds that ran in each precision, largest first."""
    isa: str
    """Instruction set of most multiply-adds."""
    isa_from: Literal["kernels", "processor"]
    """Whether the engine names it, or it is the one that engines choose on this processor."""
    time_shares: dict[str, float]
    """Share of the kernels' time that was spent in each precision; empty unless measured."""
    kernels: tuple[Kernel, ...] = ()
    """The kernels; empty where an engine has only one arithmetic for a network."""


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
    """The same for an engine that has only this arithmetic for a network."""
    isa = widest_instruction_set(precision)
    return Executed(precision, {precision: 1.0}, isa, "processor", {})


def _shares(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Share of each name in the sum of all parts, largest first; shares of 0 are left out."""
    sums: dict[str, float] = {}
    for name, part in parts:
        sums[name] = sums.get(name, 0) + part
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return {name: round(part / total, DIGITS) for name, part in ordered if part > 0}


@dataclass(frozen=True)
class Retry:
    """A network had to be run again in fp32."""

    failed: str
    """The precision in which it gave NaN or infinity."""
    at: str
    """Where in the run that was: "step 3 of 20"."""


@dataclass(frozen=True)
class NetworkRecord:
    """The stored and the executed precision of a network; the other fields are `Executed`'s."""

    stored: str
    """How its weights are stored."""
    executed: str
    """The precision of most multiply-adds."""
    shares: dict[str, float] = field(default_factory=dict)
    isa: str = "unknown"
    isa_from: str = "processor"
    retried: Retry | None = None
    """The failure after which it ran in fp32; None where all of the run was executed alike."""

    @classmethod
    def from_executed(
        cls, stored: Storage, executed: Executed, retried: Retry | None
    ) -> "NetworkRecord":
        """Keep what is written into a picture's parameters."""
        return cls(
            stored, executed.precision, executed.shares, executed.isa, executed.isa_from, retried
        )

    def summary(self) -> str:
        """The executed precisions as text: "int8 93 %, bf16 7 %"."""
        shares = {name: share for name, share in self.shares.items() if share >= SMALL_SHARE}
        parts = [f"{name} {share * 100:.0f} %" for name, share in shares.items()]
        executed = ", ".join(parts) if len(parts) > 1 else self.executed
        return f"{executed} ({self.retried.failed} failed)" if self.retried else executed
