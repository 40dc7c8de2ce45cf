"""How near to a golden array another one must be, and how near it is."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sdrt.arrays import Array, snr_db
from sdrt.manifest import Model

Stage = Literal[
    "ids",
    "weights",
    "embeddings",
    "noise",
    "sigmas",
    "unet",
    "denoised",
    "latents",
    "pixels",
    "picture",
]
STAGES: tuple[Stage, ...] = Stage.__args__  # type: ignore[attr-defined]
Positive = Annotated[float, Field(gt=0)]
LEAST = 1e-6  # what smaller golden values count as in a relative difference
PEAK = 255.0


class Tolerance(Model):
    """One measure, and its limit."""

    equal: Literal[True] | None = None
    relative: Positive | None = None
    sqnr_db: Positive | None = None
    psnr_db: Positive | None = None

    @model_validator(mode="after")
    def _check_measure(self) -> "Tolerance":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("a tolerance has one of equal, relative, sqnr_db and psnr_db")
        return self

    def compare(self, golden: Array, ours: Array) -> "Difference":
        """How far our array is from the golden one, by this measure."""
        ((measure, limit),) = self.model_dump(exclude_none=True).items()
        if measure == "equal":
            limit = 0.0
        is_similar = golden.shape == ours.shape
        value = _measured(measure, golden, ours) if is_similar else _worst(measure)
        return Difference(measure, value, float(limit))


@dataclass(frozen=True)
class Difference:
    """A distance in the unit of its measure; for "equal", how many values differ."""

    measure: str
    value: float
    limit: float

    @property
    def is_within(self) -> bool:
        """Whether it is as near as it must be; what is no number is not."""
        if self.measure in ("sqnr_db", "psnr_db"):
            return self.value >= self.limit
        return self.value <= self.limit

    @property
    def margin(self) -> float:
        """The smaller, the worse: comparable among differences of one measure."""
        return self.value if self.measure in ("sqnr_db", "psnr_db") else -self.value

    def to_text(self) -> str:
        """The figure for people."""
        if self.measure == "equal":
            return f"{self.value:.0f} values differ" if self.value else "equal"
        if math.isinf(self.value):
            return "equal" if self.is_within else "of another shape"
        if self.measure == "relative":
            return f"{self.value:.1e} relative"
        return f"{self.value:.1f} dB {self.measure.removesuffix('_db').upper()}"


def _measured(measure: str, golden: Array, ours: Array) -> float:
    if measure == "equal":
        return float(np.count_nonzero(golden != ours))
    expected, other = np.asarray(golden, np.float64), np.asarray(ours, np.float64)
    if measure == "relative":
        return float((np.abs(other - expected) / np.maximum(np.abs(expected), LEAST)).max())
    if measure == "sqnr_db":
        return snr_db(expected, other)
    squares = float(((other - expected) ** 2).mean())
    return 10 * math.log10(PEAK**2 / squares) if squares else math.inf


def _worst(measure: str) -> float:
    return -math.inf if measure in ("sqnr_db", "psnr_db") else math.inf


def _limits(**limits: dict[str, Any]) -> dict[Stage, Tolerance]:
    return {stage: Tolerance(**limits[stage]) for stage in STAGES}


EXACT: dict[Stage, Tolerance] = _limits(
    ids={"equal": True},
    weights={"relative": 1e-6},
    embeddings={"sqnr_db": 60},
    noise={"equal": True},
    sigmas={"relative": 1e-6},
    unet={"sqnr_db": 60},
    denoised={"sqnr_db": 80},
    latents={"sqnr_db": 80},
    pixels={"psnr_db": 50},
    picture={"psnr_db": 50},
)
"""Of networks in fp32: two engines sum in other orders; everything else is arithmetic."""

REDUCED: dict[Stage, Tolerance] = {
    **EXACT,
    "embeddings": Tolerance(sqnr_db=20),
    "unet": Tolerance(sqnr_db=20),
    "pixels": Tolerance(psnr_db=35),
    "picture": Tolerance(psnr_db=20),
}
"""Of networks in bf16 or int8, which round at places of each engine's own."""
