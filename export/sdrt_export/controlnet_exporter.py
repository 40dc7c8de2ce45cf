"""ControlNet -> its folder: trace, store, convert, verify, publish."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from sdrt.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET, ControlNetFolder, ControlNetManifest
from sdrt.files.text_file import read_json
from sdrt.machine import give_back_memory, peak_memory_bytes
from sdrt.manifest import FORMATS, Format, Precision
from sdrt_export.artifact.report import ControlNetReport
from sdrt_export.artifact.staging import Stage, staged
from sdrt_export.exporter import (
    FLOAT_BYTES_PER_WEIGHT,
    LAYERS_BYTES_PER_WEIGHT,
    needed_bytes,
    trace_network,
)
from sdrt_export.graphs.convert_and_check import convert_and_check
from sdrt_export.graphs.networks import controlnet_network
from sdrt_export.graphs.parity import check_floor
from sdrt_export.presets import chosen_formats
from sdrt_export.quantization.controlnet import check_model, quantize_controlnet
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.sources.controlnet import ControlNetCheckpoint

DOWNSCALE = 8  # of the latents of Stable Diffusion 1, 2 and XL


def export_controlnet(
    checkpoint: ControlNetCheckpoint,
    destination: str | Path,
    precision: Precision = "fp32",
    formats: Sequence[Format] = FORMATS,
    settings: Int8Settings | None = None,
    model: Artifact | None = None,
) -> ControlNetReport:
    """Export a ControlNet and publish it only if its graph computes what torch computes.

    `settings` are for int8, and so is `model`, in whose runs it is calibrated.

    Raises `ArtifactError`, `UnsupportedError`, `ParityError`, `WriteError`, `LockedError` or
    `UsageError`, and then leaves the destination as it was.
    """
    started = time.perf_counter()
    chosen = chosen_formats(precision, formats)
    work = 0
    if precision == "int8":
        model, settings = check_model(model), settings or Int8Settings()
        settings.check(DOWNSCALE)
        work = LAYERS_BYTES_PER_WEIGHT + FLOAT_BYTES_PER_WEIGHT
    needed = needed_bytes(checkpoint.weights(), precision, len(chosen), work)
    with staged(Path(destination), needed) as stage:
        if model is None or settings is None:
            manifest = _fill(stage, checkpoint, precision, chosen)
        else:
            manifest = _rounded(stage, checkpoint, chosen, settings, model)
        manifest = stage.publish(manifest)
    seconds = time.perf_counter() - started
    return ControlNetReport(stage.destination, manifest, seconds, peak_memory_bytes())


def _rounded(
    stage: Stage,
    checkpoint: ControlNetCheckpoint,
    formats: Sequence[Format],
    settings: Int8Settings,
    model: Artifact,
) -> ControlNetManifest:
    """The same in int8, which is made of a float export."""
    inner = stage.inner("float")
    manifest = inner.complete(_fill(inner, checkpoint, "fp32", ("onnx",), is_final=False))
    config = f"{CONTROLNET}/config.json"
    stage.write_json(config, read_json(inner.folder / config))
    folder = ControlNetFolder(inner.folder, manifest)
    layers = stage.inner("work").folder
    spec = quantize_controlnet(folder, model, stage, layers, formats, settings)
    update = {"precision": "int8", "graphs": {CONTROLNET: spec}, "files": {}}
    return manifest.model_copy(update=update)


def _fill(
    stage: Stage,
    checkpoint: ControlNetCheckpoint,
    precision: Precision,
    formats: Sequence[Format],
    is_final: bool = True,
) -> ControlNetManifest:
    """Write everything but the manifest, which is returned, and lists no files yet."""
    network = controlnet_network(checkpoint, DOWNSCALE)
    written = trace_network(network, DOWNSCALE, stage, precision)
    del network  # its weights, before an engine maps or copies what was written
    give_back_memory()
    spec = convert_and_check(written, stage.folder, formats, is_final=is_final)
    check_floor(CONTROLNET, precision, spec.parity_db)
    return ControlNetManifest(
        name=checkpoint.name,
        family=checkpoint.family,
        source=checkpoint.source,
        precision=precision,
        downscale=DOWNSCALE,
        levels=checkpoint.levels,
        is_pooled=checkpoint.is_pooled,
        graphs={CONTROLNET: spec},
        made_with={name: version(name) for name in ("sdrt", "torch", "diffusers")},
    )
