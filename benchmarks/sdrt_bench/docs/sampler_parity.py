"""How far sdrt's samplers are from the schedulers of diffusers: a table for the documentation.

Both start at the same latents, draw the same noise, and have the denoiser of `scheduler_trace`. The
latents after every step are compared, in the form x = x0 + sigma * noise.

    python -m sdrt_bench.docs.sampler_parity docs/measure/sampler-parity.md
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np

from sdrt.arrays import Array, Latents
from sdrt.backends import Network
from sdrt.backends.fake import FakeBackend
from sdrt.files.atomic import whole_file
from sdrt.manifest import GraphSpec, Prediction, TensorSpec
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.schedule import Steps, TrainingNoise
from sdrt.sampling.scheduler_config import read_sampler_settings, read_schedule
from sdrt_bench.docs.scheduler_trace import (
    SchedulerTrace,
    ideal_denoiser,
    network_output,
    trace_scheduler,
)
from sdrt_bench.docs.scheduler_variants import VARIANTS, SchedulerVariant, make_scheduler

COUNTS = (4, 10, 20, 50)
LIMIT = 1e-4

_UNET = GraphSpec(
    files={},
    inputs=(
        TensorSpec(name="sample", dtype="float32", shape=("batch", 4, "height", "width")),
        TensorSpec(name="timestep", dtype="float32", shape=()),
        TensorSpec(name="encoder_hidden_states", dtype="float32", shape=("batch", "tokens", 1)),
    ),
    outputs=(),
)


def sdrt_path(
    config: Mapping[str, Any],
    theirs: SchedulerTrace,
    prediction: Prediction,
    eta: float | None = None,
    on_their_levels: bool = False,
) -> list[Latents]:
    """Run sdrt with a scheduler's configuration; gives the latents after each step.

    It computes in float32 as in every run, or `on_their_levels`, the scheduler's, in float64.
    """
    sampler_settings = read_sampler_settings(config)
    if eta is not None:
        sampler_settings = replace(
            sampler_settings, options={**sampler_settings.options, "eta": eta}
        )
    noise = TrainingNoise.from_schedule(read_schedule(config))
    steps = sampler_settings.steps(noise, len(theirs.latents))
    kind: Any = np.float64 if on_their_levels else np.float32
    if on_their_levels:
        steps = Steps(np.array(theirs.sigmas), steps.timesteps, noise)
    level = 0.0

    def network(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        x = feeds["sample"] * np.sqrt(1 + level**2)
        return {
            "out_sample": network_output(ideal_denoiser(x, level), x, level, prediction).astype(
                np.float32
            )
        }

    denoiser = Denoiser(
        FakeBackend(network).open(Network("unet", _UNET, (), "fp32")),
        steps,
        prediction,
        np.zeros((1, 77, 1), np.float32),
        clipping=sampler_settings.clipping,
        timestep_scaling=sampler_settings.timestep_scaling,
    )

    def denoise(x: Latents, sigma: float) -> Latents:
        nonlocal level
        level = sigma
        return ideal_denoiser(x, sigma) if on_their_levels else denoiser(x, sigma)

    draws = iter(theirs.noise)
    path = sampler_settings.trajectory(
        denoise, theirs.start.astype(kind), steps, lambda: next(draws).astype(kind)
    )
    return [x for x, _ in path]


def distance(theirs: SchedulerTrace, path: list[Latents]) -> float:
    """Give the largest difference of a path, relative to the largest latent of the step."""
    pairs = zip(path, theirs.latents, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def measure(
    variant: SchedulerVariant, prediction: Prediction, spacing: str | None, count: int
) -> float:
    """Measure how far sdrt is from diffusers with the scheduler's configuration alone."""
    scheduler = make_scheduler(variant, prediction, spacing)
    config = {**scheduler.config, "_class_name": variant.cls}
    theirs = trace_scheduler(scheduler, count, prediction, variant.step_arguments)
    return distance(
        theirs, sdrt_path(config, theirs, prediction, variant.step_arguments.get("eta"))
    )


def main() -> None:
    """Measure every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="a Markdown file")
    args = parser.parse_args()
    with whole_file(args.output) as partial:
        partial.write_text("\n".join(report()) + "\n", encoding="utf-8")


HEADER = """# Samplers against diffusers

Made by `python -m sdrt_bench.docs.sampler_parity` with diffusers {version}. Each figure is the
largest difference of the latents over a whole run, relative to the largest latent, among runs of
{counts} steps on normally distributed data with the ideal network for them, from the same start
and with the same noise. sdrt is given only the scheduler's configuration, and computes in float32;
diffusers computes in float64, on its own float32 noise levels.
"""


def report() -> Iterator[str]:
    """Write the page, line by line."""
    yield HEADER.format(version=diffusers.__version__, counts=", ".join(map(str, COUNTS)))
    yield "| sampler | class | spacing | epsilon | v_prediction | sample |"
    yield "|---|---|---|---|---|---|"
    for variant in VARIANTS:
        for spacing in variant.spacings or (None,):
            cells = [
                f"{max(measure(variant, kind, spacing, n) for n in COUNTS):.0e}"
                if kind not in variant.refuses
                else "-"
                for kind in ("epsilon", "v_prediction", "sample")
            ]
            row = [variant.name, variant.cls, spacing or "its own", *cells]
            yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    main()
