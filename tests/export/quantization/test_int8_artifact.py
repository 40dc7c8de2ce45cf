"""A model in int8: integers in both engines, and nearly the picture of fp32."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdrt
from sdrt.artifact import Artifact, open_artifact
from sdrt.diagnostics.info import describe_model
from sdrt.errors import ParityError, UsageError
from sdrt.machine import has_int8
from sdrt_export.exporter import export, weights_of
from sdrt_export.graphs import parity
from sdrt_export.presets import read_preset
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.quantization.sensitivity import (
    DEAR_SHARE,
)
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.quantization.integers import INTEGER_LAYERS, check_integers


def test_int8_is_a_quarter_of_fp32_and_names_what_stayed(int8_demo: Artifact) -> None:
    manifest = int8_demo.manifest
    unet = manifest.graphs["unet"]
    assert manifest.precision == "int8"
    assert unet.quantization is not None
    assert set(unet.quantization.kept) < set(unet.quantization.sqnr_db)
    assert unet.quantization.share >= 1 - DEAR_SHARE
    assert (unet.quantization.samples, unet.quantization.steps) == (3, 4)
    in_bf16 = open_artifact("demo").manifest.files["unet/model.onnx_data"].size
    assert manifest.files["unet/model.onnx_data"].size < 0.56 * in_bf16


def test_info_says_how_much_is_in_int8_and_what_is_not(int8_demo: Artifact) -> None:
    record, text = describe_model(str(int8_demo.root))
    quantization = record["graphs"]["unet"]["quantization"]
    count, kept = len(quantization["sqnr_db"]), quantization["kept"]
    assert f"{count - len(kept)} of {count} layers in int8" in text
    worst = min(kept, key=lambda name: quantization["sqnr_db"][name])
    assert f"in float: {worst} ({quantization['sqnr_db'][worst]:.1f} dB)" in text


@pytest.mark.skipif(not has_int8(), reason="without VNNI sums overflow: networks stay in float")
@pytest.mark.parametrize("backend", INTEGER_LAYERS)
@pytest.mark.parametrize("name", ["unet", "text_encoder"])
def test_every_layer_that_was_rounded_runs_as_an_integer_kernel(
    int8_demo: Artifact, backend: str, name: str
) -> None:
    check_integers(int8_demo, backend, name)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_paints_nearly_the_picture_of_fp32(int8_demo: Artifact, backend: str) -> None:
    options = {"seed": 7, "num_inference_steps": 12}
    prompt = "a red boat on the sea at sunset"
    exact = sdrt.load("demo", backend=backend, precision="fp32")(prompt, **options)  # type: ignore[arg-type]
    result = sdrt.load(int8_demo.root, backend=backend)(prompt, **options)  # type: ignore[arg-type]
    image, other = (np.asarray(r.images[0], np.float64) for r in (exact, result))
    assert 10 * np.log10(255**2 / ((image - other) ** 2).mean()) > 22


def test_statistics_are_reused_and_give_the_same_artifact(
    int8_demo: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("the samples were run again")

    monkeypatch.setattr("sdrt_export.quantization.quantizer.observe_samples", nothing)
    file = int8_demo.root.with_name("statistics.json")
    settings = Int8Settings(CalibrationSettings(samples=3, steps=4), file)
    export("demo", tmp_path / "again", "int8", ("onnx",), settings=settings)
    again = open_artifact(tmp_path / "again").manifest
    for name in ("unet", "vae_decoder"):
        for file_name in ("model.onnx", "model.onnx_data"):
            path = f"{name}/{file_name}"
            assert again.files[path] == int8_demo.manifest.files[path]


def test_statistics_of_another_model_are_refused(
    int8_demo: Artifact, tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    settings = Int8Settings(statistics_file=int8_demo.root.with_name("statistics.json"))
    with pytest.raises(UsageError, match="another model"):
        export(tiny_exports["fp32"], tmp_path / "new", "int8", settings=settings)
    assert not list(tmp_path.iterdir())


def test_an_artifacts_weights_are_counted_as_the_checkpoints(demo: Artifact) -> None:
    exact = RandomCheckpoint.from_preset(*read_preset("demo")).weights()
    assert weights_of(demo) == pytest.approx(exact, rel=0.03)


def test_int8_is_not_rounded_again(int8_demo: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 already"):
        export(int8_demo.root, tmp_path / "new", "int8")
    assert not list(tmp_path.iterdir())


def test_below_its_floor_a_unet_is_published_only_when_told_to(
    tiny_exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(parity.FLOOR_DB, "int8", 90.0)
    settings = Int8Settings(CalibrationSettings(samples=1, steps=1))
    with pytest.raises(ParityError, match="unet"):
        export(tiny_exports["fp32"], tmp_path / "new", "int8", ("onnx",), settings=settings)
    assert not list(tmp_path.iterdir())
    lenient_settings = replace(settings, publish_anyway=True)
    export(tiny_exports["fp32"], tmp_path / "new", "int8", ("onnx",), settings=lenient_settings)
    assert min(open_artifact(tmp_path / "new").manifest.graphs["unet"].parity_db.values()) < 90
