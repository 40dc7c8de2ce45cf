"""Checkpoint -> artifact, one network after the other: trace, store, convert, verify, publish."""

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from sdrt.artifact import Artifact, is_artifact, open_artifact
from sdrt.artifact.diffusers_config import TOKENIZERS, text_layer
from sdrt.manifest import FORMATS, Defaults, Format, Manifest, Precision, Storage, TextEncoder
from sdrt_export.artifact.diffusers_layout import write_layout
from sdrt_export.artifact.latent_preview import with_preview
from sdrt_export.artifact.report import Report, peak_bytes
from sdrt_export.artifact.staging import Stage, staged
from sdrt_export.graphs.convert_and_check import Written, finish
from sdrt_export.graphs.networks import ExportableNetwork, networks
from sdrt_export.graphs.onnx_files import signature
from sdrt_export.graphs.parity import check_floor, reference_cases
from sdrt_export.graphs.to_onnx import trace, write_onnx
from sdrt_export.memory import give_back_memory
from sdrt_export.presets import chosen_formats
from sdrt_export.quantization.int8_artifact import Settings, check_float, quantize_artifact
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.prediction_probe import SIDE as PROBED_SIDE
from sdrt_export.sources.prediction_probe import beside_embeddings, decided, probe

logger = logging.getLogger(__name__)

BYTES_PER_WEIGHT: dict[Storage, int] = {"fp32": 4, "bf16": 2, "int8": 1}
# Until it is rounded, a model lies on disk in fp32 as graphs of separate layers; and also as its
# float export, unless that was the source.
LAYERS_BYTES_PER_WEIGHT = FLOAT_BYTES_PER_WEIGHT = 4


def export(
    source: str | Path | Checkpoint,
    destination: str | Path,
    precision: Precision = "fp32",
    formats: Sequence[Format] = FORMATS,
    defaults: Defaults | None = None,
    settings: Settings | None = None,
) -> Report:
    """Export a model and publish it only if every graph computes what torch computes.

    `source` is a diffusers folder or a single file of Stable Diffusion, or a `Checkpoint`;
    for int8, which `settings` belong to, also an artifact in fp32 or bf16. Raises `ArtifactError`,
    `UnsupportedError`, `ParityError`, `WriteError`, `LockedError` or `UsageError`; then the
    destination is as it was before.
    """
    started = time.perf_counter()
    chosen = chosen_formats(precision, formats)
    if precision == "int8":
        manifest, path = _export_int8(source, Path(destination), chosen, defaults, settings)
    else:
        checkpoint = _checkpoint(source)
        needed = _needed_bytes(checkpoint.weights(), precision, len(chosen))
        with staged(Path(destination), needed) as stage:
            manifest = stage.publish(_fill(stage, checkpoint, precision, chosen, defaults))
        path = stage.destination
    return Report(path, manifest, time.perf_counter() - started, peak_bytes())


def _export_int8(
    source: str | Path | Checkpoint,
    destination: Path,
    formats: Sequence[Format],
    defaults: Defaults | None,
    settings: Settings | None,
) -> tuple[Manifest, Path]:
    """Make a float artifact, unless the source is one, and round it."""
    settings = settings or Settings()
    given = None
    if not isinstance(source, Checkpoint) and is_artifact(source):
        given = open_artifact(source)
        check_float(given)
        settings.check(given.manifest.latent.downscale)
        weights, work = weights_of(given), LAYERS_BYTES_PER_WEIGHT
    else:
        checkpoint = _checkpoint(source)
        settings.check(checkpoint.latent.downscale)
        weights = checkpoint.weights()
        work = LAYERS_BYTES_PER_WEIGHT + FLOAT_BYTES_PER_WEIGHT
    needed = _needed_bytes(weights, "int8", len(formats), work)
    with staged(destination, needed) as stage:
        if given is None:
            inner = stage.inner("float")
            manifest = inner.complete(_fill(inner, checkpoint, "fp32", ("onnx",), defaults, False))
            given = Artifact(inner.folder, manifest)
            del checkpoint
            give_back_memory()
        folder = stage.inner("work").folder
        rounded = quantize_artifact(given, stage, folder, formats, settings)
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
    """Write everything but the manifest, which is given, and lists no files yet."""
    manifest_of(checkpoint, precision)  # what cannot be sampled is refused before the work
    graphs, latent = {}, checkpoint.latent
    for network in networks(checkpoint):
        if network.name == "unet":
            width, conditions = network.config["cross_attention_dim"], checkpoint.conditions
            more = beside_embeddings(network.example, PROBED_SIDE * latent.downscale)
            noise = checkpoint.schedule
            found = probe(network.module, latent.channels, width, noise, conditions, more)
            checkpoint = decided(checkpoint, found)
        if network.name == "vae_decoder":
            latent = with_preview(latent, network.module)
        written = _trace(network, checkpoint, stage, precision)
        del network  # its weights, before an engine maps or copies what was written
        give_back_memory()
        graphs[written.name] = finish(written, stage.folder, formats, is_final=is_final)
        check_floor(written.name, precision, graphs[written.name].parity_db)
    write_layout(stage, checkpoint)
    manifest = manifest_of(checkpoint, precision)
    update = {"latent": latent, "graphs": graphs, "defaults": defaults or manifest.defaults}
    return manifest.model_copy(update=update)


def manifest_of(checkpoint: Checkpoint, precision: Precision) -> Manifest:
    """What a checkpoint's manifest says, without its graphs; loads no weights."""
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


def _trace(
    network: ExportableNetwork, checkpoint: Checkpoint, stage: Stage, precision: Precision
) -> Written:
    started = time.perf_counter()
    cases = reference_cases(network, checkpoint.latent.downscale)
    model = trace(network)
    inputs, outputs = signature(model)
    stage.write_json(f"{network.name}/config.json", network.config)
    files = write_onnx(model, stage.folder / network.name, precision)
    logger.info("%s: traced and written in %.0f s", network.name, time.perf_counter() - started)
    return Written(network.name, precision, files, inputs, outputs, cases)


def weights_of(artifact: Artifact) -> int:
    """How many weights an artifact stores, about: its ONNX files hold little else."""
    manifest = artifact.manifest
    return sum(
        manifest.files[file].size // BYTES_PER_WEIGHT[manifest.stored(name)]
        for name, graph in manifest.graphs.items()
        for file in graph.files["onnx"]
    )


def _needed_bytes(weights: int, precision: Precision, formats: int, work: int = 0) -> int:
    """Disk space of the weights in all formats, ONNX always on the way, and a tenth more.

    `work` is what else each weight takes meanwhile.
    """
    return int(weights * (BYTES_PER_WEIGHT[precision] * max(formats, 2) + work) * 1.1)
