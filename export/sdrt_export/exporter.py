"""Checkpoint -> artifact, one network after another: trace, store, convert, verify, publish."""

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sdrt.arrays import Latents
from sdrt.artifact import Artifact, is_artifact, open_artifact
from sdrt.artifact.diffusers_config import TOKENIZERS, text_layer
from sdrt.images.latent_preview import CHANNELS as PREVIEW_CHANNELS
from sdrt.images.latent_preview import fit_preview
from sdrt.machine import give_back_memory, peak_memory_bytes
from sdrt.manifest import (
    FORMATS,
    Defaults,
    Format,
    GraphSpec,
    Latent,
    Manifest,
    Precision,
    Storage,
    TextEncoder,
)
from sdrt_export.artifact.diffusers_layout import write_layout
from sdrt_export.artifact.report import Report
from sdrt_export.artifact.staging import Stage, staged
from sdrt_export.graphs.convert_and_check import WrittenNetwork, convert_and_check
from sdrt_export.graphs.networks import ExportableNetwork, networks
from sdrt_export.graphs.onnx_storage import signature
from sdrt_export.graphs.parity import check_floor, reference_cases
from sdrt_export.graphs.to_onnx import trace, write_onnx
from sdrt_export.presets import chosen_formats
from sdrt_export.quantization.int8_artifact import Int8Settings, check_float, quantize_artifact
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.prediction_probe import SIDE as PROBED_SIDE
from sdrt_export.sources.prediction_probe import added_inputs, probe, with_probed_prediction

logger = logging.getLogger(__name__)

BYTES_PER_WEIGHT: dict[Storage, int] = {"fp32": 4, "bf16": 2, "int8": 1}
# While it is being rounded, a model also takes disk space in fp32 as graphs of separate layers, and
# as its float export unless that was the source.
LAYERS_BYTES_PER_WEIGHT = FLOAT_BYTES_PER_WEIGHT = 4


def export(
    source: str | Path | Checkpoint,
    destination: str | Path,
    precision: Precision = "fp32",
    formats: Sequence[Format] = FORMATS,
    defaults: Defaults | None = None,
    settings: Int8Settings | None = None,
) -> Report:
    """Export a model and publish it only if every graph computes what torch computes.

    `source` is a diffusers folder or a single file of Stable Diffusion, or a `Checkpoint`; for int8
    also an artifact in fp32 or bf16. `settings` are for int8. Raises `ArtifactError`,
    `UnsupportedError`, `ParityError`, `WriteError`, `LockedError` or `UsageError`, and then leaves
    the destination as it was.
    """
    started = time.perf_counter()
    chosen = chosen_formats(precision, formats)
    if precision == "int8":
        manifest, path = _export_int8(source, Path(destination), chosen, defaults, settings)
    else:
        checkpoint = _checkpoint(source)
        needed = needed_bytes(checkpoint.weights(), precision, len(chosen))
        with staged(Path(destination), needed) as stage:
            manifest = stage.publish(_fill(stage, checkpoint, precision, chosen, defaults))
        path = stage.destination
    return Report(path, manifest, time.perf_counter() - started, peak_memory_bytes())


def _export_int8(
    source: str | Path | Checkpoint,
    destination: Path,
    formats: Sequence[Format],
    defaults: Defaults | None,
    settings: Int8Settings | None,
) -> tuple[Manifest, Path]:
    """Make a float artifact, unless the source is one, and round it."""
    settings = settings or Int8Settings()
    float_artifact = None
    if not isinstance(source, Checkpoint) and is_artifact(source):
        float_artifact = open_artifact(source)
        check_float(float_artifact)
        settings.check(float_artifact.manifest.latent.downscale)
        weights, work = weights_of(float_artifact), LAYERS_BYTES_PER_WEIGHT
    else:
        checkpoint = _checkpoint(source)
        settings.check(checkpoint.latent.downscale)
        weights = checkpoint.weights()
        work = LAYERS_BYTES_PER_WEIGHT + FLOAT_BYTES_PER_WEIGHT
    needed = needed_bytes(weights, "int8", len(formats), work)
    with staged(destination, needed) as stage:
        if float_artifact is None:
            inner = stage.inner("float")
            manifest = inner.complete(_fill(inner, checkpoint, "fp32", ("onnx",), defaults, False))
            float_artifact = Artifact(inner.folder, manifest)
            del checkpoint
            give_back_memory()
        folder = stage.inner("work").folder
        rounded = quantize_artifact(float_artifact, stage, folder, formats, settings)
        if defaults:
            rounded = rounded.model_copy(update={"defaults": defaults})
        return stage.publish(rounded), stage.destination


