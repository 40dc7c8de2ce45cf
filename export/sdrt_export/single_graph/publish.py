"""Publish a folder with one graph in place of networks: weights, tokenizer, manifest."""

import os
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import ModelProto

from sdrt.artifact import Artifact
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.machine import peak_memory_bytes
from sdrt.manifest import GraphSpec, Manifest, guidance_width
from sdrt.request.resolve import check_prompt_alone, resolve
from sdrt_export.artifact.default_options import pipeline_options, with_options
from sdrt_export.artifact.report import Report
from sdrt_export.artifact.staging import staged
from sdrt_export.export_options import DefaultOptions
from sdrt_export.graphs.onnx_storage import GRAPH_FILE, WEIGHTS_FILE, signature
from sdrt_export.single_graph.coefficients import coefficients
from sdrt_export.single_graph.graph import NAME, build

NETWORKS = ("text_encoder", "unet", "vae_decoder")
ALIGNMENT = 4096  # so that engines can map the file


def export_single_graph(artifact: Artifact, destination: Path, options: DefaultOptions) -> Report:
    """Publish a folder with one graph, its tokenizer and a manifest.

    Raises `UsageError`, `UnsupportedError` or `ArtifactError` before anything is written.
    """
    started = time.perf_counter()
    _check(artifact)
    request = resolve(artifact.manifest, "", pipeline_options(options))
    tables = coefficients(artifact.manifest, request.sampler_settings, request.num_inference_steps)
    networks = [artifact.network(name, ("onnx",)) for name in NETWORKS]
    size = sum(file.stat().st_size for network in networks for file in network.files)
    with staged(destination, int(size * 1.1)) as stage:
        folder = stage.folder / NAME
        folder.mkdir()
        models = _load([network.files for network in networks], folder / WEIGHTS_FILE)
        model = build(models, artifact.manifest, tables, options.size)
        onnx.save(model, folder / GRAPH_FILE)
        for encoder in artifact.manifest.text_encoders:
            shutil.copytree(artifact.root / encoder.tokenizer, stage.folder / encoder.tokenizer)
        manifest = stage.publish(_manifest(artifact.manifest, model, options))
    return Report(stage.destination, manifest, time.perf_counter() - started, peak_memory_bytes())


def _check(artifact: Artifact) -> None:
    manifest = artifact.manifest
    for name in NETWORKS:
        if "onnx" not in (manifest.graphs[name].files if name in manifest.graphs else ()):
            raise ArtifactError(
                f"{artifact.root} has no {name} in ONNX, which one graph is made of; export the "
                "model again with --format onnx"
            )
    if len(manifest.text_encoders) > 1 or manifest.pooled_width is not None:
        raise UnsupportedError(
            f"{manifest.name!r} is a Stable Diffusion XL, and one graph has one text encoder; use "
            "the networks by themselves"
        )
    check_prompt_alone(manifest, "one graph has no input for it; use the networks by themselves")
    if guidance_width(manifest.graphs["unet"]):
        raise UnsupportedError(
            "the U-Net was distilled with guidance inside, and one graph has no input for it; use "
            "the networks by themselves"
        )


def _load(files: Iterable[tuple[Path, ...]], weights: Path) -> dict[str, ModelProto]:
    """Read the graphs, and copy their weights one after the other into one file."""
    models = {}
    with weights.open("wb") as target:
        for name, (graph, *data) in zip(NETWORKS, files, strict=True):
            models[name] = onnx.load(graph, load_external_data=False)
            if not data:
                continue
            target.write(b"\0" * (-target.tell() % ALIGNMENT))
            start = target.tell()
            with data[0].open("rb") as source:
                shutil.copyfileobj(source, target)
            for tensor in models[name].graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = WEIGHTS_FILE
                    elif entry.key == "offset":
                        entry.value = str(int(entry.value) + start)
        target.flush()
        os.fsync(target.fileno())
    return models


def _manifest(manifest: Manifest, model: ModelProto, options: DefaultOptions) -> Manifest:
    files = (f"{NAME}/{GRAPH_FILE}", f"{NAME}/{WEIGHTS_FILE}")
    inputs, outputs = signature(ir.from_proto(model))
    spec = GraphSpec(files={"onnx": files}, inputs=inputs, outputs=outputs)
    return manifest.model_copy(
        update={
            "graphs": {NAME: spec},
            "defaults": with_options(manifest, options),
            "made_with": {**manifest.made_with, "onnx": version("onnx")},
        }
    )
