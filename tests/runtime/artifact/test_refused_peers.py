"""Folders of other exporters that sdrt cannot run are refused, and what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

import sdrt
from sdrt.artifact import open_artifact
from sdrt.errors import ArtifactError, MissingExtraError, UnsupportedError, UsageError
from tests.runtime.artifact.peers import ONNX, OPENVINO, Change, change_json, config, with_onnx


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


def index(**changes: Any) -> Change:
    return lambda root: change_json(root / "model_index.json", **changes)


def scheduler(**changes: Any) -> Change:
    return lambda root: change_json(root / "scheduler" / "scheduler_config.json", **changes)


def without(*names: str) -> Change:
    def remove(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return remove


def in_doubles(graph: Any) -> None:
    for tensor in graph.initializer:
        tensor.data_type = onnx.TensorProto.DOUBLE


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


@pytest.mark.parametrize(("change", "kind", "message"), REFUSED, ids=[case[2] for case in REFUSED])
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
