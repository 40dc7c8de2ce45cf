"""Float artifact -> int8 artifact: each network in int8 where that holds, else in bf16."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from sdrt.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET, ControlNetFolder
from sdrt.errors import ArtifactError, UsageError
from sdrt.manifest import Format, GraphSpec, Manifest, Precision
from sdrt.validation import size as checked_size
from sdrt_export.artifact.staging import Stage
from sdrt_export.graphs.convert_and_check import WrittenNetwork, convert_and_check
from sdrt_export.graphs.onnx_storage import GRAPH_FILE, WEIGHTS_FILE, store_bf16
from sdrt_export.graphs.parity import ReferenceCase, check_floor
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.observation import read_calibration
from sdrt_export.quantization.quantizer import LAYERS, Quantizer
from sdrt_export.quantization.ranges import QuantizationRange
from sdrt_export.quantization.rounding import round_results

logger = logging.getLogger(__name__)

STEPPED = ("unet", CONTROLNET)
"""Networks that run in every step, which are worth int8 in any case."""

ENOUGH_DB = 35.0
"""SQNR that int8 must leave of a network that runs once per image; else it is stored in bf16.

Such networks have little to gain, and an image is no better than its decoder.
"""


@dataclass(frozen=True)
class Int8Settings:
    """How int8 is to be made."""

    calibration: CalibrationSettings = CalibrationSettings()
    """The runs that statistics are collected from."""
    statistics_file: Path | None = None
    """The file that statistics are read from, or written to if it does not exist."""
    publish_anyway: bool = False
    """Whether a U-Net below the floor of its verification is published too."""
    show_progress: bool = False
    """Whether the calibration shows a progress bar."""

    def check(self, downscale: int) -> None:
        """Raise `UsageError` for a size of images that is no multiple of the model's scale.

        Also for a file of statistics that can be neither read nor, later, written.
        """
        for name, side in zip(("width", "height"), self.calibration.size or (), strict=False):
            checked_size(f"calibration {name}", side, downscale)
        file = self.statistics_file
        if file is not None and file.exists():
            read_calibration(file)
        elif file is not None and not os.access(file.parent, os.W_OK):
            raise UsageError(f"{file} does not exist and cannot be written: check its folder")


def check_float(artifact: Artifact) -> None:
    """Raise `UsageError` for an artifact in int8, `ArtifactError` for one without ONNX."""
    if artifact.manifest.precision == "int8":
        raise UsageError(
            f"{artifact.root} is int8 already, and rounding twice adds up; give the artifact in "
            "fp32 or bf16 that it was made from"
        )
    missing = [
        name for name, graph in artifact.manifest.graphs.items() if "onnx" not in graph.files
    ]
    if missing:
        raise ArtifactError(
            f"{artifact.root} holds {missing[0]} without ONNX, which int8 is made from; export the "
            "model again with --format onnx"
        )


def quantize_artifact(
    artifact: Artifact, stage: Stage, work: Path, formats: Sequence[Format], settings: Int8Settings
) -> Manifest:
    """Fill a stage from a float artifact; returns the manifest, which lists no files yet.

    Raises `ParityError` for a U-Net below the floor.
    """
    _copy_rest(artifact, stage)
    quantizer = Quantizer(
        artifact, work, settings.calibration, settings.statistics_file, settings.show_progress
    )
    graphs = {
        name: rounded_network(quantizer, name, stage, formats, settings.publish_anyway)
        for name in artifact.manifest.graphs
    }
    made_with = {**artifact.manifest.made_with, "sdrt": version("sdrt")}
    update = {"precision": "int8", "graphs": graphs, "made_with": made_with, "files": {}}
    return artifact.manifest.model_copy(update=update)


def rounded_network(
    quantizer: Quantizer,
    name: str,
    stage: Stage,
    formats: Sequence[Format],
    publish_anyway: bool,
) -> GraphSpec:
    """One network in int8, or in bf16 where it runs once for each image and would lose much."""
    rounded = quantizer.quantize(name)
    if not rounded.quantization.sqnr_db:
        return _in_bf16(quantizer, name, stage, formats, rounded.cases)
    store_bf16(rounded.model)
    written = _write(rounded.model, quantizer.artifact, name, "int8", stage, rounded.cases)
    spec = convert_and_check(
        written, stage.folder, formats, partial(_round_results_of, ranges=rounded.ranges)
    )
    spec = spec.model_copy(update={"quantization": rounded.quantization})
    worst = min(spec.parity_db.values())
    if name in STEPPED:
        if not publish_anyway:
            check_floor(name, "int8", spec.parity_db)
        return spec
    if worst >= ENOUGH_DB:
        return spec
    logger.info("%s: %.1f dB in int8, expected %.0f; stored in bf16", name, worst, ENOUGH_DB)
    return _in_bf16(quantizer, name, stage, formats, rounded.cases)


def _in_bf16(
    quantizer: Quantizer,
    name: str,
    stage: Stage,
    formats: Sequence[Format],
    cases: list[ReferenceCase],
) -> GraphSpec:
    model = ir.load(quantizer.folder / name / LAYERS)
    store_bf16(model)
    written = _write(model, quantizer.artifact, name, "bf16", stage, cases)
    spec = convert_and_check(written, stage.folder, formats)
    return spec.model_copy(update={"precision": "bf16"})


def _write(
    model: ir.Model,
    artifact: Artifact | ControlNetFolder,
    name: str,
    precision: Precision,
    stage: Stage,
    cases: list[ReferenceCase],
) -> WrittenNetwork:
    folder = stage.folder / name
    folder.mkdir(exist_ok=True)
    ir.save(model, folder / GRAPH_FILE, external_data=WEIGHTS_FILE)
    files = [folder / GRAPH_FILE, folder / WEIGHTS_FILE]
    spec = artifact.manifest.graphs[name]
    return WrittenNetwork(name, precision, files, spec.inputs, spec.outputs, cases)


def _round_results_of(graph_file: Path, ranges: Mapping[str, QuantizationRange]) -> None:
    """Round results too, which only ONNX Runtime needs; the weights stay where they are."""
    model = ir.load(graph_file)
    round_results(model.graph, ranges)
    ir.save(model, graph_file)


def _copy_rest(artifact: Artifact, stage: Stage) -> None:
    """Copy everything but the graphs: tokenizers and configurations."""
    graphs = {
        file
        for spec in artifact.manifest.graphs.values()
        for files in spec.files.values()
        for file in files
    }
    for file in artifact.manifest.files:
        if file not in graphs:
            target = stage.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact.check(file), target)
