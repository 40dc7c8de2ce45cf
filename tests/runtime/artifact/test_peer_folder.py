"""Folders that optimum exported open as if `sdrt export` had made them, or are refused by name.

What optimum itself writes is held against sdrt by `make compat`. The folders here have its layout
and its habits, but the graphs of an export of ours, so that nothing has to be installed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest

import sdrt
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.backends.input_casts import cast_feeds
from sdrt.diagnostics.fidelity import compare_with
from sdrt.diagnostics.info import describe_model
from sdrt.diagnostics.verify import verify_artifact
from sdrt.errors import ArtifactError, MissingExtraError, UnsupportedError, UsageError
from sdrt.machine import has_bf16
from sdrt.manifest import TensorSpec
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt_export.artifact.openvino_genai import take_whole_timesteps

PROMPT = "a red boat, it's 12 o'clock!"
OPENVINO, ONNX = "openvino_model.xml", "model.onnx"


def change_json(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **changes}))


def split_tokenizer(folder: Path) -> None:
    """As releases of transformers before 5 save it."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *map(" ".join, model["merges"])])
    )


def save(model: ov.Model, path: Path, halve: bool) -> None:
    ov.save_model(model, path.with_name("new.xml"), compress_to_fp16=halve)
    for suffix in (".xml", ".bin"):
        path.with_name("new").with_suffix(suffix).rename(path.with_suffix(suffix))


def with_one_chunk(model: ov.Model) -> None:
    """As many tokens as one chunk has, and no more."""
    (text,) = (one for one in model.inputs if "encoder_hidden_states" in one.get_names())
    shape = text.get_partial_shape()
    shape[1] = 77
    model.reshape({text: shape})


def as_openvino(source: Path, folder: Path, halve: bool = False) -> Path:
    """An export by `optimum-cli export openvino`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("manifest.json", f"{ONNX}*"))
    change_json(folder / "model_index.json", _class_name="OVStableDiffusionPipeline")
    core = ov.Core()
    for path in folder.glob(f"*/{OPENVINO}"):
        model = core.read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
        if path.parent.name == "unet":
            take_whole_timesteps(model)
            with_one_chunk(model)
        for result in model.get_results():
            if "layer_states" in result.input_value(0).get_names():
                model.remove_result(result)
        model.set_rt_info("2.2.0", ["optimum", "optimum_intel_version"])
        save(model, path, halve)
    return folder


def as_onnx(source: Path, folder: Path) -> Path:
    """An export by `optimum-cli export onnx`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("manifest.json", "openvino*"))
    path = folder / "text_encoder" / ONNX
    model = onnx.load(path)
    (layers,) = (one for one in model.graph.output if one.name == "layer_states")
    model.graph.output.remove(layers)
    path.unlink()
    (path.parent / "model.onnx_data").unlink()
    onnx.save(model, path)
    split_tokenizer(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def folders(
    tiny_exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("peers")
    return {
        "onnx": as_onnx(tiny_exports["fp32"], root / "onnx"),
        "openvino": as_openvino(tiny_exports["fp32"], root / "openvino"),
        "fp16": as_openvino(tiny_exports["fp32"], root / "fp16", halve=True),
    }


@pytest.fixture
def onnx_folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy, to be damaged at will."""
    return Path(shutil.copytree(folders["onnx"], tmp_path / "onnx"))


@pytest.fixture
def ir_folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """The same in OpenVINO IR."""
    return Path(shutil.copytree(folders["openvino"], tmp_path / "openvino"))


@pytest.mark.parametrize(
    ("kind", "backend"), [("onnx", "onnxruntime"), ("onnx", "openvino"), ("openvino", "openvino")]
)
def test_a_folder_makes_the_picture_of_our_export(
    folders: dict[str, Path], tiny_exports: dict[str, Path], kind: str, backend: str
) -> None:
    ours, theirs = (
        sdrt.load(path, backend=backend, precision="fp32")(
            PROMPT, seed=3, num_inference_steps=3, sampler="ddim"
        )
        for path in (tiny_exports["fp32"], folders[kind])
    )
    expected, found = (np.asarray(one.images[0], np.float32) for one in (ours, theirs))
    assert np.abs(expected - found).max() <= 1
    assert not theirs.warnings


def test_the_manifest_is_the_one_that_export_writes(
    folders: dict[str, Path], tiny_exports: dict[str, Path]
) -> None:
    """But for what nobody wrote down: figures, defaults of our own, a map for previews."""
    ours, theirs = (open_artifact(one).manifest for one in (tiny_exports["fp32"], folders["onnx"]))
    for name in ("family", "precision", "prediction", "schedule", "text_encoders"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert theirs.latent == ours.latent.model_copy(update={"preview": None})
    assert theirs.graphs.keys() == ours.graphs.keys()
    for name, graph in theirs.graphs.items():
        assert graph.inputs == ours.graphs[name].inputs or name == "text_encoder"


def test_info_and_verify_say_that_nothing_can_be_checked(folders: dict[str, Path]) -> None:
    record, text = describe_model(str(folders["openvino"]))
    assert record["foreign"] is True
    assert "exported by another tool" in text
    assert "the files came without hashes" in text
    assert "made with: optimum-intel 2.2.0" in text
    report = verify_artifact(folders["onnx"])
    assert not report.is_recorded
    assert "without hashes to compare them with" in report.to_text()
    assert min(pairs["openvino against onnxruntime"] for pairs in report.graphs.values()) > 80


def test_a_latent_consistency_model_has_the_defaults_of_its_authors(onnx_folder: Path) -> None:
    config("unet", time_cond_proj_dim=32)(onnx_folder)
    defaults = open_artifact(onnx_folder).manifest.defaults
    assert (defaults.num_inference_steps, defaults.guidance_scale) == (4, 8.0)


def test_a_changed_file_is_another_model(onnx_folder: Path) -> None:
    before = open_artifact(onnx_folder)
    assert open_artifact(onnx_folder).hash == before.hash
    path = onnx_folder / "unet" / "model.onnx_data"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert open_artifact(onnx_folder).hash != before.hash
    with pytest.raises(ArtifactError, match="is corrupt"):  # changed since it was opened
        before.network("unet", ("onnx",))


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_half_precision_is_named_and_executed_in_bf16(folders: dict[str, Path]) -> None:
    artifact = open_artifact(folders["fp16"])
    assert {artifact.manifest.stored(name) for name in artifact.manifest.graphs} == {"fp16"}
    result = sdrt.load(folders["fp16"])(PROMPT, seed=1, num_inference_steps=1)
    assert result.networks["unet"].stored == "fp16"
    assert result.networks["unet"].executed == "bf16"
    assert not result.warnings


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_late_timesteps_are_told_right_in_bf16(folders: dict[str, Path]) -> None:
    """As in our own exports: OpenVINO alone loses 10 dB and more between the first and the last."""
    backend = open_backend("openvino", precision="bf16")
    artifact = open_artifact(folders["openvino"])
    compared = compare_with(artifact, backend, timesteps=[1, 500, 999], size=(64, 64))
    figures = compared.measure().graphs["unet"].by_timestep
    assert max(figures.values()) - min(figures.values()) < 3


def test_whole_timesteps_are_rounded_and_put_in_a_row() -> None:
    native = {"timestep": TensorSpec(name="timestep", dtype="int64", shape=("steps",))}
    feeds = {"timestep": np.array(981.6, np.float32), "sample": np.ones(3, np.float32)}
    found = cast_feeds(feeds, native)
    assert found["timestep"].dtype == np.int64
    assert found["timestep"].tolist() == [982]
    assert found["sample"] is feeds["sample"]


def test_an_old_tokenizer_gives_the_ids_of_a_new_one(tmp_path: Path) -> None:
    from sdrt_export.sources.vocabulary import PADDING, clip_tokenizer

    clip_tokenizer(PADDING).save_pretrained(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    split_tokenizer(tmp_path / "old")
    new, old = (Tokenizer(tmp_path / name, 77) for name in ("new", "old"))
    for text in (PROMPT, "", "Ünï cödé  日本語 🙂", "a<|endoftext|>b", "don't  we'll\n\nx2y"):
        np.testing.assert_array_equal(new.encode(parse(text)).ids, old.encode(parse(text)).ids)


def test_a_prompt_that_the_graph_is_too_short_for_is_refused(folders: dict[str, Path]) -> None:
    pipe = sdrt.load(folders["openvino"], precision="fp32")
    with pytest.raises(UsageError, match="is 154 tokens long .* takes 77 only"):
        pipe("a BREAK b", num_inference_steps=1)


def test_what_only_our_exports_have_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = sdrt.load(folders["onnx"])
    with pytest.raises(UnsupportedError, match="gives only the last layer"):
        pipe("x", clip_skip=2)
    with pytest.raises(UnsupportedError, match="exported by another tool.*LoRAs"):
        pipe.use_loras(str(tmp_path / "x.safetensors"))


Change = Callable[[Path], Any]


def index(**changes: Any) -> Change:
    return lambda root: change_json(root / "model_index.json", **changes)


def config(part: str, **changes: Any) -> Change:
    return lambda root: change_json(root / part / "config.json", **changes)


def scheduler(**changes: Any) -> Change:
    return lambda root: change_json(root / "scheduler" / "scheduler_config.json", **changes)


def without(*names: str) -> Change:
    def remove(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return remove


def with_onnx(change: Callable[[Any], Any], part: str = "unet") -> Change:
    def damage(root: Path) -> None:
        path = root / part / ONNX
        model = onnx.load(path, load_external_data=False)
        change(model.graph)
        path.write_bytes(model.SerializeToString())

    return damage


def in_doubles(graph: Any) -> None:
    for one in graph.initializer:
        one.data_type = onnx.TensorProto.DOUBLE


def only_converted(root: Path) -> None:
    without("tokenizer/vocab.json")(root)
    (root / "tokenizer" / "openvino_tokenizer.xml").touch()


REFUSED: list[tuple[Change, type[Exception], str]] = [
    (index(_class_name="FluxPipeline"), UnsupportedError, "is a FluxPipeline; sdrt runs Stable"),
    (index(_class_name="OVStableDiffusion3Pipeline"), UnsupportedError, "StableDiffusion3Pipeline"),
    (
        index(_class_name="StableDiffusionControlNetPipeline"),
        UnsupportedError,
        "ControlNetPipeline; sdrt runs",
    ),
    (
        index(_class_name="StableDiffusionInstructPix2PixPipeline"),
        UnsupportedError,
        "is a StableDiffusionInstructPix2PixPipeline; sdrt runs",
    ),
    (index(text_encoder=None), ArtifactError, "lists no text_encoder"),
    (index(text_encoder_2=["a", "b"]), ArtifactError, "has no text_encoder_2/model.onnx or"),
    (without("unet/model.onnx"), ArtifactError, "has no unet/model.onnx or unet/openvino_model"),
    (without("unet/model.onnx_data"), ArtifactError, "cannot read .*unet/model.onnx_data: No such"),
    (without("unet/config.json"), ArtifactError, "unet/config.json is missing or not valid"),
    (without("scheduler/scheduler_config.json"), ArtifactError, "scheduler_config.json is missing"),
    (without("tokenizer/merges.txt"), ArtifactError, "neither tokenizer.json nor vocab.json with"),
    (only_converted, ArtifactError, "sdrt does not read openvino_tokenizer.xml; copy tokenizer/"),
    (without("tokenizer/tokenizer_config.json"), ArtifactError, "cannot read .*tokenizer_config"),
    (config("unet", _class_name="UNet3DConditionModel"), UnsupportedError, "is a UNet3DCond"),
    (config("vae_decoder", _class_name="AutoencoderTiny"), UnsupportedError, "AutoencoderTiny"),
    (config("vae_decoder", shift_factor=0.1), UnsupportedError, "shift_factor = 0.1; sdrt only"),
    (config("vae_decoder", block_out_channels=None), ArtifactError, "has no block_out_channels"),
    (config("vae_decoder", scaling_factor="a"), ArtifactError, "scale: input should be a valid"),
    (
        with_onnx(lambda graph: setattr(graph.output[0], "name", "noise_pred")),
        UnsupportedError,
        "unet gives noise_pred; expected out_sample among them",
    ),
    (
        config("unet", addition_embed_type="text_time"),
        UnsupportedError,
        "text_encoder gives 0 hidden states, and Stable Diffusion XL takes one of 2 layers",
    ),
    (scheduler(prediction_type="flow"), UnsupportedError, "predicts 'flow'; expected epsilon"),
    (scheduler(_class_name="Flow"), UnsupportedError, "'Flow' is no scheduler that sdrt knows"),
    (lambda root: (root / "unet" / ONNX).write_bytes(b""), ArtifactError, "no whole ONNX model"),
    (lambda root: (root / "unet" / ONNX).write_bytes(b"\xff" * 99), ArtifactError, "no whole ONNX"),
    (
        with_onnx(lambda graph: setattr(graph.input[0], "name", "controlnet_cond")),
        UnsupportedError,
        "takes controlnet_cond, for which sdrt has no value; expected sample, timestep",
    ),
    (
        with_onnx(lambda graph: graph.input.pop(1)),
        UnsupportedError,
        "takes sample, encoder_hidden_states; expected timestep among them",
    ),
    (
        with_onnx(lambda graph: setattr(graph.input[0].type.tensor_type, "elem_type", 10)),
        UnsupportedError,
        "has sample as f16; expected one of float32",
    ),
    (
        with_onnx(lambda graph: graph.input[0].type.tensor_type.shape.dim.pop()),
        UnsupportedError,
        r"takes sample as float32 \(batch, 4, height\); expected float32 \(batch, channels,",
    ),
    (
        with_onnx(in_doubles),
        UnsupportedError,
        "unet: its weights are stored in f64; expected one of f32",
    ),
]


@pytest.mark.parametrize(("change", "kind", "message"), REFUSED, ids=[one[2] for one in REFUSED])
def test_what_cannot_be_told_is_named(
    onnx_folder: Path, change: Change, kind: type[Exception], message: str
) -> None:
    change(onnx_folder)
    with pytest.raises(kind, match=message):
        open_artifact(onnx_folder)


def test_a_broken_ir_is_named(ir_folder: Path) -> None:
    (ir_folder / "unet" / OPENVINO).write_text("<net/>")
    with pytest.raises(ArtifactError, match=r"OpenVINO cannot run .*unet/openvino_model\.xml"):
        open_artifact(ir_folder)


def test_ir_without_openvino_says_what_to_install(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdrt.backends.openvino.signature.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sdrt\[openvino\]'"):
        open_artifact(folders["openvino"])


def test_a_link_out_of_the_folder_is_refused(onnx_folder: Path, tmp_path: Path) -> None:
    target = onnx_folder / "unet" / "model.onnx_data"
    target.rename(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="is a link that leads out of the model folder"):
        open_artifact(onnx_folder)


def test_weights_outside_of_the_folder_are_refused_unread(onnx_folder: Path) -> None:
    path = onnx_folder / "unet" / ONNX
    path.write_bytes(path.read_bytes().replace(b"model.onnx_data", b"../../secret.dt"))
    with pytest.raises(ArtifactError, match=r"names a path outside its folder: 'unet/\.\./\.\./s"):
        open_artifact(onnx_folder)


def test_an_encoder_that_draws_its_latents_itself_is_left_out(onnx_folder: Path) -> None:
    """Releases of optimum before 1.23 exported such; a seed would mean nothing."""
    with_onnx(lambda graph: setattr(graph.output[0], "name", "latent_sample"), "vae_encoder")(
        onnx_folder
    )
    assert "vae_encoder" not in open_artifact(onnx_folder).manifest.graphs


@pytest.mark.parametrize("graph", [None, "unet"])
def test_a_manifest_in_a_file_cannot_claim_what_only_others_write(
    tiny_path: Path, graph: str | None
) -> None:
    path = tiny_path / "manifest.json"
    data = json.loads(path.read_text())
    (data["graphs"][graph] if graph else data)["precision"] = "int8-weights"
    path.write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="precision: input should be 'fp32', 'bf16' or"):
        open_artifact(tiny_path)
