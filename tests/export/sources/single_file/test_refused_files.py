"""Files and configurations that make no whole model together are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt_export.cli.export import export as export_command
from sdrt_export.export_options import SourceOptions
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from tests.export.sources.single_file.twins import (
    Weights,
    ldm_weights,
    ldm_yaml,
    save,
    write_yaml,
)


def test_a_geometry_of_its_own_needs_a_configuration(
    files: dict[str, tuple[Path, Path]],
) -> None:
    with pytest.raises(UsageError, match="32 channels and embeddings of 128.*give --config"):
        SingleFileCheckpoint.open(files["sd2"][0])


Change = Callable[[Weights], Weights]


def lose(name: str) -> Change:
    return lambda weights: {key: weight for key, weight in weights.items() if key != name}


def only(start: str, cut: bool = False) -> Change:
    return lambda weights: {
        key.removeprefix(start) if cut else key: weight
        for key, weight in weights.items()
        if key.startswith(start)
    }


def other(*names: str) -> Change:
    return lambda weights: {name: torch.zeros(4, 4) for name in names}


def add(name: str) -> Change:
    return lambda weights: {**weights, name: torch.zeros(4, 4)}


def widen(weights: Weights) -> Weights:
    name = "model.diffusion_model.input_blocks.0.0.weight"
    return {**weights, name: torch.zeros(32, 7, 3, 3)}


BAD: list[tuple[Change, type[SdrtError], str]] = [
    (only("first_stage_model."), ArtifactError, "has autoencoder alone, no U-Net and text enc"),
    (only("first_stage_model.", cut=True), ArtifactError, "is an autoencoder .VAE. alone"),
    (only("model.diffusion_model."), ArtifactError, "has U-Net alone, no autoencoder and text"),
    (lambda weights: {}, ArtifactError, "is no Stable Diffusion model .it holds nothing"),
    (other("lora_unet_down_blocks_0.lora_down.weight"), UnsupportedError, "is a LoRA, not a whole"),
    (other("unet.mid.to_q.lora_A.weight"), UnsupportedError, "is a LoRA, not a whole model"),
    (other("emb_params"), UnsupportedError, "is a textual inversion embedding"),
    (other("control_model.time_embed.0.weight"), UnsupportedError, "is a ControlNet"),
    (
        other("model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias"),
        UnsupportedError,
        "is Stable Diffusion 3; sdrt exports Stable Diffusion 1, 2 and XL",
    ),
    (other("double_blocks.0.img_attn.norm.key_norm.scale"), UnsupportedError, "is Flux"),
    (add("model.diffusion_model.label_emb.0.0.weight"), UnsupportedError, ".unCLIP."),
    *(
        (
            add(f"model.diffusion_model.{name}.cond_proj.weight"),
            UnsupportedError,
            f"with guidance inside .*{name}.cond_proj.weight.*; give the model as a diffusers fol",
        )
        for name in ("time_embed", "time_embedding")
    ),
    (
        other("conditioner.embedders.0.model.ln_final.weight"),
        ArtifactError,
        "has text encoder alone, no U-Net and autoencoder",
    ),
    (other("down_blocks.0.resnets.0.conv1.weight"), UnsupportedError, "in diffusers' naming"),
    (widen, UnsupportedError, "is an upscaler .7 input channels"),
    (
        lose("model.diffusion_model.out.0.bias"),
        ArtifactError,
        "1 weights are missing: .*out.0.bias",
    ),
    (lose("first_stage_model.decoder.conv_in.weight"), ArtifactError, "decoder.conv_in.weight"),
    (
        lose("cond_stage_model.model.positional_embedding"),
        ArtifactError,
        "has no .*positional_embedding",
    ),
    (
        lose("cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight"),
        ArtifactError,
        "1 weights are missing: .*resblocks.1.attn.in_proj_weight",
    ),
    (
        add("model.diffusion_model.middle_block.1.adapter.weight"),
        ArtifactError,
        "1 weights are not known: model.diffusion_model.middle_block.1.adapter.weight",
    ),
    (
        add("model.diffusion_model.time_embed.0.weight"),
        ArtifactError,
        "1 weights have another shape than their place: .*time_embed.0.weight",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=[bad[2][:30] for bad in BAD])
def test_what_is_no_whole_model_is_named(
    files: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    change: Change,
    error: type[SdrtError],
    message: str,
) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(change(ldm_weights("sd2")), path)
    with pytest.raises(error, match=message):
        SingleFileCheckpoint.open(path, files["sd2"][1])


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("cut.safetensors", b"\x08\0\0\0\0\0\0\0{", ArtifactError, "cannot read .*cut.safetensors"),
        ("empty.safetensors", b"", ArtifactError, "cannot read .*empty.safetensors"),
        ("model.gguf", b"GGUF", ArtifactError, "is a GGUF file .*; expected a checkpoint as"),
        ("notes.txt", b"x", ArtifactError, "is a file of unknown kind; expected a checkpoint as"),
    ],
)
def test_files_that_hold_no_weights_are_named(
    tmp_path: Path, name: str, content: bytes, error: type[SdrtError], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("family", "other_family", "message"),
    [
        ("sd1", "sd2", "family is sd2 there and sd1 in the weights"),
        ("sd2", "sd1", "use_linear_in_transformer is False there and True in the weights"),
        ("sd1-edit", "sd1", "in_channels is 4 there and 8 in the weights"),
        ("sd1-edit", "sd1-inpaint", "in_channels is 9 there and 8 in the weights"),
        ("sd1", "sd1-edit", "conditioning_key is hybrid there and crossattn in the weights"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    files: dict[str, tuple[Path, Path]], family: str, other_family: str, message: str
) -> None:
    with pytest.raises(UsageError, match=f"{other_family}.yaml does not describe .*{message}"):
        SingleFileCheckpoint.open(files[family][0], files[other_family][1])


CONTRADICTIONS: list[tuple[tuple[str, ...], Any, str]] = [
    (("unet_config", "params", "context_dim"), 768, "context_dim is 768 there and 128 in"),
    (("unet_config", "params", "channel_mult"), [1, 4], r"is \[32, 128\] there and \[32, 64\] in"),
    (("unet_config", "params", "attention_resolutions"), [1], r"is \[0\] there and \[1\] in"),
    (("unet_config", "params", "num_res_blocks"), 2, "num_res_blocks is 2 there and 1 in"),
    (("unet_config", "params", "in_channels"), 9, "in_channels is 9 there and 4 in the weights"),
    (("first_stage_config", "params", "embed_dim"), 3, "embed_dim is 3 there and 4 in"),
    (
        ("first_stage_config", "params", "ddconfig", "ch_mult"),
        [1, 2, 4],
        r"vae_channels is \[32, 64, 128\] there and \[32, 32, 32, 64\] in the weights",
    ),
]


@pytest.mark.parametrize(("where", "value", "message"), CONTRADICTIONS)
def test_a_contradiction_is_named(
    files: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    where: tuple[str, ...],
    value: Any,
    message: str,
) -> None:
    content = ldm_yaml("sd2")
    inner = content["model"]["params"]
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(UsageError, match=message):
        SingleFileCheckpoint.open(files["sd2"][0], write_yaml(tmp_path / "wrong.yaml", content))


def test_a_folder_takes_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--config is for a checkpoint in one file"):
        open_checkpoint(tmp_path, SourceOptions(config="v1-inference"))


def test_unknown_weights_are_counted_and_some_are_shown(
    files: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    weights = ldm_weights("sd2") | {f"extra.{i:02}": torch.zeros(1) for i in range(11)}
    path = save("sd2", tmp_path / "extra.safetensors", weights)
    with pytest.raises(ArtifactError, match=r"11 weights are not known: extra.00, .*07 and 3 more"):
        SingleFileCheckpoint.open(path, files["sd2"][1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["FILE", "out"], 2, "do not show the number of attention heads: give --config"),
        (["FILE", "out", "--config", "v2-inference"], 2, "does not describe"),
        (["FILE", "out", "--config", "v9"], 2, "known: v1-inference, v2-inference"),
        (["FILE", "out", "--prediction", "flow"], 2, "unknown prediction 'flow'"),
        (["demo", "out", "--precision", "int8", "--prediction", "epsilon"], 2, "is an artifact"),
        (["--random", "tiny", "out", "--config", "v1-inference"], 2, "SOURCE that is one file"),
        (["--random", "tiny", "out", "--prediction", "flow"], 2, "unknown prediction 'flow'"),
    ],
)
def test_the_command_refuses_in_a_sentence(
    files: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(files["sd2"][0]) if argument == "FILE" else argument for argument in arguments]
    result = CliRunner().invoke(export_command, [*given, "--quiet"])
    assert isinstance(result.exception, SdrtError)
    assert result.exception.exit_code == code
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []
