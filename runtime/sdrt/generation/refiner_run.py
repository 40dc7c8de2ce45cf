"""A run of two models: the base makes the first steps, its refiner the others."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from sdrt import validation
from sdrt.errors import UsageError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.manifest import Manifest
from sdrt.memory.estimate import MemoryPlan
from sdrt.request.denoising_range import DenoisingRange
from sdrt.request.options import Options
from sdrt.request.request import Request
from sdrt.request.resolve import resolve

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline

START = 0.8
OF_BASE = ("image", "strength", "target_size", "negative_target_size")
OF_REFINER = ("aesthetic_score", "negative_aesthetic_score", "decoder")


class RefinedRun(Run):
    """A run whose last steps another model makes, with the same prompt, seeds and noise levels.

    The base's networks are released before the refiner's are loaded. Raises `UsageError` for two
    models that do not fit, and for options that only whole runs have.
    """

    def __init__(
        self,
        base: "Pipeline",
        refiner: "Pipeline",
        start: float,
        prompt: str | None,
        options: Options,
    ) -> None:
        _check_fit(base, refiner)
        if not 0 < validation.number("refiner_start", start, 1) < 1:
            raise UsageError(
                f"refiner_start is {start:g}; expected a share of the run between 0 and 1"
            )
        own: dict[str, object] = {**_without(options, OF_REFINER), "denoising_end": start}
        request = resolve(base.artifact.manifest, prompt, cast(Options, own))
        super().__init__(base, request)
        asked = _asked(refiner, request, prompt, options)
        made_by = {"model": base.artifact.manifest.name, "model_hash": base.artifact.hash}
        denoising_range = DenoisingRange(start=request.denoising_range.end, base=made_by)
        self._second = Run(
            refiner,
            replace(
                asked, denoising_range=denoising_range, sampler_settings=request.sampler_settings
            ),
        )
        self.state = self._second.state

    @cached_property
    def plan(self) -> MemoryPlan:
        """How the base is run; what the refiner has no memory for is refused now too."""
        _ = self._second.plan
        return super().plan

    def will_decode(self, decoder: str | None = None) -> None:
        """Plan for steps that are decoded on the way, those of both models."""
        super().will_decode(decoder)
        self._second.will_decode(decoder)

    def __len__(self) -> int:
        """How many steps both models make."""
        return super().__len__() + len(self._second)

    def _make_steps(self) -> Iterator[Step]:
        made = super().__len__()
        for step in super()._make_steps():
            yield replace(step, count=len(self))
        assert self._latents is not None
        second, latents = self._second, self._latents
        self._latents = None
        self.pipeline.release()
        second.request = replace(
            second.request, denoising_range=replace(second.request.denoising_range, latents=latents)
        )
        with self.state.at("refiner"):
            for step in second:
                # Before the step is shown: after the last one nobody may come back.
                self._latents = second._latents
                self.pipeline, self.request = second.pipeline, second.request
                yield replace(step, index=made + step.index, count=len(self))


def _asked(refiner: "Pipeline", first: Request, prompt: str | None, options: Options) -> Request:
    """What the refiner is asked for: a run like the base's, of which it makes a part."""
    own: dict[str, object] = {
        **_without(options, OF_BASE),
        "seed": first.seeds,
        "width": first.width,
        "height": first.height,
        "num_inference_steps": first.num_inference_steps,
        "guidance_scale": first.guidance.scale,
    }
    return resolve(refiner.artifact.manifest, prompt, cast(Options, own))


def _without(options: Options, names: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in options.items() if name not in names}


def _check_fit(base: "Pipeline", refiner: "Pipeline") -> None:
    """Raise `UsageError` for models with other latents, or trained on other noise."""
    names, facts = zip(*(_facts(one.artifact.manifest) for one in (base, refiner)), strict=True)
    for what, ours, theirs in zip(("latents", "noise"), *facts, strict=True):
        if ours != theirs:
            raise UsageError(
                f"{names[1]!r} cannot go on from the {what} of {names[0]!r}: {theirs}, expected "
                f"{ours}; give two models of one family"
            )


def _facts(manifest: Manifest) -> tuple[str, tuple[dict[str, object], ...]]:
    """A model's name, and what another one has to share with it."""
    latents = manifest.latent.model_dump(exclude={"preview"})
    noise = manifest.schedule.model_dump(exclude={"spacing", "offset"})
    return manifest.name, (latents, noise)
