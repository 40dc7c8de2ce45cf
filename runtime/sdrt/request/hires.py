"""A second pass over larger pictures: what is asked for, and how a picture is scaled up."""

import re
from dataclasses import dataclass

from PIL import Image

from sdrt import validation
from sdrt.errors import UsageError

STRENGTH = 0.5
LARGEST = 8.0  # times the first pass's sides


@dataclass(frozen=True)
class Hires:
    """The second pass of a run."""

    scale: float
    strength: float
    """Share of its steps that are made: the last ones."""
    num_inference_steps: int
    width: int
    height: int

    def enlarged(self, picture: Image.Image) -> Image.Image:
        """The picture in the second pass's size."""
        return picture.resize((self.width, self.height), Image.Resampling.LANCZOS)


def second_pass(
    scale: object,
    strength: object,
    steps: object,
    size: tuple[int, int],
    downscale: int,
    train_steps: int,
) -> Hires:
    """Check what was asked for; sides are rounded to whole latents. Raises `UsageError`."""
    factor = validation.number("hires", scale, LARGEST)
    if factor <= 1:
        raise UsageError(f"hires is {scale!r}; expected a factor above 1, for example 2.0")
    width, height = (
        validation.size("hires size", round(side * factor / downscale) * downscale, downscale)
        for side in size
    )
    return Hires(
        factor,
        validation.number("hires_strength", strength, 1),
        validation.whole("hires_steps", steps, 1, train_steps),
        width,
        height,
    )


def read_scale(text: str) -> float:
    """The factor in "2x", "1.5x" or "2"; raises `UsageError`."""
    if not re.fullmatch(r"\d+(\.\d+)?x?", text.lower()):
        raise UsageError(f"hires is {text!r}; expected for example 2x or 1.5x")
    return float(text.lower().rstrip("x"))
