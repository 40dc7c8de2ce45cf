"""The models that are exchanged: small ones of each family, exported by sdrt and by optimum."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdrt.artifact import is_artifact, open_artifact
from sdrt.errors import UsageError
from sdrt.manifest import Format
from sdrt_bench.bench.peers.environments import Environment
from sdrt_bench.bench.peers.weights import Layout, Weights
from sdrt_export.artifact.openvino_genai import CONVERTER, export_for_genai
from sdrt_export.exporter import export
from sdrt_export.presets import read_preset
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint

Exporter = Literal["sdrt", "optimum"]
DEMO = "demo"
RANDOM = ("tiny", "tiny-sd2", "tiny-sd2-v", "tiny-sdxl")
MODELS = (DEMO, *RANDOM)
CALIBRATION = CalibrationSettings(samples=3, steps=4)
"""Enough for equal pictures, which is all that is compared."""


@dataclass(frozen=True)
class Stored:
    """One export: by whom, in which format, and how its weights are stored."""

    exporter: Exporter
    format: Format
    precision: str

    @property
    def layout(self) -> Layout:
        """Name of optimum's folder."""
        if self.format == "onnx":
            return "onnx"
        return f"openvino-{self.precision}"  # type: ignore[return-value]


def open_weights(name: str, cache: Path) -> Weights:
    """The weights of a model: of the embedded one its own, of a preset random ones."""
    if name in RANDOM:
        return Weights(RandomCheckpoint.of(*read_preset(name)), cache)
    if name != DEMO:
        raise UsageError(f"no model is called {name!r}; expected some of {', '.join(MODELS)}")
    return Weights(_demo(cache), cache)


def folder_of(weights: Weights, stored: Stored, environment: Environment) -> Path:
    """An export; made if it is not there yet. Raises what the exporters raise."""
    if stored.exporter == "optimum":
        return weights.layout(stored.layout, environment)
    folder = weights.folder / f"sdrt-{stored.precision}"
    if not is_artifact(folder):
        _export(weights.checkpoint, folder, stored.precision)
    return folder


def for_genai(folder: Path, environment: Environment) -> Path:
    """One of our exports as OpenVINO GenAI reads it."""
    made = folder.with_name(f"{folder.name}-genai")
    if not made.exists():
        export_for_genai(open_artifact(folder), made, environment.scripts / CONVERTER)
    return made


def _export(checkpoint: Checkpoint, folder: Path, precision: str) -> None:
    settings = Int8Settings(CALIBRATION, publish_anyway=True)
    export(checkpoint, folder, precision, settings=settings)  # type: ignore[arg-type]


def _demo(cache: Path) -> Checkpoint:
    """The embedded model as a diffusers folder; what restores it comes with a checkout only."""
    artifact = open_artifact(DEMO)
    folder = cache / "weights" / f"{DEMO}-{artifact.hash[:8]}" / DEMO
    if not folder.exists():
        partial = folder.with_name(f"{DEMO}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        command = [sys.executable, "-m", "demo_model.restore", str(partial)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UsageError(
                "the embedded model is restored by export/demo_model, which only a checkout has "
                f"({done.stderr.strip().splitlines()[-1]}); name other models: {', '.join(RANDOM)}"
            )
        partial.rename(folder)
    return FolderCheckpoint.open(folder)
