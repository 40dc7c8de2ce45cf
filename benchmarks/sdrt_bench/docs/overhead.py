"""Time of everything around the U-Net in a step: sampler, guidance, noise, and all checks.

A pipeline runs with a U-Net that returns at once, on latents of a 512x512 image with guidance.

    python -m sdrt_bench.docs.overhead
"""

import argparse
import json
import statistics
from collections.abc import Mapping

import numpy as np

from sdrt.arrays import Array
from sdrt.artifact import open_artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline
from sdrt.sampling.samplers.registry import SAMPLERS


def main() -> None:
    """Measure every sampler and print a table, or a record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pipe = Pipeline(open_artifact(), FakeBackend(instant_networks(args.size)))
    times = {name: measure_ms(pipe, name, args.size, args.steps) for name in SAMPLERS}
    if args.json:
        print(json.dumps(times, indent=1))
        return
    for name, (median, slowest) in sorted(times.items(), key=lambda item: -item[1][0]):
        print(f"{name:12} {median:6.3f} ms a step, slowest {slowest:6.3f} ms")


def measure_ms(pipe: Pipeline, sampler: str, size: int, steps: int) -> tuple[float, float]:
    """Measure the median and the slowest step, milliseconds."""
    run = pipe.start(
        "a boat",
        seed=1,
        sampler=sampler,
        num_inference_steps=steps,
        width=size,
        height=size,
        guidance_scale=7.5,
    )
    times = [1000 * step.seconds for step in run]
    return statistics.median(times), max(times)


def instant_networks(size: int) -> "InstantNetworks":
    """Make networks with the embedded model's shapes and fixed outputs."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 4, size // 8, size // 8), np.float32)
    states = rng.standard_normal((1, 77, 128), np.float32)
    return InstantNetworks({"out_sample": noise}, {"last_hidden_state": states})


class InstantNetworks:
    """Fixed outputs of both networks that a run needs before it decodes."""

    def __init__(self, unet: Mapping[str, Array], text_encoder: Mapping[str, Array]) -> None:
        self._outputs = {"unet": unet, "text_encoder": text_encoder}

    def __call__(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Give the output of a network."""
        return self._outputs[name]


if __name__ == "__main__":
    main()
