"""A ControlNet in int8: calibrated in runs of a model, and near the float one on both engines."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import sdrt
from sdrt.arrays import Latents, snr_db
from sdrt.artifact import open_artifact
from sdrt.artifact.controlnet import open_controlnet
from sdrt.errors import UsageError
from sdrt_export.controlnet_exporter import export_controlnet
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import Int8Settings
from tests.export.controlnets import drawing, tiny_controlnet_checkpoint

INT8_DB, OTHER_DB = 25.0, 20.0


def test_int8_stays_near_the_float_controlnet(
    tiny_exports: dict[str, Path],
    tiny_controlnets: dict[str, Path],
    shared_traces: Callable[[], AbstractContextManager[None]],
    tmp_path: Path,
) -> None:
    settings = Int8Settings(CalibrationSettings(samples=2, steps=2), publish_anyway=True)
    model = open_artifact(tiny_exports["fp32"])
    with shared_traces():
        export_controlnet(
            tiny_controlnet_checkpoint(), tmp_path / "int8", "int8", settings=settings, model=model
        )
    made = open_controlnet(tmp_path / "int8").manifest
    assert made.precision == "int8"
    assert made.graph.quantization is not None
    assert made.graph.quantization.share > 0.5

    def latents(folder: Path, engine: str, weight: float = 4.0) -> Latents:
        pipe = sdrt.load(tiny_exports["fp32"], backend=engine)
        control = sdrt.Control(folder, drawing(), weight)
        return pipe.start("a boat", seed=1, num_inference_steps=3, controls=[control]).latents()

    expected = latents(tiny_controlnets["fp32"], "onnxruntime")
    for engine in ("onnxruntime", "openvino"):
        assert snr_db(expected, latents(tmp_path / "int8", engine)) >= INT8_DB
    assert snr_db(expected, latents(tmp_path / "int8", "onnxruntime", 0.0)) < OTHER_DB


def test_int8_needs_a_model_to_calibrate_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calibrated by runs of a model.*--calibration-model"):
        export_controlnet(tiny_controlnet_checkpoint(), tmp_path / "int8", "int8")
