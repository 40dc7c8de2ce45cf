"""Verification of an artifact: file hashes, and whether the installed engines agree."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array, snr_db
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.artifact.controlnet import ControlNetFolder, is_controlnet, open_controlnet
from sdrt.backends.backend import Backend, open_backend, usable_backends
from sdrt.errors import ParityError
from sdrt.manifest import PICTURE, TensorSpec
from sdrt.request.size_conditioning import SizeConditioning

FREE_SIZE = {"batch": 1, "tokens": 77, "chunks": 1}
SCALARS = {"timestep": 500.0, "guidance_scale": 4.0}
LATENT_SIDE = 8
# Least signal-to-noise ratio between two engines in fp32 on the same stored weights. In int8 each
# engine rounds at its own places, by a level or so; 20 dB is also the export's limit for int8.
AGREEMENT_DB, INT8_AGREEMENT_DB = 60.0, 20.0


@dataclass
class Verification:
    """The files whose hashes were checked, and the agreement of engines on each graph."""

    path: str
    files: int
    total_bytes: int
    graphs: dict[str, dict[str, float]] = field(default_factory=dict)
    """Signal-to-noise ratios by graph and pair of engines, dB; none if there is one engine only."""
    is_recorded: bool = True
    """Whether there were hashes to compare with; folders of other exporters have none."""

    def to_record(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """The report as text."""
        state = "all as recorded" if self.is_recorded else "without hashes to compare them with"
        lines = [f"{self.path}: {self.files} files, {self.total_bytes / 1e6:.1f} MB, {state}"]
        for name, pairs in self.graphs.items():
            figures = ", ".join(f"{pair} {db:.1f} dB" for pair, db in pairs.items())
            lines.append(f"  {name}: {figures or 'runs, with finite results'}")
        return "\n".join(lines)


def verify_artifact(where: str | Path | None) -> Verification:
    """Hash every file, then run every graph in fp32 on every installed engine.

    Raises `ArtifactError` for a missing, changed or unreadable file, `NonFiniteError`, and
    `ParityError` when two engines differ by more than rounding.
    """
    artifact = open_folder(where)
    records = artifact.manifest.files
    for file in records:
        artifact.check(file, remember=False)
    report = Verification(
        str(artifact.root),
        len(records),
        sum(record.size for record in records.values()),
        is_recorded=not artifact.is_foreign,
    )
    backends = [open_backend(name, precision="fp32") for name in usable_backends()]
    for name in artifact.manifest.graphs:
        report.graphs[name] = _compare(artifact, name, backends)
    return report


def open_folder(where: str | Path | None) -> Artifact | ControlNetFolder:
    """A model's folder, or a ControlNet's."""
    if where is not None and is_controlnet(where):
        return open_controlnet(where)
    return open_artifact(where)


def _compare(
    artifact: Artifact | ControlNetFolder, name: str, backends: list[Backend]
) -> dict[str, float]:
    spec = artifact.manifest.graphs[name]
    feeds = seeded_feeds(artifact, name)
    outputs: dict[str, dict[str, Array]] = {}
    for backend in backends:
        if any(format in spec.files for format in backend.formats):
            outputs[backend.name] = run_network(artifact, name, backend, [feeds]).outputs[0]
    agreement = {}
    for first, second in itertools.combinations(outputs, 2):
        db = min(
            snr_db(outputs[first][output.name], outputs[second][output.name])
            for output in spec.outputs
        )
        is_int8 = artifact.manifest.stored(name) == "int8"
        floor = INT8_AGREEMENT_DB if is_int8 else AGREEMENT_DB
        if db < floor:
            raise ParityError(
                f"{name}: {first} and {second} differ by {db:.1f} dB, expected at least "
                f"{floor:.0f} dB; one of the engines computes wrong (sdrt doctor)"
            )
        agreement[f"{first} against {second}"] = round(db, 1)
    return agreement


@dataclass(frozen=True)
class NetworkResult:
    """The outputs of a network, and how it was executed."""

    outputs: list[dict[str, Array]]
    """The outputs by name, for each of the inputs."""
    executed: str
    """The precision that the engine executed."""
    warnings: tuple[str, ...]
    """The engine's warnings about this network."""


def run_network(
    artifact: Artifact | ControlNetFolder,
    name: str,
    backend: Backend,
    feeds: Sequence[Mapping[str, Array]],
) -> NetworkResult:
    """Run a network on each of these inputs, and release it."""
    graph = backend.open(artifact.network(name, backend.formats))
    outputs = [graph.run(inputs) for inputs in feeds]
    return NetworkResult(outputs, graph.executed().precision, graph.warnings)


def seeded_feeds(
    artifact: Artifact | ControlNetFolder,
    name: str,
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> dict[str, Array]:
    """Reproducible inputs of a graph: normal random numbers, random byte tokens, timestep 500.

    `size` is the picture's width and height in pixels; by default it has eight latents a side.
    """
    rng = np.random.default_rng(seed)
    inputs = artifact.manifest.graphs[name].inputs
    downscale = artifact.manifest.downscale
    width, height = size or (LATENT_SIDE * downscale, LATENT_SIDE * downscale)
    sizes = {
        **FREE_SIZE,
        "image_width": width,
        "image_height": height,
        "width": width // downscale,
        "height": height // downscale,
    }
    feeds = {tensor.name: _array(tensor, sizes, rng) for tensor in inputs}
    if PICTURE in feeds:
        count, numbers = feeds[PICTURE].shape
        feeds[PICTURE] = np.repeat(
            SizeConditioning.uncropped(numbers, (height, width)).row, count, axis=0
        )
    return feeds


def _array(tensor: TensorSpec, sizes: Mapping[str, int], rng: np.random.Generator) -> Array:
    shape = [d if isinstance(d, int) else sizes.get(d, LATENT_SIDE) for d in tensor.shape]
    if tensor.dtype != "float32":
        return rng.integers(0, 256, shape).astype(tensor.dtype)
    if tensor.name in SCALARS:
        return np.array(SCALARS[tensor.name], np.float32)
    return rng.standard_normal(shape, np.float32)
