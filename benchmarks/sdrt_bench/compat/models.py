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
CALIBRATION = CalibrationSettings(samples=3, steps=4)  # enough, as only equal images are required


@dataclass(frozen=True)
class Export:
    """One kind of export: the exporter, the format, and the precision of the weights."""

    exporter: Exporter
    format: Format
    precision: str

    @property
    def layout(self) -> Layout:
        """The layout that optimum writes."""
        if self.format == "onnx":
            return "onnx"
        return f"openvino-{self.precision}"  # type: ignore[return-value]


def open_weights(name: str, cache: Path) -> Weights:
    """Open the weights of a model: the embedded one's, or random ones of a preset."""
    if name in RANDOM:
        return Weights(RandomCheckpoint.from_preset(*read_preset(name)), cache)
    if name != DEMO:
        raise UsageError(f"no model is called {name!r}; expected some of {', '.join(MODELS)}")
    return Weights(_demo(cache), cache)


def folder_of(weights: Weights, stored: Export, environment: Environment) -> Path:
    """Give an export; makes it if it does not exist. Raises what the exporters raise."""
    if stored.exporter == "optimum":
        return weights.layout(stored.layout, environment)
    folder = weights.folder / f"sdrt-{stored.precision}"
    if not is_artifact(folder):
        _export(weights.checkpoint, folder, stored.precision)
    return folder


def for_genai(folder: Path, environment: Environment) -> Path:
    """Convert an export of sdrt to what OpenVINO GenAI reads."""
    folder_for_genai = folder.with_name(f"{folder.name}-genai")
    if not folder_for_genai.exists():
        export_for_genai(open_artifact(folder), folder_for_genai, environment.scripts / CONVERTER)
    return folder_for_genai


def _export(checkpoint: Checkpoint, folder: Path, precision: str) -> None:
    settings = Int8Settings(CALIBRATION, publish_anyway=True)
    export(checkpoint, folder, precision, settings=settings)  # type: ignore[arg-type]


def _demo(cache: Path) -> Checkpoint:
    """Restore the embedded model as a diffusers folder, which only a checkout can."""
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
                "the embedded model is restored by benchmarks/demo_model, which only a checkout "
                f"has ({done.stderr.strip().splitlines()[-1]}); name other models: "
                f"{', '.join(RANDOM)}"
            )
        partial.rename(folder)
    return FolderCheckpoint.open(folder)
