"""LoRAs as people ask for them."""

import math
from dataclasses import dataclass
from pathlib import Path

from sdrt.errors import UsageError


@dataclass(frozen=True)
class Asked:
    """A LoRA's file, and how much of it: 1 as it was trained, negative for the opposite."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Asked":
        """Read `FILE[:WEIGHT]`; raises `UsageError` for a weight that is no finite number."""
        path, colon, number = text.rpartition(":")
        if not colon or Path(text).is_file():
            return cls(Path(text))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UsageError(
                f"--lora {text}: the weight is {number!r}; expected a finite number after the "
                "colon, such as 0.8"
            )
        return cls(Path(path), weight)
