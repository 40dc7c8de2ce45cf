"""The range of the denoising schedule that a run covers: a base model starts, a refiner finishes.

Both cut the schedule by training timesteps: a run with `denoising_end=0.8` makes the steps whose
timestep is at least 0.2 of the training range, and one with `denoising_start=0.8` makes the rest
(diffusers' options of the same names; Podell et al. 2023, arXiv 2307.01952, section 2.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdrt import validation
from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.request.options import Options
from sdrt.sampling.schedule import Steps
from sdrt.text.prompt_embeddings import checked_floats, digest


@dataclass(frozen=True)
class DenoisingRange:
    """Where a run starts and ends, as shares of the whole schedule from 0 to 1."""

    start: float = 0.0
    end: float = 1.0
    latents: Latents | None = field(default=None, compare=False)
    """The latents that an earlier run ended at, (images, channels, h/8, w/8), of unit variance."""
    base: Mapping[str, str] | None = None
    """The model of the earlier run as `model` and `model_hash`, or None where it is unknown."""

    @property
    def is_whole(self) -> bool:
        """Whether the run covers the whole schedule."""
        return (self.start, self.end) == (0.0, 1.0)

    @property
    def record(self) -> dict[str, Any] | None:
        """The range as the parameters of a picture hold it; None for the whole schedule."""
        if self.is_whole:
            return None
        latents = None if self.latents is None else digest(self.latents)
        base = dict(self.base) if self.base else None
        return {"start": self.start, "end": self.end, "latents": latents, "base": base}

    def begun(self, steps: Steps) -> Steps:
        """The steps from the start of the range to the end of the schedule."""
        return steps.last(len(steps) - self._steps_before(self.start, steps))

    def count(self, begun: Steps) -> int:
        """How many of the steps that `begun` gave lie in the range.

        Raises `UsageError` if none does.
        """
        count = self._steps_before(self.end, begun)
        if count < 1:
            raise UsageError(
                f"no step of the run lies between {self.start:g} and {self.end:g} of the schedule; "
                "give more steps, or a wider range"
            )
        return count

    def _steps_before(self, share: float, steps: Steps) -> int:
        """How many of these steps lie before this share of the schedule."""
        cut = round(steps.noise.steps - share * steps.noise.steps)
        return int(np.count_nonzero(steps.timesteps >= cut))


def read_denoising_range(options: Options, images: int, channels: int) -> DenoisingRange:
    """Read the options of a partial run; raises `UsageError` for wrong or conflicting ones."""
    start = validation.number("denoising_start", options.get("denoising_start", 0.0), 1)
    end = validation.number("denoising_end", options.get("denoising_end", 1.0), 1)
    latents = options.get("latents")
    if start >= end:
        raise UsageError(
            f"the run starts at {start:g} and ends at {end:g}; expected the start before the end"
        )
    if (latents is None) != (start == 0):
        given, missing = ("denoising_start", "latents")[:: 1 if latents is None else -1]
        raise UsageError(f"{given} was given without {missing}; expected both, or none")
    denoising_range = DenoisingRange(
        start, end, None if latents is None else _checked_latents(latents, images, channels)
    )
    if not denoising_range.is_whole:
        _check_conflicts(options, denoising_range)
    return denoising_range


def _checked_latents(value: object, images: int, channels: int) -> Latents:
    array = checked_floats("latents", value)
    stack = array[None] if array.ndim == 3 else array
    if stack.ndim != 4 or stack.shape[0] not in (1, images) or stack.shape[1] != channels:
        several = f" or {images}" if images > 1 else ""
        raise UsageError(
            f"latents has the shape {array.shape}; expected (1{several}, {channels}, height / 8, "
            "width / 8), as Run.latents gives them"
        )
    return np.repeat(stack, images // len(stack), axis=0)


def _check_conflicts(options: Options, denoising_range: DenoisingRange) -> None:
    conflicting = (
        ("hires", "mask") if denoising_range.latents is None else ("hires", "mask", "image")
    )
    for name in conflicting:
        if options.get(name) is not None:
            raise UsageError(
                f"{name} was given with denoising_start or denoising_end; give one of them"
            )