def _checkpoint(source: str | Path | Checkpoint) -> Checkpoint:
    return source if isinstance(source, Checkpoint) else open_checkpoint(source)


def _fill(
    stage: Stage,
    checkpoint: Checkpoint,
    precision: Precision,
    formats: Sequence[Format],
    defaults: Defaults | None,
    is_final: bool = True,
) -> Manifest:
    """Write everything but the manifest, which is returned, and lists no files yet."""
    manifest_of(checkpoint, precision)  # what cannot be sampled is refused before the work
    # Two facts are read off the networks themselves, each off the only one that shows it.
    probed, latent = checkpoint, checkpoint.latent
    graphs: dict[str, GraphSpec] = {}
    for network in networks(checkpoint):
        match network.name:
            case "unet":
                probed = _with_prediction(checkpoint, network)
            case "vae_decoder":
                latent = with_preview(checkpoint.latent, network.module)
        written = trace_network(network, checkpoint.latent.downscale, stage, precision)
        del network  # its weights, before an engine maps or copies what was written
        give_back_memory()
        graphs[written.name] = convert_and_check(written, stage.folder, formats, is_final=is_final)
        check_floor(written.name, precision, graphs[written.name].parity_db)
    write_layout(stage, probed)
    manifest = manifest_of(probed, precision)
    update = {"latent": latent, "graphs": graphs, "defaults": defaults or manifest.defaults}
    return manifest.model_copy(update=update)


def _with_prediction(checkpoint: Checkpoint, unet: ExportableNetwork) -> Checkpoint:
    """The checkpoint with what its U-Net is found to predict."""
    latent = checkpoint.latent
    answers = probe(
        unet.module,
        latent.channels,
        unet.config["cross_attention_dim"],
        checkpoint.schedule,
        checkpoint.conditions,
        added_inputs(unet.example, PROBED_SIDE * latent.downscale),
    )
    return with_probed_prediction(checkpoint, answers)


def with_preview(latent: Latent, decoder: torch.nn.Module) -> Latent:
    """Add a linear map from latents to colours, fitted to the decoder, where there can be one."""
    if latent.channels != PREVIEW_CHANNELS:
        return latent

    @torch.no_grad()
    def decode(latents: Latents) -> npt.NDArray[np.float32]:
        images = [decoder(torch.from_numpy(row[None]) / latent.scale) for row in latents]
        return torch.cat(images).numpy()

    return latent.model_copy(update={"preview": fit_preview(latent, decode)})


def manifest_of(checkpoint: Checkpoint, precision: Precision) -> Manifest:
    """A checkpoint's manifest without its graphs; loads no weights."""
    return Manifest(
        name=checkpoint.name,
        family=checkpoint.family,
        source=checkpoint.source,
        precision=precision,
        prediction=checkpoint.prediction,
        schedule=checkpoint.schedule,
        latent=checkpoint.latent,
        text_encoders=tuple(
            TextEncoder(
                graph=name,
                tokenizer=TOKENIZERS[name],
                layer=text_layer(checkpoint.family),
            )
            for name in checkpoint.text_encoders
        ),
        graphs={},
        defaults=checkpoint.defaults,
        made_with={name: version(name) for name in ("sdrt", "torch", "diffusers")},
        zeros_for_empty_prompt=checkpoint.zeros_for_empty_prompt,
    )


def trace_network(
    network: ExportableNetwork, downscale: int, stage: Stage, precision: Precision
) -> WrittenNetwork:
    """Trace a network and write it as ONNX, with torch's results for its inputs."""
    started = time.perf_counter()
    cases = reference_cases(network, downscale)
    model = trace(network)
    inputs, outputs = signature(model)
    stage.write_json(f"{network.name}/config.json", network.config)
    files = write_onnx(model, stage.folder / network.name, precision)
    logger.info("%s: traced and written in %.0f s", network.name, time.perf_counter() - started)
    return WrittenNetwork(network.name, precision, files, inputs, outputs, cases)


def weights_of(artifact: Artifact) -> int:
    """About how many weights an artifact stores: its ONNX files hold little else."""
    manifest = artifact.manifest
    return sum(
        manifest.files[file].size // BYTES_PER_WEIGHT[manifest.stored(name)]
        for name, graph in manifest.graphs.items()
        for file in graph.files["onnx"]
    )


def needed_bytes(weights: int, precision: Precision, formats: int, work: int = 0) -> int:
    """Disk space of the weights in all formats, always with an intermediate ONNX, and a tenth more.

    `work` are the bytes that each weight takes besides during the export.
    """
    return int(weights * (BYTES_PER_WEIGHT[precision] * max(formats, 2) + work) * 1.1)
