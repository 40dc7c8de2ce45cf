"""What cannot be merged is refused before anything is written, and the reason is named."""

from pathlib import Path

import pytest
import torch

from sdrt.adapters.lora_loading import LoraSpec
from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import SourceOptions
from sdrt_export.presets import read_preset
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.sources.lora.merging import tiny_options, weights
from tests.export.sources.lora.writing import (
    Tensors,
    save,
)


@pytest.mark.parametrize("weight", ["nan", "inf", "1e999", "much", ""])
def test_a_weight_is_a_finite_number(kohya_file: Path, weight: str) -> None:
    with pytest.raises(UsageError, match=f"the weight is '{weight}'; expected a finite number"):
        LoraSpec.parse(f"{kohya_file}:{weight}")


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a:1"
    path.touch()
    assert LoraSpec.parse(str(path)) == LoraSpec(path, 1.0)
    assert LoraSpec.parse(f"{path}:-2") == LoraSpec(path, -2.0)


UNET = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"


XL = "lora_unet_mid_block_attentions_0_transformer_blocks_3_attn2_to_k"


def pair(down: tuple[int, ...], up: tuple[int, ...], name: str = UNET) -> Tensors:
    return {
        f"{name}.lora_down.weight": torch.ones(down),
        f"{name}.lora_up.weight": torch.ones(up),
    }


GOOD = pair((4, 16), (32, 4))


