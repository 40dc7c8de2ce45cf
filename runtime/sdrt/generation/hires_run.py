"""A run of two passes: pictures, then the same pictures painted over in a larger size."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import Latents
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.request.init_image import InitImage, Pixels
from sdrt.request.request import Request
from sdrt.request.size_conditioning import SizeConditioning
from sdrt.text.conditioning import TextConditioning

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline


class TwoPasses(Run):
    """A run whose steps are those of both passes; latents grow from one step to the next.

    The second pass is image to image, from what the first one painted.
    """

    def __init__(self, pipeline: "Pipeline", request: Request) -> None:
        super().__init__(pipeline, request)
        assert request.hires
        self._hires = request.hires
        nothing = np.empty((1, 0, 0, 3), np.uint8)
        # What cannot be is refused now.
        self._more_steps = len(pipeline.steps(self._painted_over(nothing)))
        self._found: tuple[TextConditioning, TextConditioning | None] | None = None

    def __len__(self) -> int:
        """How many steps both passes have."""
        return super().__len__() + self._more_steps

    def _embeddings(self) -> tuple[TextConditioning, TextConditioning | None]:
        self._found = super()._embeddings()
        return self._found

    def _make_steps(self) -> Iterator[Step]:
        for step in super()._make_steps():
            yield replace(step, count=len(self))
        assert self._latents is not None
        first, self._latents = self._latents, None
        second = Run(self.pipeline, self._second(first))
        second.state = self.state
        with self.state.at("second pass"):
            for step in second._make_steps():
                # Before the step is shown: after the last one nobody may come back.
                self._latents = second._latents
                yield replace(step, index=super().__len__() + step.index, count=len(self))

    def _second(self, first: Latents) -> Request:
        """What the second pass is to make of the first one's latents."""
        assert self._found
        positive, negative = self._found
        pictures = [np.asarray(self._hires.enlarged(one)) for one in self.decode(first)]
        return replace(
            self._painted_over(np.stack(pictures)),
            prompt_embeds=positive.states,
            negative_prompt_embeds=negative.states if negative else None,
            pooled_prompt_embeds=positive.pooled,
            negative_pooled_prompt_embeds=negative.pooled if negative else None,
            size_conditioning=self._framing(self.request.size_conditioning),
            negative_size_conditioning=self._framing(self.request.negative_size_conditioning),
            width=self._hires.width,
            height=self._hires.height,
        )

    def _painted_over(self, pictures: Pixels) -> Request:
        """The request with the second pass's steps, over these pictures."""
        return replace(
            self.request,
            num_inference_steps=self._hires.num_inference_steps,
            init=InitImage(pictures, self._hires.strength),
            hires=None,
        )

    def _framing(self, told: SizeConditioning | None) -> SizeConditioning | None:
        before = self.request.height, self.request.width
        return told.of_size(before, (self._hires.height, self._hires.width)) if told else None
