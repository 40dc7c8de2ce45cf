"""SDXL size and crop conditioning (Podell et al. 2023, arXiv 2307.01952, sections 2.2 and 2.3).

SDXL was trained on images of all sizes, each scaled and cropped to one of a few shapes. The U-Net
is given the original size, the crop's corner and the shape, and a refiner an aesthetic score.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import TypedDict

import numpy as np

from sdrt import validation
from sdrt.arrays import Array
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import Manifest
from sdrt.request.options import Options

Pair = tuple[int, int]

MAX_PIXELS = 65_535  # no training image has a longer side
MAX_SCORE = 10.0  # of LAION's aesthetic predictor
SCORE, NEGATIVE_SCORE = 6.0, 2.5  # diffusers' defaults
NEGATIVE = "negative_"


@dataclass(frozen=True)
class SizeConditioning:
    """Sizes in pixels and in diffusers' order: height before width, top before left."""

    original_size: Pair
    """The size of the image before it was scaled and cropped; small ones give blurred pictures."""
    crops_coords_top_left: Pair
    """The corner of the crop; at (0, 0) the subject is whole and centred."""
    target_size: Pair | None = None
    """The size that the image was cropped to, or None for refiners, which take a score instead."""
    aesthetic_score: float | None = None
    """How much people like the image, from 0 to 10; None for all models but refiners."""

    @classmethod
    def uncropped(cls, numbers: int, size: Pair) -> "SizeConditioning":
        """The values of an uncropped image, (height, width), for a U-Net with that many inputs.

        Raises `UnsupportedError` for any number but 6, of SDXL, and 5, of its refiner.
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
        """The values for the negative prompt: the same, but with a low aesthetic score."""
        has_score = self.aesthetic_score is not None
        return replace(self, aesthetic_score=NEGATIVE_SCORE if has_score else None)

    def of_size(self, before: Pair, after: Pair) -> "SizeConditioning":
        """The same for a picture of another size: every size equal to the old one follows it."""
        original, target = (
            after if size == before else size for size in (self.original_size, self.target_size)
        )
        assert original
        return replace(self, original_size=original, target_size=target)

    @property
    def row(self) -> Array:
        """The values as the U-Net takes them: (1, 5 or 6), float32."""
        last = [self.aesthetic_score] if self.target_size is None else self.target_size
        numbers = *self.original_size, *self.crops_coords_top_left, *last
        return np.array([numbers], np.float32)

    @property
    def options(self) -> dict[str, Pair | float]:
        """The values that the model takes, by the names of their options."""
        return {name: value for name, value in asdict(self).items() if value is not None}


OPTIONS = tuple(field.name for field in fields(SizeConditioning))


class Conditioning(TypedDict):
    """The fields of a request that hold size conditioning; None for models that take none."""

    size_conditioning: SizeConditioning | None
    negative_size_conditioning: SizeConditioning | None


def read_size_conditioning(
    manifest: Manifest, options: Options, size: tuple[int, int]
) -> Conditioning:
    """Read the values for both prompts; by default they say `size`, (width, height), uncropped.

    Raises `UsageError` for options that the model does not take, and for wrong values.
    """
    if manifest.picture_numbers:
        default = SizeConditioning.uncropped(manifest.picture_numbers, size[::-1])
        positive = _read(options, "", default)
        negative = _read(options, NEGATIVE, positive.negative)
        return Conditioning(size_conditioning=positive, negative_size_conditioning=negative)
    for name in OPTIONS:
        if options.get(name) is not None or options.get(NEGATIVE + name) is not None:
            raise UsageError(
                f"{name} is for models of Stable Diffusion XL, not for {manifest.name!r}"
            )
    return Conditioning(size_conditioning=None, negative_size_conditioning=None)


def _read(options: Options, prefix: str, default: SizeConditioning) -> SizeConditioning:
    """The options whose names begin with the prefix, completed from `default`."""
    given = {name: options.get(prefix + name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := [name for name in given if name not in default.options]:
        raise UsageError(
            f"this model does not take {prefix}{unknown[0]}; it takes: {', '.join(default.options)}"
        )
    values: dict[str, object] = {
        name: validation.number(prefix + name, value, MAX_SCORE)
        if name == "aesthetic_score"
        else _read_pair(prefix + name, value)
        for name, value in given.items()
    }
    return replace(default, **values)  # type: ignore[arg-type]


def _read_pair(name: str, value: object) -> Pair:
    if not isinstance(value, tuple | list) or len(value) != 2:
        order = "(top, left)" if "crops" in name else "(height, width)"
        raise UsageError(f"{name} is {value!r}; expected {order} in pixels")
    least = 0 if "crops" in name else 1
    first, second = (validation.whole(name, number, least, MAX_PIXELS) for number in value)
    return first, second
