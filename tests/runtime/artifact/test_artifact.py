"""An artifact is whole and ours, or the error says what it is instead."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import Artifact, open_artifact
from sdrt.diagnostics.verify import verify_artifact
from sdrt.errors import ArtifactError
from sdrt.files.cache import cache_folder
from sdrt.files.manifest_file import read_manifest
from sdrt.manifest import Lora, Manifest, Source
from sdrt.pipeline import Pipeline
from sdrt.text.tokenizer import Tokenizer


def change_manifest(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = root / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def load_all(root: Path) -> None:
    """Whatever a generation touches."""
    artifact = open_artifact(root)
    from sdrt.backends import open_backend

    pipe = Pipeline(artifact, open_backend("onnxruntime"))
    pipe("x", num_inference_steps=1, seed=0)


def test_nothing_given_opens_the_embedded_model() -> None:
    artifact = open_artifact()
    assert artifact.manifest.name == "demo"
    assert artifact.root == open_artifact("demo").root


def test_the_manifest_survives_a_round_trip(tiny: Artifact) -> None:
    assert Manifest.model_validate_json(tiny.manifest.to_json()) == tiny.manifest


def test_a_manifest_is_silent_about_loras_where_there_are_none() -> None:
    """So that a model's hash stays what it was before there were any."""
    assert "loras" not in Source(id="x").model_dump_json()
    some = Source(id="x", loras=(Lora(file="a.safetensors", sha256="0" * 64, weight=-0.5),))
    assert Source.model_validate_json(some.model_dump_json()) == some


@pytest.mark.parametrize(
    "file",
    [
        "unet/model.onnx",
        "unet/model.onnx_data",
        "vae_decoder/model.onnx",
        "tokenizer/tokenizer.json",
    ],
)
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty"])
def test_damage_is_found_before_an_engine_sees_it(tiny_path: Path, file: str, damage: str) -> None:
    path = tiny_path / file
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 3] ^= 4
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    reason = {"truncate": "truncated", "empty": "truncated", "flip": "is corrupt"}
    with pytest.raises(ArtifactError, match=reason.get(damage, "is missing")) as caught:
        load_all(tiny_path)
    assert file in str(caught.value)


def test_a_good_file_is_hashed_once_until_it_changes(tiny_path: Path) -> None:
    load_all(tiny_path)
    path = tiny_path / "unet/model.onnx_data"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)  # nothing but the bytes differs
    load_all(tiny_path)  # the price of remembering
    with pytest.raises(ArtifactError, match="is corrupt"):
        verify_artifact(tiny_path)  # which a verification does not pay
    os.utime(path)
    with pytest.raises(ArtifactError, match="is corrupt"):
        load_all(tiny_path)


