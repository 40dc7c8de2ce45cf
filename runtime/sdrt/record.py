"""What a network was stored in, and what an engine executed: two facts, kept beside each other."""

from dataclasses import dataclass, field

from sdrt.backends.executed import Executed
from sdrt.manifest import Storage

SMALL_SHARE = 0.005  # is not worth a word


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
