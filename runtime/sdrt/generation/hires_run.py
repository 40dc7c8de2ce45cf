"""Hires fix: pictures, then image to image over the same pictures in a larger size."""

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from sdrt.arrays import Latents
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.result import Step
from sdrt.generation.run import Run, renumbered
from sdrt.memory.budget import Budget
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.hires import Hires
from sdrt.request.init_image import InitImage, Pixels
from sdrt.request.request import Request
from sdrt.request.size_conditioning import SizeConditioning


def hires_run(model: OpenModel, request: Request, budget: Budget | None = None) -> Run:
    """A run whose steps are those of both passes; latents grow from one pass to the next.

    Raises `UsageError` for a number of steps that either pass cannot make.
    """
    first = DenoisingPass(model, request, budget or Budget())
    return Run(model, request, passes=HiresPasses(first))


@dataclass(frozen=True)
class HiresPasses:
    """Two passes with one prompt, which is encoded once, and one plan for memory."""

    first: DenoisingPass

    def __len__(self) -> int:
        """How many steps both passes have."""
        nothing = np.empty((1, 0, 0, 3), np.uint8)
        return len(self.first) + len(replace(self.first, request=self._over(nothing)))

    @property
    def current(self) -> DenoisingPass:
        """The first pass, whose request describes both."""
        return self.first

    @property
    def plan(self) -> MemoryPlan:
        """How both run within the memory that there is."""
        return self.first.plan

    @property
    def planned(self) -> tuple[DenoisingPass, ...]:
        """The first pass, whose plan has the sizes of both."""
        return (self.first,)

    def with_previews(self, decoder: str | None) -> "HiresPasses":
        """The same with a decoder in memory beside the U-Net."""
        return HiresPasses(self.first.with_previews(decoder))

    def run(self, state: RunState) -> Generator[Step, None, Latents]:
        """Yield the steps of both passes, counted as one row."""
        count = len(self)
        self.first.begin(state)
        conditioning = self.first.encode(state)
        small = yield from renumbered(self.first.denoise(state, conditioning), 0, count)
        pictures = [
            np.asarray(self._hires.enlarged(image)) for image in self.first.decode(small, state)
        ]
        request = self._over(np.stack(pictures))
        second = replace(self.first, request=request, own_plan=self.first.plan)
        with state.at("second pass"):
            steps = second.denoise(state, conditioning)
            return (yield from renumbered(steps, len(self.first), count))

    @property
    def _hires(self) -> Hires:
        assert self.first.request.hires
        return self.first.request.hires

    def _over(self, pictures: Pixels) -> Request:
        """The second pass's request: image to image over these pictures."""
        request, hires = self.first.request, self._hires

        def resized(conditioning: SizeConditioning | None) -> SizeConditioning | None:
            before, after = (request.height, request.width), (hires.height, hires.width)
            return conditioning.of_size(before, after) if conditioning else None

        return replace(
            request,
            num_inference_steps=hires.num_inference_steps,
            init=InitImage(pictures, hires.strength),
            hires=None,
            width=hires.width,
            height=hires.height,
            size_conditioning=resized(request.size_conditioning),
            negative_size_conditioning=resized(request.negative_size_conditioning),
        )
