"""A base model makes the first steps of a run, its refiner the others."""

from collections.abc import Collection, Generator
from dataclasses import replace
from typing import cast

from sdrt import validation
from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.files.tuned_speed import NOT_TUNED
from sdrt.generation.controls import check_controls
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.result import Step
from sdrt.generation.run import Run, renumbered
from sdrt.manifest import Manifest
from sdrt.memory.budget import Budget
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.denoising_range import DenoisingRange
from sdrt.request.options import Options
from sdrt.request.request import Request
from sdrt.request.resolve import resolve

START = 0.8
BASE_OPTIONS = (
    *("image", "strength", "target_size", "negative_target_size"),
    *("controls", "guess_mode"),
)
"""Options that the refiner does not take."""
REFINER_OPTIONS = ("aesthetic_score", "negative_aesthetic_score", "decoder")
"""Options that the base does not take."""


def refiner_run(
    base: OpenModel,
    refiner: OpenModel,
    start: float,
    prompt: str | None,
    options: Options,
    budget: Budget | None = None,
) -> Run:
    """A run that goes over to the refiner at `start`, a share of the run between 0 and 1.

    Both models have the same prompt, seeds and noise levels. The base's networks are released
    before the refiner's are loaded. Raises `UsageError` for two models that do not fit, and for
    options that only whole runs have.
    """
    _check_fit(base.manifest, refiner.manifest)
    if not 0 < validation.number("refiner_start", start, 1) < 1:
        raise UsageError(f"refiner_start is {start:g}; expected a share of the run between 0 and 1")
    own: dict[str, object] = {**_without(options, REFINER_OPTIONS), "denoising_end": start}
    tuned = base.artifact.tuned_speed() if "speed" in options else NOT_TUNED
    first = resolve(base.manifest, prompt, cast(Options, own), tuned)
    check_controls(base, first)
    whole = _refiner_request(refiner.manifest, first, prompt, options)
    made_by = {"model": base.manifest.name, "model_hash": base.artifact.hash}
    second = replace(
        whole,
        denoising_range=DenoisingRange(start=first.denoising_range.end, base=made_by),
        sampler_settings=first.sampler_settings,
    )
    budget = budget or Budget()
    passes = RefinerPasses(
        DenoisingPass(base, first, budget), DenoisingPass(refiner, second, budget)
    )
    return Run(refiner, second, passes=passes)


class RefinerPasses:
    """The base's pass, then the refiner's, from the latents that the base was left at."""

    def __init__(self, base: DenoisingPass, refiner: DenoisingPass) -> None:
        self._base, self._refiner = base, refiner
        self.current = base

    def __len__(self) -> int:
        """How many steps both models make."""
        return len(self._base) + len(self._refiner)

    @property
    def plan(self) -> MemoryPlan:
        """How the base is run; raises `OutOfMemoryError` for what the refiner cannot do either."""
        _ = self._refiner.plan
        return self._base.plan

    @property
    def planned(self) -> tuple[DenoisingPass, ...]:
        """Both passes: the base leaves memory before the refiner comes."""
        return self._base, self._refiner

    def with_previews(self, decoder: str | None) -> "RefinerPasses":
        """The same with a decoder in memory beside each U-Net."""
        return RefinerPasses(
            self._base.with_previews(decoder), self._refiner.with_previews(decoder)
        )

    def run(self, state: RunState) -> Generator[Step, None, Latents]:
        """Yield the steps of both models, counted as one row."""
        state.cancellation.check()
        _ = self.plan  # what either has no memory for is refused before any work
        count = len(self)
        latents = yield from renumbered(self._base.run(state), 0, count)
        self._base.model.release()
        request = self._refiner.request
        denoising_range = replace(request.denoising_range, latents=latents)
        self.current = replace(
            self._refiner,
            request=replace(request, denoising_range=denoising_range),
            own_plan=self._refiner.plan,
        )
        with state.at("refiner"):
            return (yield from renumbered(self.current.run(state), len(self._base), count))


def _refiner_request(
    manifest: Manifest, first: Request, prompt: str | None, options: Options
) -> Request:
    """The request of a whole run by the refiner, with what the base's run has."""
    own: dict[str, object] = {
        **_without(options, BASE_OPTIONS),
        "seed": first.seeds,
        "width": first.width,
        "height": first.height,
        "num_inference_steps": first.num_inference_steps,
        "guidance_scale": first.guidance.scale,
    }
    return resolve(manifest, prompt, cast(Options, own))


def _without(options: Options, names: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in options.items() if name not in names}


def _check_fit(base: Manifest, refiner: Manifest) -> None:
    """Raise `UsageError` for models with other latents, or trained on other noise."""
    shared = zip(("latents", "noise"), _shared_facts(base), _shared_facts(refiner), strict=True)
    for subject, expected, found in shared:
        if expected != found:
            raise UsageError(
                f"{refiner.name!r} cannot go on from the {subject} of {base.name!r}: {found}, "
                f"expected {expected}; give two models of one family"
            )


def _shared_facts(manifest: Manifest) -> tuple[dict[str, object], dict[str, object]]:
    """Latents and training noise, which two models of one run have to share."""
    latents = manifest.latent.model_dump(exclude={"preview"})
    noise = manifest.schedule.model_dump(exclude={"spacing", "offset"})
    return latents, noise
