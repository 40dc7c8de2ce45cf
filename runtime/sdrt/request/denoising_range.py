"""A part of a run: a base model makes the first steps, its refiner the others from there.

Both go by training's timesteps: a run that is cut at 0.8 does all of its steps that are told a
timestep of at least 0.2 of training's, and another one the rest (diffusers' `denoising_end` and
`denoising_start`; Podell et al. 2023, arXiv 2307.01952, section 2.5).
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
    """From which share of a run to which."""

    start: float = 0.0
    end: float = 1.0
    latents: Latents | None = field(default=None, compare=False)
    """What another run was left at, (1 or images, channels, h/8, w/8), of variance one."""
    base: Mapping[str, str] | None = None
    """The model of that run: `model`, `model_hash`; None if nobody said."""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the run."""
        return (self.start, self.end) == (0.0, 1.0)

    @property
    def record(self) -> dict[str, Any] | None:
        """As the parameters of a picture have it."""
        if self.is_whole:
            return None
        latents = None if self.latents is None else digest(self.latents)
        base = dict(self.base) if self.base else None
        return {"start": self.start, "end": self.end, "latents": latents, "base": base}

    def begun(self, steps: Steps) -> Steps:
        """The steps from where the part begins to the end of the run."""
        return steps.last(len(steps) - self._before(self.start, steps))

    def count(self, begun: Steps) -> int:
        """How many of the steps that `begun` gave are made; raises `UsageError` for none."""
        found = self._before(self.end, begun)
        if found < 1:
            raise UsageError(
                f"no step of the run lies between {self.start:g} and {self.end:g} of it; give more "
                "steps, or another place to cut it"
            )
        return found

    def _before(self, share: float, steps: Steps) -> int:
        """How many of these steps lie before a share of the run."""
        cut = round(steps.noise.steps - share * steps.noise.steps)
        return int(np.count_nonzero(steps.timesteps >= cut))


def read_denoising_range(options: Options, images: int, channels: int) -> DenoisingRange:
    """Raises `UsageError` for a part that cannot be, or goes with nothing else that is asked."""
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
        start, end, None if latents is None else _checked(latents, images, channels)
    )
    if not denoising_range.is_whole:
        _check_others(options, denoising_range)
    return denoising_range


def _checked(value: object, images: int, channels: int) -> Latents:
    array = checked_floats("latents", value)
    stack = array[None] if array.ndim == 3 else array
    if stack.ndim != 4 or stack.shape[0] not in (1, images) or stack.shape[1] != channels:
        several = f" or {images}" if images > 1 else ""
        raise UsageError(
            f"latents has the shape {array.shape}; expected (1{several}, {channels}, height / 8, "
            "width / 8), as Run.latents gives them"
        )
    return np.repeat(stack, images // len(stack), axis=0)


def _check_others(options: Options, denoising_range: DenoisingRange) -> None:
    for name in (
        ("hires", "mask") if denoising_range.latents is None else ("hires", "mask", "image")
    ):
        if options.get(name) is not None:
            raise UsageError(f"{name} was given for a part of a run; give one of them")
