"""Is an artifact whole, and do the installed engines agree on what its graphs compute?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import Backend, open_backend, usable_backends
from sdrt.errors import ParityError
from sdrt.manifest import PICTURE, TensorSpec
from sdrt.request.size_conditioning import SizeConditioning
from sdrt.snr import snr_db

FREE_SIZE = {"batch": 1, "tokens": 77, "chunks": 1}
SCALARS = {"timestep": 500.0, "guidance_scale": 4.0}
LATENT_SIDE = 8
# Two engines in fp32 on the same stored weights. In int8 each rounds at places of its own, and
# more or less by a level; 20 dB is what an export in int8 has to be of the float graph.
AGREEMENT_DB, INT8_AGREEMENT_DB = 60.0, 20.0


@dataclass
class Verification:
    """What was checked: bytes against hashes, and graph outputs of one engine against another."""

    path: str
    files: int
    total_bytes: int
    graphs: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per graph: signal-to-noise ratio between each two engines, dB; empty with one engine."""
    is_recorded: bool = True
    """Whether there were hashes to compare with; folders that others exported have none."""

    def to_record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """For people."""
        finding = "all as recorded" if self.is_recorded else "without hashes to compare them with"
        lines = [f"{self.path}: {self.files} files, {self.total_bytes / 1e6:.1f} MB, {finding}"]
        for name, pairs in self.graphs.items():
            figures = ", ".join(f"{pair} {db:.1f} dB" for pair, db in pairs.items())
            lines.append(f"  {name}: {figures or 'runs, with finite results'}")
        return "\n".join(lines)


def verify_artifact(where: str | Path | None) -> Verification:
    """Hash every file, then run every graph in fp32 on every installed engine.

    Raises `ArtifactError` for a missing, changed or unreadable file, `NonFiniteError`, and
    `ParityError` when two engines differ by more than rounding.
    """
    artifact = open_artifact(where)
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


def _compare(artifact: Artifact, name: str, backends: list[Backend]) -> dict[str, float]:
    spec = artifact.manifest.graphs[name]
    feeds = seeded_feeds(artifact, name)
    outputs: dict[str, dict[str, Array]] = {}
    for backend in backends:
        if any(format in spec.files for format in backend.formats):
            outputs[backend.name] = run_network(artifact, name, backend, [feeds]).outputs[0]
    agreement = {}
    for one, other in itertools.combinations(outputs, 2):
        pairs = [
            (outputs[one][output.name], outputs[other][output.name]) for output in spec.outputs
        ]
        found = min(snr_db(*pair) for pair in pairs)
        is_int8 = artifact.manifest.stored(name) == "int8"
        expected = INT8_AGREEMENT_DB if is_int8 else AGREEMENT_DB
        if found < expected:
            raise ParityError(
                f"{name}: {one} and {other} differ by {found:.1f} dB, expected at least "
                f"{expected:.0f} dB; one of the engines computes wrong (sdrt doctor)"
            )
        agreement[f"{one} against {other}"] = round(found, 1)
    return agreement


@dataclass(frozen=True)
class Ran:
    """What a network gave, and how it was executed."""

    outputs: list[dict[str, Array]]
    executed: str
    warnings: tuple[str, ...]


def run_network(
    artifact: Artifact, name: str, backend: Backend, feeds: Sequence[Mapping[str, Array]]
) -> Ran:
    """Run a network on each of these inputs; afterwards it is not in memory any more."""
    graph = backend.open(artifact.network(name, backend.formats))
    outputs = [graph.run(one) for one in feeds]
    return Ran(outputs, graph.executed().precision, graph.warnings)


def seeded_feeds(
    artifact: Artifact, name: str, size: tuple[int, int] | None = None, seed: int = 0
) -> dict[str, Array]:
    """Inputs of a graph that are the same everywhere: normal numbers, byte tokens, timestep 500.

    `size` is the picture's width and height in pixels; by default it has eight latents a side.
    """
    rng = np.random.default_rng(seed)
    inputs = artifact.manifest.graphs[name].inputs
    downscale = artifact.manifest.latent.downscale
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
        feeds[PICTURE] = np.repeat(SizeConditioning.of(numbers, (height, width)).row, count, axis=0)
    return feeds


def _array(tensor: TensorSpec, sizes: Mapping[str, int], rng: np.random.Generator) -> Array:
    shape = [d if isinstance(d, int) else sizes.get(d, LATENT_SIDE) for d in tensor.shape]
    if tensor.dtype != "float32":
        return rng.integers(0, 256, shape).astype(tensor.dtype)
    if tensor.name in SCALARS:
        return np.array(SCALARS[tensor.name], np.float32)
    return rng.standard_normal(shape, np.float32)
