"""Runs two models or engines at the same prompts, seeds and steps, and compares B with A."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.images.metadata import Parameters
from sdrt.manifest import Latent
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.resolve import check_prompt_alone
from sdrt_bench.compare.comparison import ModelComparison, Pair
from sdrt_bench.precision_check import check_executed
from sdrt_bench.prompts import Prompt
from sdrt_bench.similarity import Pixels, latent_psnr_db, psnr_db, ssim

Watch = Callable[[Run], AbstractContextManager[Iterable[Step]]]

KEPT = frozenset({"text_encoder", "text_encoder_2", "unet", "vae_decoder"})
"""These networks of one side at a time stay in memory from prompt to prompt."""


def complete(a: Pipeline, b: Pipeline, options: Options) -> Options:
    """Complete the options with A's defaults, so that both sides sample in the same way.

    Raises `UsageError` where the two cannot be compared: other latents, other default sizes and
    none given, other levels of noise; `UnsupportedError` for models that take a picture.
    """
    for pipe in (a, b):
        check_prompt_alone(pipe.artifact.manifest, "a comparison has none to give")
    _check_latents(a.artifact.manifest.latent, b.artifact.manifest.latent)
    ours, theirs = (pipe.artifact.manifest.defaults for pipe in (a, b))
    sizes = [(defaults.width, defaults.height) for defaults in (ours, theirs)]
    if sizes[0] != sizes[1] and not {"width", "height"} <= options.keys():
        (width, height), (other_width, other_height) = sizes
        raise UsageError(
            f"A paints {width}x{height} pixels by default and B {other_width}x{other_height}; say "
            f"which both shall paint, for example --size {width}x{height}"
        )
    request = a.start("", **options).request
    completed: Options = {
        **options,
        "width": request.width,
        "height": request.height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance.scale,
        "sampler": request.sampler_settings.sampler,
        "sampler_options": request.sampler_settings.options,
        "scheduler": request.sampler_settings.scheduler,
        "spacing": request.sampler_settings.spacing,
    }
    other = b.start("", **completed).request
    has_same_options = request.sampler_settings.options == other.sampler_settings.options
    if not has_same_options or not np.array_equal(
        request.steps(a.training_noise).sigmas, other.steps(b.training_noise).sigmas
    ):
        raise UsageError(
            "with these settings B goes another way than A, so that their steps cannot be "
            "compared: other levels of noise, or other options of the sampler; sdrt info shows "
            "what each model was trained on and how it spaces its steps"
        )
    return completed


def compare(
    a: Pipeline,
    b: Pipeline,
    prompts: Sequence[Prompt],
    seed: int = 0,
    options: Options | None = None,
    watch: Watch = nullcontext,
) -> ModelComparison:
    """Paint all prompts on A, then on B, prompt i with `seed + i`.

    Networks of only one side are in memory at a time. `watch` is given each run and hands out the
    steps that are to be gone through. Raises `UsageError` for models that do not fit, and
    `UnsupportedError` where an engine executes another precision than it was asked for.
    """
    completed = complete(a, b, options or {})
    a.start("", **_seeded(completed, seed + len(prompts) - 1))  # the last seed must be valid, too
    for name, pipe in (("A", a), ("B", b)):
        if pipe.backend.precision:
            check_executed(name, pipe.artifact, pipe.backend)
    warnings: dict[str, None] = {}  # in order, each once

    def paint(name: str, pipe: Pipeline, index: int) -> _Painted:
        run = pipe.start(prompts[index].text, **_seeded(completed, seed + index))
        with watch(run) as steps:
            latents = [step.latents[0] for step in steps]
            result = run.result()
        warnings.update({f"{name}: {warning}": None for warning in result.warnings})
        return _Painted(latents, np.asarray(result.images[0]), result.parameters[0])

    references = [paint("A", a, index) for index in range(len(prompts))]
    a.release()
    parameters, pairs = references[0].parameters, []
    for index, reference in enumerate(references):
        painted = paint("B", b, index)
        pairs.append(_pair(prompts[index], seed + index, reference, painted))
    b.release()
    return ModelComparison((parameters, painted.parameters), pairs, list(warnings))


@dataclass(frozen=True)
class _Painted:
    """One prompt, painted on one side."""

    latents: list[Latents]
    """They are kept after each step: (channels, h/8, w/8)."""
    pixels: Pixels
    parameters: Parameters


def _seeded(options: Options, seed: int) -> Options:
    return {**options, "seed": seed}


def _pair(prompt: Prompt, seed: int, a: _Painted, b: _Painted) -> Pair:
    judge = prompt.judge
    return Pair(
        prompt=prompt.text,
        seed=seed,
        latent_psnr_db=[latent_psnr_db(*both) for both in zip(a.latents, b.latents, strict=True)],
        psnr_db=psnr_db(a.pixels, b.pixels),
        ssim=ssim(a.pixels, b.pixels),
        shown=(judge(a.pixels), judge(b.pixels)) if judge else None,
        pictures=(a.pixels, b.pixels),
    )


def _check_latents(a: Latent, b: Latent) -> None:
    ours, theirs = (
        f"{latent.channels} channels, 1/{latent.downscale} of the size, scaled by {latent.scale:g}"
        for latent in (a, b)
    )
    if ours != theirs:
        raise UsageError(
            f"the latents of A and B do not fit: A has {ours}, B {theirs}; expected exports of "
            "one model, or of models with the same autoencoder"
        )
