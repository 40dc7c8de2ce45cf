"""Make pictures, and keep what each stage gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from sdrt import validation
from sdrt.arrays import Array
from sdrt.diagnostics.conformance.golden import Case, write_golden
from sdrt.diagnostics.conformance.stages import FEEDS, Recording, Stages, check_stages
from sdrt.diagnostics.conformance.tolerance import EXACT, REDUCED
from sdrt.errors import UsageError
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.resolve import resolve
from sdrt.sampling.samplers.aliases import find_sampler
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.version import __version__

NAMES = ("ddim", "euler", "euler_a", "dpm++2m", "dpm++2m karras", "unipc", "lcm")
"""What a C++ host has."""
STEPS = 6
SIZE = (128, 128)  # as in the other measurements: a sixteenth of the work at 512x512
PROMPT = "a red boat on the sea at sunset"
NEGATIVE = "blurry, ugly"
# Weights, nesting, brackets that are text, BREAK, other scripts, and more than fits one chunk.
LONG_PROMPT = (
    r"a (red:1.3) boat, [pale] sky \(oil\), ((sunset)), café, 日本の海, ☕ it's 1923's BREAK "
    + "a stone harbour in the (old town:0.8) with gulls over the water, " * 8
)
LONG_SEED = 2**32 + 5  # torch takes its lower half


@dataclass(frozen=True)
class GoldenPlan:
    """Which cases to make, and where the U-Net's answers are kept."""

    samplers: Sequence[str] = NAMES
    steps: int = STEPS
    size: tuple[int, int] = SIZE
    unet_steps: Sequence[int] | None = None
    """None: the first and the last."""

    def options(self, pipeline: Pipeline) -> dict[str, tuple[str, Options]]:
        """Prompt and options of each case by its name; raises `UsageError`."""
        width, height = self.size
        least = validation.MIN_LATENT * pipeline.artifact.manifest.latent.downscale
        common: Options = {"width": width, "height": height, "num_inference_steps": self.steps}
        if not self.samplers:
            raise UsageError("no sampler was given; expected at least one")
        wide: Options = {**common, "height": max(least, height // 2)}
        cases: dict[str, tuple[str, Options]] = {
            "long-prompt": (LONG_PROMPT, {**wide, "seed": LONG_SEED}),
            "unguided": (PROMPT, {**common, "seed": 1, "guidance_scale": 1.0}),
        }
        for seed, asked in enumerate(self.samplers, 2):
            name, scheduler = find_sampler(asked) or (
                validation.known("sampler", asked, SAMPLERS),
                None,
            )
            options: Options = {**common, "seed": seed, "sampler": name}
            options["negative_prompt"] = NEGATIVE
            if scheduler:
                options["scheduler"] = scheduler
            cases["-".join(filter(None, (name, scheduler)))] = PROMPT, options
        return cases

    def kept(self, answers: int) -> tuple[int, ...]:
        """Numbers of the U-Net's answers to keep; raises `UsageError`."""
        chosen = (0, answers - 1) if self.unet_steps is None else self.unet_steps
        return tuple(sorted({validation.whole("a U-Net step", i, 0, answers - 1) for i in chosen}))


def record(pipeline: Pipeline, path: Path, plan: GoldenPlan) -> list[Case]:
    """Write a file of golden vectors; whatever cannot be is refused before any work."""
    check_stages(pipeline.manifest)
    stages = {}
    for name, (prompt, options) in plan.options(pipeline).items():
        stages[name] = Stages(pipeline, resolve(pipeline.manifest, prompt, options))
        plan.kept(plan.steps)
    cases = [_record(name, those, plan) for name, those in stages.items()]
    write_golden(path, pipeline.artifact, cases, _made_with(pipeline.backend.name))
    return [case for case, _ in cases]


def _record(name: str, stages: Stages, plan: GoldenPlan) -> tuple[Case, Mapping[str, Array]]:
    recording = Recording()
    run = stages.run(recording)
    latents = np.concatenate([step.latents for step in run])
    picture = np.asarray(run.result().images[0])
    answers = recording.answers
    denoised = np.concatenate([answer.denoised for answer in answers])
    _, drawn = stages.sample(stages.noise(1), denoised)
    arrays: dict[str, Array] = {}
    prompts = zip(("", "negative_"), stages.tokens(), recording.embeddings, strict=False)
    for prefix, tokens, embeddings in prompts:
        arrays[f"{prefix}ids"], arrays[f"{prefix}weights"] = tokens.ids, tokens.weights
        arrays[f"{prefix}embeddings"] = embeddings
    arrays |= {
        "noise": stages.noise(drawn),
        "sigmas": np.asarray(stages.steps.sigmas, np.float64),
        "timesteps": np.asarray(stages.steps.timesteps, np.float64),
        "levels": np.array([answer.sigma for answer in answers], np.float64),
        "denoised": denoised,
        "latents": latents,
        "pixels": picture,
    }
    kept = plan.kept(len(answers))
    for i in kept:
        arrays |= {f"unet/{i}/{FEEDS[feed]}": a for feed, a in answers[i].feeds.items()}
        arrays[f"unet/{i}/out"] = answers[i].out
    return _case(name, run, kept), arrays


def _case(name: str, run: Run, kept: tuple[int, ...]) -> Case:
    request, networks = run.request, run.state.networks
    is_exact = all(network.executed == "fp32" for network in networks.values())
    return Case(
        name=name,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=request.seeds[0],
        width=request.width,
        height=request.height,
        steps=request.num_inference_steps,
        sampler=request.sampler_settings.sampler,
        sampler_options=dict(request.sampler_settings.options),
        scheduler=request.sampler_settings.scheduler,
        guidance_scale=request.guidance.scale,
        unet_steps=kept,
        backend=run.model.backend.name,
        precision=networks["unet"].executed,
        tolerances=EXACT if is_exact else REDUCED,
        reduced_tolerances=REDUCED,
    )


def _made_with(engine: str) -> dict[str, str]:
    try:
        return {"sdrt": __version__, engine: version(engine)}
    except PackageNotFoundError:
        return {"sdrt": __version__}
