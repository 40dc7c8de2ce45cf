"""`sdrt models` lists what can be exported by a name and what was exported, broken or not."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sdrt.artifact.artifact import EMBEDDED
from sdrt_export.cli.models import models
from sdrt_export.presets import presets
from sdrt_export.sources.single_file.ldm_yaml import exported_configs


def listed(*words: str | Path) -> dict[str, Any]:
    """The record of a call."""
    done = CliRunner().invoke(models, ["--json", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, one in a folder of models, another tool's, a broken, a hidden, one too far down."""
    for place in ("first", "models/second", "a/b/c/deep", "a/b/third", ".hidden/model"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(EMBEDDED["demo"] / "manifest.json", tmp_path / place)
    (tmp_path / "first" / "inside").mkdir()
    shutil.copy(EMBEDDED["demo"] / "manifest.json", tmp_path / "first" / "inside")
    (tmp_path / "other" / "unet").mkdir(parents=True)
    index = {"_class_name": "ORTStableDiffusionPipeline"}
    (tmp_path / "other" / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "other" / "unet" / "model.onnx").write_bytes(b"")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    return tmp_path


def test_every_preset_has_its_sentence_and_defaults(tmp_path: Path) -> None:
    records = listed(tmp_path)["presets"]
    assert [record["name"] for record in records] == list(presets())
    assert all(record["summary"] for record in records)
    by_name = {record["name"]: record for record in records}
    assert by_name["sdxl-turbo"]["num_inference_steps"] == 1
    assert by_name["sd21-v"]["width"] == 768


def test_every_configuration_that_can_be_exported_is_listed(tmp_path: Path) -> None:
    records = {record["name"]: record for record in listed(tmp_path)["configs"]}
    assert records["v2-inference-v-bf16"] == {
        "name": "v2-inference-v-bf16",
        "summary": "Stable Diffusion 2, predicts v",
        "side": 768,
        "precision": "bf16",
    }
    inpainting = records["v2-inpainting-inference"]
    assert inpainting["summary"] == "Stable Diffusion 2, paints under a mask, predicts noise"
    assert "x4-upscaling" not in records


def test_models_are_found_below_a_folder(folder: Path) -> None:
    records = {record["model"]: record for record in listed(folder)["models"]}
    places = ("a/b/third", "broken", "first", "models/second", "other")
    assert list(records) == ["demo", *(str(folder / place) for place in places)]
    second = records[str(folder / "models/second")]
    assert (second["family"], second["precision"], second["formats"]) == ("sd1", "bf16", ["onnx"])
    assert second["bytes"] == records["demo"]["bytes"] > 30e6
    assert "not valid JSON" in records[str(folder / "broken")]["error"]
    assert "an ONNX export" in records[str(folder / "other")]["description"]


def test_without_a_folder_it_is_the_current_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "models")
    assert [record["model"] for record in listed()["models"]] == ["demo", "second"]
    # The same folder twice is no more.
    assert len(listed("second", "second")["models"]) == 2


def test_the_list_for_people_has_a_line_for_each(folder: Path) -> None:
    done = CliRunner().invoke(models, [str(folder)])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 3 + len(presets()) + len(exported_configs()) + 6
    assert any("sd1 bf16" in line and "128x128" in line for line in lines)
    assert CliRunner().invoke(models, [str(folder / "nowhere")]).exit_code == 2


def test_models_are_listed_without_the_exporters_packages(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sdrt_export.presets", raising=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = CliRunner().invoke(models, [str(folder / "first")])
    assert done.exit_code == 0
    assert "none: yaml is not installed; install it with: pip install 'sdrt[export]'" in done.stdout
    assert str(folder / "first") in done.stdout
