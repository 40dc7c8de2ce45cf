"""Hires fix: a second pass over the scaled-up pictures of the first."""

import re
from dataclasses import dataclass

from PIL import Image

from sdrt import validation
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import Manifest
from sdrt.request.init_image import InitImage, count_steps
from sdrt.request.options import Options

STRENGTH = 0.5
MAX_SCALE = 8.0


@dataclass(frozen=True)
class Hires:
    """The second pass of a run."""

    scale: float
    """How many times as wide and high the pictures become, above 1."""
    strength: float
    """Share of the second pass's steps that run: the last ones."""
    num_inference_steps: int
    """Number of steps of which the second pass runs its share."""
    width: int
    """Width of the final pictures in pixels."""
    height: int
    """Height of the final pictures in pixels."""

    def enlarged(self, picture: Image.Image) -> Image.Image:
        """The picture scaled up to the size of the second pass."""
        return picture.resize((self.width, self.height), Image.Resampling.LANCZOS)


def read_hires(
    manifest: Manifest,
    options: Options,
    init: InitImage | None,
    size: tuple[int, int],
    steps: int,
    squeezes_steps: bool,
) -> Hires | None:
    """Read the options of a second pass; None if there is none.

    `size` and `steps` are the first pass's width, height and number of steps. Sides are rounded to
    whole latents. Raises `UsageError`, and `UnsupportedError` for a model without a VAE encoder.
    """
    if options.get("hires") is None:
        for name in ("hires_strength", "hires_steps"):
            if options.get(name) is not None:
                raise UsageError(f"{name} was given without hires; give both")
        return None
    _check_model(manifest, init)
    scale = validation.number("hires", options["hires"], MAX_SCALE)
    if scale <= 1:
        raise UsageError(
            f"hires is {options['hires']!r}; expected a factor above 1, for example 2.0"
        )
    downscale = manifest.latent.downscale
    width, height = (
        validation.size("hires size", round(side * scale / downscale) * downscale, downscale)
        for side in size
    )
    strength = validation.number("hires_strength", options.get("hires_strength", STRENGTH), 1)
    most_steps = manifest.schedule.train_steps
    count = validation.whole("hires_steps", options.get("hires_steps", steps), 1, most_steps)
    if count_steps(count, strength, squeezes_steps) < 1:
        raise UsageError(
            f"{count} hires steps at a hires strength of {strength:g} leave no step at all; raise "
            "one of them"
        )
    return Hires(scale, strength, count, width, height)


def _check_model(manifest: Manifest, init: InitImage | None) -> None:
    if init and init.mask is not None:
        raise UsageError("both hires and a mask were given; give one of them")
    if manifest.edits:
        raise UsageError(
            f"hires was given, and {manifest.name!r} edits an image; for a larger picture, give a "
            "larger size"
        )
    if "vae_encoder" not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no vae_encoder, which hires needs; export it again "
            "with this sdrt"
        )


def read_scale(text: str) -> float:
    """Parse a factor such as "2x", "1.5x" or "2"; raises `UsageError`."""
    if not re.fullmatch(r"\d+(\.\d+)?x?", text.lower()):
        raise UsageError(f"hires is {text!r}; expected for example 2x or 1.5x")
    return float(text.lower().rstrip("x"))