NAN = torch.full((32, 4), float("nan"))


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        (GOOD | pair((4, 8), (8, 4), "lora_unet_nowhere"), ArtifactError, "2 of 4 tensors belong "
         "to no layer of the model: lora_unet_nowhere.lora_down.weight, lora_unet_nowhere.lora_up"),
        (GOOD | {f"{UNET}.weight": torch.ones(1)}, ArtifactError, f"1 of 3 .* {UNET}.weight"),
        ({}, ArtifactError, "holds no tensors"),
        ({f"{UNET}.lora_up.weight": torch.ones(32, 4)}, ArtifactError, "lack the other half"),
        (GOOD | pair((4, 16), (32, 4), "unet.mid_block.attentions.0.transformer_blocks.0.attn2"
         ".processor.to_k"), ArtifactError, "are for the same layer"),
        (pair((4, 17), (32, 4)), UsageError, "does not belong to this model: 1 of 1 layers have "
         r"another shape \(.* is 4x17 with 32x4, the layer is 32x16\); give another"),
        (pair((4, 16), (32, 5)), UsageError, "does not belong to this model"),
        (pair((0, 16), (32, 0)), UsageError, "does not belong to this model"),
        (pair((4, 16, 3, 3), (32, 4, 1, 1)), UsageError, "does not belong to this model"),
        (pair((4, 768), (320, 4)), UsageError, "it is a LoRA of Stable Diffusion 1"),
        (pair((4, 1024), (320, 4)), UsageError, "it is a LoRA of Stable Diffusion 2"),
        (pair((4, 2048), (640, 4)), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (pair((4, 16), (32, 4), XL), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (pair((4, 2048), (640, 4), XL), UsageError, "it is a LoRA of Stable Diffusion XL"),
        (GOOD | pair((4, 8), (8, 4), "lora_te2_text_model_encoder_layers_0_mlp_fc1"),
         UsageError, "it is a LoRA of Stable Diffusion XL .lora_te2_"),
        (pair((4, 16), (32, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UsageError, "it is a LoRA of Stable Diffusion XL .lora_te1_"),
        (pair((4, 8), (8, 4), "lora_unet_double_blocks_0_img_attn_qkv")
         | pair((4, 16), (32, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UnsupportedError, "is a LoRA of Flux"),
        (pair((4, 8), (8, 4), "lora_unet_joint_blocks_0_x_block_attn_qkv"),
         UnsupportedError, "is a LoRA of Stable Diffusion 3"),
        ({"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 8)},
         UnsupportedError, "is a LoRA of a transformer"),
        ({f"{UNET}.hada_w1_a": torch.ones(4, 4)}, UnsupportedError, "holds LoHa .*not supported"),
        ({f"{UNET}.lokr_w1": torch.ones(4, 4)}, UnsupportedError, "holds LoKr .*not supported"),
        (GOOD | {f"{UNET}.dora_scale": torch.ones(32, 1)}, UnsupportedError,
         f"holds DoRA .*{UNET}.dora_scale, which is not supported"),
        (GOOD | {f"{UNET}.lora_mid.weight": torch.ones(4, 4, 3, 3)}, UnsupportedError, "LoCon"),
        (GOOD | {"bundle_emb.ink.clip_g": torch.ones(4)}, UnsupportedError, "embeddings in the"),
        (GOOD | {f"{UNET}.alpha": torch.ones(2)}, ArtifactError, "alpha is no single number"),
        (GOOD | {f"{UNET}.alpha": torch.tensor(float("inf"))}, ArtifactError, "alpha has values"),
        (GOOD | {f"{UNET}.lora_up.weight": NAN}, ArtifactError, "up.weight has values"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_said(
    tiny_checkpoint: RandomCheckpoint,
    tmp_path: Path,
    tensors: Tensors,
    error: type[SdrtError],
    message: str,
) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=message):
        weights(tiny_checkpoint, LoraSpec(file))


TWO = "lora_unet_up_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


ONE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        (pair((4, 768), (320, 4), ONE), UsageError,
         f"does not belong to this model: it is a LoRA of Stable Diffusion 1 .{ONE}"),
        (pair((4, 1024), (320, 4), TWO), UsageError, "it is a LoRA of Stable Diffusion 2"),
        (pair((4, 1280), (320, 4), TWO), UsageError, "of Stable Diffusion XL's refiner"),
        (pair((4, 64), (128, 4), "lora_te_text_model_encoder_layers_0_mlp_fc1"), UsageError,
         "it is a LoRA of Stable Diffusion 1 or 2 .lora_te_text"),
        (pair((4, 64), (128, 4), "lora_te1_text_model_encoder_layers_9_mlp_fc1"), ArtifactError,
         "2 of 2 tensors belong to no layer of the model"),
        (pair((4, 64), (128, 4), "lora_te2_text_model_encoder_layers_0_mlp_fc1"), UsageError,
         "4x64 with 128x4, the layer is 256x128.; give another"),
        (pair((4, 64), (64, 4), "lora_unet_joint_blocks_0_x_block_attn_qkv")
         | pair((4, 64), (128, 4), "lora_te1_text_model_encoder_layers_0_mlp_fc1"),
         UnsupportedError, "is a LoRA of Stable Diffusion 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_two_text_encoders_is_said(
    tmp_path: Path, tensors: Tensors, error: type[SdrtError], message: str
) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=message):
        with_loras(RandomCheckpoint.from_preset(*read_preset("tiny-sdxl")), [LoraSpec(file)])


def test_the_family_of_real_sizes_is_told(tmp_path: Path) -> None:
    """Layers that fit the model do not make a LoRA with others one of another family."""
    checkpoint = RandomCheckpoint.from_preset(*read_preset("sdxl"))
    name = "lora_unet_up_blocks_0_attentions_0_transformer_blocks_9_attn2_to_k"
    right = pair((4, 2048), (1280, 4), name)
    assert with_loras(checkpoint, [LoraSpec(save(tmp_path / "a.safetensors", right))]).adapters
    file = save(tmp_path / "b.safetensors", right | pair((4, 8), (8, 4), "lora_unet_nowhere"))
    with pytest.raises(ArtifactError, match="2 of 4 tensors belong to no layer of the model"):
        with_loras(checkpoint, [LoraSpec(file)])


def test_only_whole_safetensors_files_are_read(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(kohya_file.read_bytes()[:-100])
    pickled = tmp_path / "a.pt"
    torch.save(GOOD, pickled)
    for path, message in (
        (tmp_path / "none.safetensors", "is nothing: the path does not exist"),
        (tmp_path, "expected a LoRA as a .safetensors file"),
        (pickled, "is a pickled checkpoint; expected a LoRA as a .safetensors file"),
        (torn, "is no whole safetensors file"),
    ):
        with pytest.raises(ArtifactError, match=message):
            with_loras(tiny_checkpoint, [LoraSpec(path)])
    text = save(tmp_path / "m.safetensors", GOOD, lora_adapter_metadata=[1])
    with pytest.raises(ArtifactError, match="lora_adapter_metadata is no JSON object"):
        with_loras(tiny_checkpoint, [LoraSpec(text)])


def test_a_lora_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", pair((4, 768), (320, 4)))
    source = SourceOptions(lora=(str(file),))
    with pytest.raises(UsageError, match="it is a LoRA of Stable Diffusion 1"):
        run_export([tmp_path / "out"], tiny_options(source=source))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