def test_a_home_that_cannot_be_written_costs_only_time(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert str(cache_folder()) == "/proc/none/sdrt"
    load_all(tiny_path)


@pytest.mark.slow
def test_verification_covers_every_file_and_compares_the_engines(tiny: Artifact) -> None:
    report = verify_artifact(tiny.root)
    on_disk = [path for path in tiny.root.rglob("*") if path.is_file()]
    assert report.files == len(on_disk) - 1  # all but the manifest
    assert report.graphs.keys() == tiny.manifest.graphs.keys()
    for pairs in report.graphs.values():
        assert pairs["openvino against onnxruntime"] > 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=99), "has schema 99, this sdrt reads schema 1"),
        (lambda m: m.pop("schema"), "has no field 'schema'"),
        (lambda m: m.pop("latent"), "latent: field required"),
        (
            lambda m: m.update(precision="fp4"),
            "precision: input should be 'fp32', 'bf16' or 'int8'",
        ),
        (lambda m: m.update(surprise=1), "surprise: extra inputs are not permitted"),
        (lambda m: m["latent"].update(scale=math.nan), "latent.scale: input should be a finite"),
        (
            lambda m: m["latent"].update(channels="4"),
            "latent.channels: input should be a valid int",
        ),
        (lambda m: m["latent"].update(channels=2**63), "latent.channels: input should be less"),
        (lambda m: m.update(text_encoders=[]), "text_encoders: tuple should have at least 1 item"),
        (lambda m: m["latent"].update(channels=-4), "latent.channels: input should be greater"),
        (lambda m: m["files"].update({"x": {"size": 1, "sha256": "abc"}}), "files.x.sha256"),
        (lambda m: m["graphs"].pop("unet"), "has no unet; it has: text_encoder"),
        (lambda m: m["files"].pop("unet/model.onnx"), "does not list unet/model.onnx"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_field(
    tiny_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change_manifest(tiny_path, change)
    with pytest.raises(ArtifactError, match=message):
        load_all(tiny_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '"text"', "[" * 100_000, "\udcff", '{"schema": 1e999}']
)
def test_a_manifest_that_does_not_parse_is_refused(tiny_path: Path, content: str) -> None:
    path = tiny_path / "manifest.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError):
        open_artifact(tiny_path)


def test_a_huge_manifest_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(ArtifactError, match="this is not a manifest"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a/../../b", "C:\\x", ""])
def test_a_manifest_cannot_name_files_outside_its_folder(tiny_path: Path, name: str) -> None:
    def point_outside(manifest: dict[str, Any]) -> None:
        manifest["graphs"]["unet"]["files"]["onnx"][0] = name

    change_manifest(tiny_path, point_outside)
    with pytest.raises(ArtifactError, match="names a path outside its folder"):
        open_artifact(tiny_path)


def test_a_link_out_of_the_folder_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    target = tiny_path / "unet" / "model.onnx"
    target.unlink()
    target.symlink_to(secret)
    with pytest.raises(ArtifactError, match="is a link that leads out of the model folder"):
        open_artifact(tiny_path)


def written(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


FOREIGN: list[tuple[str, dict[str, str], str]] = [
    ("empty", {}, "an empty folder"),
    ("papers", {"notes.txt": "x"}, "a folder that holds no model (notes.txt)"),
    ("sdxl", {"model_index.json": '{"_class_name": "StableDiffusionXLPipeline"}'}, "XLPipeline"),
    (
        "optimum",
        {"model_index.json": '{"_class_name": "OVStableDiffusionPipeline"}'},
        "an OpenVINO export by optimum-intel",
    ),
    (
        "onnx",
        {"model_index.json": '{"_class_name": "ORTStableDiffusionPipeline"}'},
        "an ONNX export",
    ),
    ("unet", {"config.json": '{"_class_name": "UNet2DConditionModel"}'}, "a single network"),
    ("lora", {"adapter_config.json": "{}"}, "an adapter (LoRA)"),
    ("weights", {"model.safetensors": "x"}, "a folder with safetensors weights"),
    ("gguf", {"model.gguf": "x"}, "a folder with a GGUF file"),
    ("broken", {"model_index.json": "{"}, "a folder that holds no model"),
]


@pytest.mark.parametrize(("name", "files", "kind"), FOREIGN, ids=[case[0] for case in FOREIGN])
def test_a_foreign_folder_is_named(
    tmp_path: Path, name: str, files: dict[str, str], kind: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file, content in files.items():
        written(folder / file, content)
    with pytest.raises(ArtifactError) as caught:
        open_artifact(folder)
    assert kind in str(caught.value)
    assert "expected a folder made by: sdrt export" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.safetensors", "safetensors weights"),
        ("model.ckpt", "a pickled checkpoint"),
        ("readme.md", "a file of unknown kind"),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(ArtifactError, match=kind):
        open_artifact(written(tmp_path / name))


def test_a_missing_path_offers_the_embedded_models(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no embedded model of that name .*demo"):
        open_artifact(tmp_path / "nowhere")


def test_a_folder_of_the_same_name_does_not_hide_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_artifact().manifest.name == "demo"
    with pytest.raises(ArtifactError, match="a folder that holds no model|an empty folder"):
        open_artifact("demo")


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "tokenizer_config.json", "{}")
    written(tmp_path / "tokenizer.json", "{}")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json cannot be read"):
        Tokenizer(tmp_path, 77)
