"""Parity of exported graphs with torch: one signal-to-noise ratio per network and engine, in dB."""

from dataclasses import dataclass

import numpy as np
import torch

from sdrt.arrays import Array, snr_db
from sdrt.backends import Backend, Network
from sdrt.errors import ParityError
from sdrt.manifest import PICTURE, POOLED, Precision
from sdrt.validation import MAX_SIZE
from sdrt_export.graphs.networks import ExportableNetwork

# Below these an export is not published. fp32 graphs differ from torch by rounding only; bf16
# weights have 8 bits and leave about 45 dB of a network's output; int8, with rounded activations,
# leaves 30 to 50 dB of a trained U-Net's.
FLOOR_DB: dict[Precision, float] = {"fp32": 80.0, "bf16": 40.0, "int8": 20.0}

# Batch, size of latents, timesteps. One size is a multiple of the U-Net's 8, the other is not. Only
# two shapes, because OpenVINO compiles the network for each, which takes longer than running it.
PROBES = (
    (1, (16, 24), (1.0, 601.0)),
    (2, (25, 17), (250.5, 999.0)),
)


@dataclass(frozen=True)
class ReferenceCase:
    """Inputs of a network, and the outputs that are expected for them."""

    feeds: dict[str, Array]
    """The inputs by their names."""
    expected: dict[str, Array]
    """The outputs by their names."""


@torch.no_grad()
def reference_cases(
    network: ExportableNetwork, downscale: int, seed: int = 0
) -> list[ReferenceCase]:
    """Run torch in fp32 on seeded inputs of both shapes and several timesteps."""
    rng = np.random.default_rng(seed)
    cases = []
    for feeds in _inputs(network, downscale, rng):
        tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
        outputs = network.module(**tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = [output.numpy() for output in outputs]
        cases.append(ReferenceCase(feeds, dict(zip(network.output_axes, arrays, strict=True))))
    return cases


def parity_db(network: Network, backend: Backend, cases: list[ReferenceCase]) -> float:
    """The worst signal-to-noise ratio of a graph on an engine over all cases and outputs."""
    graph = backend.open(network)
    figures = []
    for case in cases:
        outputs = graph.run(case.feeds)
        figures += [snr_db(expected, outputs[name]) for name, expected in case.expected.items()]
    return min(figures)


def check_floor(name: str, precision: Precision, figures: dict[str, float]) -> None:
    """Raise `ParityError` if any engine is below the floor of this storage precision.

    The reference of float graphs is torch in fp32, that of int8 graphs is the float graph.
    """
    floor = FLOOR_DB[precision]
    for backend, db in figures.items():
        if not db >= floor:  # also when it is NaN
            raise ParityError(
                f"{name} on {backend} is {db:.1f} dB from its reference, expected at least "
                f"{floor:.0f} dB for {precision}; nothing was published"
            )


def _inputs(
    network: ExportableNetwork, downscale: int, rng: np.random.Generator
) -> list[dict[str, Array]]:
    """Normal latents, images and embeddings, and token ids from the whole vocabulary."""
    runs = None if "timestep" in network.example else 1
    cases = [
        {
            name: _array(name, tensor, batch, size, downscale, timestep, rng)
            for name, tensor in network.example.items()
        }
        for batch, size, timesteps in PROBES
        for timestep in timesteps[:runs]
    ]
    if POOLED in network.output_axes:  # which is read where the text ends
        for feeds in cases:
            ids = feeds["input_ids"]
            ids[:, rng.integers(1, ids.shape[1])] = network.config["eos_token_id"]
    return cases


def _array(
    name: str,
    example: torch.Tensor,
    batch: int,
    size: tuple[int, int],
    downscale: int,
    timestep: float,
    rng: np.random.Generator,
) -> Array:
    if name == "timestep":
        return np.array(timestep, np.float32)
    shape = [batch, *example.shape[1:]]
    if name == "input_ids":
        return rng.integers(0, int(example.max()) + 1, shape)
    if name == PICTURE:
        return rng.integers(0, MAX_SIZE, shape).astype(np.float32)
    if len(shape) == 4:
        is_picture = example.shape[1] == 3
        shape[2:] = [side * (downscale if is_picture else 1) for side in size]
    return rng.standard_normal(shape, np.float32)
