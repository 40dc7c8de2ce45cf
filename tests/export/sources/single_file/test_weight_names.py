"""Every weight has one name in the original naming, and it is the one that diffusers reads."""

from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdrt.manifest import Family
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.weight_names import PREFIXES, NetworkName, to_diffusers, to_ldm
from tests.export.sources.single_file.twins import parts_of

Weights = dict[str, torch.Tensor]
FAMILIES: dict[str, Family] = {
    "tiny": "sd1",
    "demo": "sd1",
    "tiny-sd2": "sd2",
    "tiny-sd2-v": "sd2",
    "tiny-sdxl": "sdxl",
}


def network(preset: str, part: NetworkName) -> tuple[dict[str, Any], Weights]:
    """Configuration and random weights; also of what torch makes zeros and ones."""
    checkpoint = RandomCheckpoint.from_preset(*read_preset(preset))
    generator = torch.Generator().manual_seed(1)
    weights = checkpoint.network(part).state_dict()
    for weight in weights.values():
        weight.normal_(generator=generator)
    return dict(checkpoint.configs[part]), weights


def assert_equal(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(found[name], weight), name


@pytest.mark.parametrize("preset", FAMILIES)
def test_the_way_there_and_back_changes_nothing(preset: str) -> None:
    family = FAMILIES[preset]
    for part in parts_of(RandomCheckpoint.from_preset(*read_preset(preset))):
        config, weights = network(preset, part)
        ldm = to_ldm(part, weights, config, family)
        assert all(name.startswith(PREFIXES[family][part]) for name in ldm)
        assert_equal(to_diffusers(part, ldm, config, family), weights)


@pytest.mark.parametrize("preset", ["tiny", "tiny-sd2", "demo"])
def test_diffusers_own_converter_reads_the_same(preset: str) -> None:
    unet, unet_weights = network(preset, "unet")
    vae, vae_weights = network(preset, "vae")
    text, text_weights = network(preset, "text_encoder")
    ldm = {
        **to_ldm("unet", unet_weights, unet),
        **to_ldm("vae", vae_weights, vae),
        **to_ldm("text_encoder", text_weights, text, FAMILIES[preset]),
    }
    assert_equal(theirs.convert_ldm_unet_checkpoint(dict(ldm), unet), unet_weights)
    assert_equal(theirs.convert_ldm_vae_checkpoint(dict(ldm), vae), vae_weights)
    if FAMILIES[preset] == "sd2":
        encoder = CLIPTextModel(CLIPTextConfig.from_dict(text))
        weights = theirs.convert_open_clip_checkpoint(encoder, dict(ldm))
    else:
        weights = theirs.convert_ldm_clip_checkpoint(dict(ldm))
    bare = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
    assert_equal(bare, text_weights)


def test_diffusers_own_converter_reads_both_text_encoders_of_xl() -> None:
    first, first_weights = network("tiny-sdxl", "text_encoder")
    second, second_weights = network("tiny-sdxl", "text_encoder_2")
    unet, unet_weights = network("tiny-sdxl", "unet")
    ldm = {
        **to_ldm("text_encoder", first_weights, first, "sdxl"),
        **to_ldm("text_encoder_2", second_weights, second, "sdxl"),
        **to_ldm("unet", unet_weights, unet, "sdxl"),
    }
    assert_equal(theirs.convert_ldm_unet_checkpoint(dict(ldm), unet), unet_weights)
    weights = theirs.convert_ldm_clip_checkpoint(dict(ldm))
    bare = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
    assert_equal(bare, first_weights)
    encoder = CLIPTextModelWithProjection(CLIPTextConfig.from_dict(second))
    start = PREFIXES["sdxl"]["text_encoder_2"]
    assert_equal(
        theirs.convert_open_clip_checkpoint(encoder, dict(ldm), prefix=start), second_weights
    )


# Names that are in the files that people have, and how many there are.
@pytest.mark.parametrize(
    ("preset", "part", "names"),
    [
        (
            "sd15",
            "unet",
            {
                "model.diffusion_model.output_blocks.11.0.skip_connection.weight",
                "model.diffusion_model.output_blocks.2.1.conv.bias",
                "model.diffusion_model.output_blocks.8.2.conv.weight",
                "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
            },
        ),
        (
            "sd15",
            "vae",
            {
                "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight",
                "first_stage_model.encoder.mid.attn_1.proj_out.bias",
                "first_stage_model.post_quant_conv.weight",
            },
        ),
        (
            "sd15",
            "text_encoder",
            {
                "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc2.bias",
                "cond_stage_model.transformer.text_model.final_layer_norm.weight",
            },
        ),
        (
            "sd21",
            "text_encoder",
            {
                "cond_stage_model.model.positional_embedding",
                "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_bias",
                "cond_stage_model.model.token_embedding.weight",
                "cond_stage_model.model.ln_final.bias",
            },
        ),
        (
            "sdxl",
            "text_encoder",
            {
                "conditioner.embedders.0.transformer.text_model.encoder.layers.11.mlp.fc2.bias",
                "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
            },
        ),
        (
            "sdxl",
            "text_encoder_2",
            {
                "conditioner.embedders.1.model.positional_embedding",
                "conditioner.embedders.1.model.text_projection",
                "conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_bias",
            },
        ),
        (
            "sdxl",
            "unet",
            {
                "model.diffusion_model.label_emb.0.0.weight",
                "model.diffusion_model.label_emb.0.2.bias",
                "model.diffusion_model.middle_block.1.transformer_blocks.9.attn2.to_k.weight",
                "model.diffusion_model.output_blocks.2.2.conv.weight",
                "model.diffusion_model.output_blocks.8.0.skip_connection.weight",
            },
        ),
    ],
)
def test_names_are_those_of_published_files(
    preset: str, part: NetworkName, names: set[str]
) -> None:
    from sdrt_export.sources.checkpoint import BUILD

    config = RandomCheckpoint.from_preset(*read_preset(preset)).configs[part]
    with torch.device("meta"):
        weights = BUILD[part](config).state_dict()
    families: dict[str, Family] = {"sd15": "sd1", "sd21": "sd2", "sdxl": "sdxl"}
    ldm = to_ldm(part, weights, config, families[preset])
    assert names <= ldm.keys()
    counts = {("sd15", "unet"): 686, ("sd15", "vae"): 248, ("sd15", "text_encoder"): 196}
    counts["sd21", "text_encoder"] = 23 * 12 + 4
    counts |= {("sdxl", "text_encoder"): 196, ("sdxl", "text_encoder_2"): 32 * 12 + 5}
    counts["sdxl", "unet"] = 1680
    assert len(ldm) == counts[preset, part]
