"""Checkpoint -> artifact, one network after the other: trace, store, convert, verify, publish."""

import ctypes
import gc
import logging
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sdrt.backends import Backend, Network
from sdrt.backends.openvino import OpenVinoBackend
from sdrt.backends.ort import OrtBackend
from sdrt.errors import UsageError
from sdrt.manifest import (
    FORMATS,
    PRECISIONS,
    Defaults,
    Format,
    GraphSpec,
    Manifest,
    Precision,
    TextEncoder,
)
from sdrt_export.artifact import Stage, staged
from sdrt_export.checkpoint import Checkpoint, FolderCheckpoint
from sdrt_export.layout import write_layout
from sdrt_export.networks import ExportableNetwork, networks
from sdrt_export.preview import with_preview
from sdrt_export.to_onnx import Signature, signature, trace, write_onnx
from sdrt_export.to_openvino import write_openvino
from sdrt_export.verify import Case, check_floor, graph_spec, parity_db, reference_cases

logger = logging.getLogger(__name__)

BYTES_PER_WEIGHT: dict[Precision, int] = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Report:
    """What an export did: the artifact's manifest, how long it took, how much memory."""

    path: Path
    manifest: Manifest
    seconds: float
    peak_bytes: int
    """Largest resident memory of the process."""


def export(
    source: str | Path | Checkpoint,
    destination: str | Path,
    precision: Precision = "fp32",
    formats: Sequence[Format] = FORMATS,
    defaults: Defaults | None = None,
) -> Report:
    """Export a model and publish it only if every graph computes what torch computes.

    `source` is a diffusers folder of Stable Diffusion 1.x, or a `Checkpoint`. Raises
    `ArtifactError`, `UnsupportedError`, `ParityError`, `WriteError`, `LockedError` or `UsageError`;
    then the destination is as it was before.
    """
    started = time.perf_counter()
    chosen = _chosen_formats(precision, formats)
    checkpoint = source if isinstance(source, Checkpoint) else FolderCheckpoint.open(Path(source))
    # What cannot be sampled is refused before the work.
    prediction, schedule = checkpoint.prediction, checkpoint.schedule
    defaults = defaults or checkpoint.defaults
    needed = _needed_bytes(checkpoint, precision, len(chosen))
    with staged(Path(destination), needed) as stage:
        graphs, latent = {}, checkpoint.latent
        for network in networks(checkpoint):
            if network.name == "vae_decoder":
                latent = with_preview(latent, network.module)
            traced = _trace(network, checkpoint, stage, precision)
            del network  # its weights, before an engine maps or copies what was written
            _give_back_memory()
            graphs[traced.name] = _finish(traced, stage, chosen)
        write_layout(stage, checkpoint)
        manifest = stage.publish(
            Manifest(
                name=checkpoint.name,
                family="sd1",
                source=checkpoint.source,
                precision=precision,
                prediction=prediction,
                schedule=schedule,
                latent=latent,
                text_encoders=(TextEncoder(graph="text_encoder", tokenizer="tokenizer"),),
                graphs=graphs,
                defaults=defaults,
                made_with={name: version(name) for name in ("sdrt", "torch", "diffusers")},
            )
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Report(stage.destination, manifest, time.perf_counter() - started, peak)


@dataclass(frozen=True)
class _Traced:
    """A network as ONNX on disk, and what torch makes of it."""

    name: str
    precision: Precision
    files: list[Path]
    signature: Signature
    cases: list[Case]


def _trace(
    network: ExportableNetwork, checkpoint: Checkpoint, stage: Stage, precision: Precision
) -> _Traced:
    started = time.perf_counter()
    cases = reference_cases(network, checkpoint.latent.downscale)
    model = trace(network)
    described = signature(model)
    stage.write_json(f"{network.name}/config.json", network.config)
    files = write_onnx(model, stage.folder / network.name, precision)
    logger.info("%s: traced and written in %.0f s", network.name, time.perf_counter() - started)
    return _Traced(network.name, precision, files, described, cases)


def _finish(traced: _Traced, stage: Stage, formats: Sequence[Format]) -> GraphSpec:
    """Convert, hold both engines against torch, and describe the network for the manifest."""
    name, started = traced.name, time.perf_counter()
    files: dict[Format, list[Path]] = {"onnx": traced.files}
    if "openvino" in formats:
        files["openvino"] = write_openvino(traced.files)
    inputs, outputs = traced.signature
    spec = GraphSpec(files=_relative(files, stage.folder), inputs=inputs, outputs=outputs)
    figures = {}
    for backend in _backends():
        opened = next(f for f in backend.formats if f in files)
        network = Network(name, spec, tuple(files[opened]), traced.precision)
        figures[backend.name] = parity_db(network, backend, traced.cases)
        _give_back_memory()
    shown = ", ".join(f"{backend} {db:.1f} dB" for backend, db in figures.items())
    logger.info("%s: verified in %.0f s: %s", name, time.perf_counter() - started, shown)
    check_floor(name, traced.precision, figures)
    if "onnx" not in formats:
        for path in files.pop("onnx"):
            path.unlink()
    return graph_spec(spec.model_copy(update={"files": _relative(files, stage.folder)}), figures)


def _backends() -> tuple[Backend, ...]:
    """Both engines in fp32: parity is about the graph and its stored weights."""
    return OrtBackend(), OpenVinoBackend(precision="fp32", max_shapes=1)


def _relative(files: dict[Format, list[Path]], root: Path) -> dict[Format, tuple[str, ...]]:
    return {
        format: tuple(path.relative_to(root).as_posix() for path in paths)
        for format, paths in files.items()
    }


def _chosen_formats(precision: str, formats: Sequence[str]) -> tuple[Format, ...]:
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        found = repr(unknown[0]) if unknown else "no format"
        raise UsageError(f"unknown format: {found}; known: {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in formats)


def _needed_bytes(checkpoint: Checkpoint, precision: Precision, formats: int) -> int:
    """Disk space of the weights in all formats, ONNX always on the way, and a tenth more."""
    copies = max(formats, 2)
    return int(checkpoint.weights() * BYTES_PER_WEIGHT[precision] * copies * 1.1)


def _give_back_memory() -> None:
    """Return freed weights to the system, so that the next network does not come on top."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
