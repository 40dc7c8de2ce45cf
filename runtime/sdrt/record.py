"""What a network was stored in, and what an engine executed: two facts, kept beside each other."""

from dataclasses import dataclass, field

from sdrt.backends.executed import Executed
from sdrt.manifest import Precision

SMALL_SHARE = 0.005  # is not worth a word


@dataclass(frozen=True)
class NetworkRecord:
    """One network of a run; for the fields' meaning see `sdrt.backends.executed.Executed`."""

    stored: str
    executed: str
    shares: dict[str, float] = field(default_factory=dict)
    isa: str = "unknown"
    isa_from: str = "processor"

    @classmethod
    def of(cls, stored: Precision, found: Executed) -> "NetworkRecord":
        """Keep of a graph what is worth writing beside a picture."""
        return cls(stored, found.precision, found.shares, found.isa, found.isa_from)

    def summary(self) -> str:
        """What was executed, in a few words: "int8 93 %, bf16 7 %"."""
        shares = {name: share for name, share in self.shares.items() if share >= SMALL_SHARE}
        if len(shares) < 2:
            return self.executed
        return ", ".join(f"{name} {share:.0%}" for name, share in shares.items()).replace("%", " %")
