"""What Stable Diffusion XL is told of a picture, beside a text of what it shows.

It was trained on pictures of all sizes, scaled and cut to those of a few shapes, and each time it
was told how (Podell et al. 2023, arXiv 2307.01952, sections 2.2 and 2.3).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from sdrt import validation
from sdrt.arrays import Array
from sdrt.errors import UnsupportedError, UsageError

Pair = tuple[int, int]

MOST = 65_535  # pixels; no picture that anybody trained on is larger
MOST_SCORE = 10.0  # of LAION's aesthetic predictor
SCORE, NEGATIVE_SCORE = 6.0, 2.5  # what diffusers tells unless it is told
NEGATIVE = "negative_"


@dataclass(frozen=True)
class SizeConditioning:
    """In pixels and in diffusers' order: heights before widths, tops before lefts."""

    original_size: Pair
    """Of the picture before it was scaled and cut; small ones make pictures blurred."""
    crops_coords_top_left: Pair
    """Where it was cut out; (0, 0) has its subject whole, and in the middle."""
    target_size: Pair | None = None
    """What it was cut to; None for refiners, which are told in its place"""
    aesthetic_score: float | None = None
    """how much people like it, from 0 to 10."""

    @classmethod
    def of(cls, numbers: int, size: Pair) -> "SizeConditioning":
        """Of an uncut picture, (height, width), for a model that takes so many numbers.

        Raises `UnsupportedError` for a model that takes any but those of XL or its refiner.
        """
        if numbers == 6:
            return cls(size, (0, 0), target_size=size)
        if numbers == 5:
            return cls(size, (0, 0), aesthetic_score=SCORE)
        raise UnsupportedError(
            f"the U-Net takes {numbers} numbers about the picture; expected 6, or 5 of a refiner"
        )

    @property
    def negative(self) -> "SizeConditioning":
        """What is told beside the negative prompt: the same, but of a picture that nobody likes."""
        has_score = self.aesthetic_score is not None
        return replace(self, aesthetic_score=NEGATIVE_SCORE if has_score else None)

    def of_size(self, before: Pair, after: Pair) -> "SizeConditioning":
        """The same for a picture of another size: what was the picture's own size still is."""
        original, target = (
            after if size == before else size for size in (self.original_size, self.target_size)
        )
        assert original
        return replace(self, original_size=original, target_size=target)

    @property
    def row(self) -> Array:
        """As the U-Net takes it: (1, 5 or 6)."""
        last = [self.aesthetic_score] if self.target_size is None else self.target_size
        numbers = *self.original_size, *self.crops_coords_top_left, *last
        return np.array([numbers], np.float32)

    @property
    def options(self) -> dict[str, Pair | float]:
        """What is told, by the names of options."""
        return {name: value for name, value in asdict(self).items() if value is not None}


OPTIONS = tuple(field.name for field in fields(SizeConditioning))


def read_size_conditioning(
    options: Mapping[str, object], prefix: str, otherwise: SizeConditioning
) -> SizeConditioning:
    """What options with a prefix say, and `otherwise` for what they leave open.

    Raises `UsageError` for what the model is not told, or what is no pair of whole numbers.
    """
    said = {name: options.get(prefix + name) for name in OPTIONS}
    said = {name: value for name, value in said.items() if value is not None}
    if unknown := [name for name in said if name not in otherwise.options]:
        raise UsageError(
            f"{prefix}{unknown[0]} is not what this model is told; it is told: "
            f"{', '.join(otherwise.options)}"
        )
    found: dict[str, object] = {
        name: validation.number(prefix + name, value, MOST_SCORE)
        if name == "aesthetic_score"
        else _pair(prefix + name, value)
        for name, value in said.items()
    }
    return replace(otherwise, **found)  # type: ignore[arg-type]


def _pair(name: str, value: object) -> Pair:
    if not isinstance(value, tuple | list) or len(value) != 2:
        order = "(top, left)" if "crops" in name else "(height, width)"
        raise UsageError(f"{name} is {value!r}; expected {order} in pixels")
    least = 0 if "crops" in name else 1
    first, second = (validation.whole(name, one, least, MOST) for one in value)
    return first, second
