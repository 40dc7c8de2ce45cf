"""Names of weights: the original latent-diffusion code's (LDM) <-> diffusers' and transformers'.

One table of layers for each network, read in both directions. A few weights differ in form too:
the autoencoder's attention is a 1x1 convolution there and a linear layer here, and OpenCLIP keeps
queries, keys and values as one matrix.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch

Part = Literal["text_encoder", "unet", "vae"]
Weights = Mapping[str, torch.Tensor]
Config = Mapping[str, Any]
Names = dict[str, str]
"""Beginnings of names, up to a dot or the end: LDM's -> diffusers'."""

CLIP, OPEN_CLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
UNET, VAE = "model.diffusion_model.", "first_stage_model."
FUSED = "attn.in_proj_"
PROJECTIONS = ("q_proj", "k_proj", "v_proj")

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
_OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def prefix(part: Part, is_open_clip: bool) -> str:
    """What the names of a network begin with in a file of the whole model."""
    text = OPEN_CLIP if is_open_clip else CLIP
    return {"text_encoder": text, "unet": UNET, "vae": VAE}[part]


def to_diffusers(
    part: Part, weights: Weights, config: Config, is_open_clip: bool = False
) -> dict[str, torch.Tensor]:
    """A network's weights under the names of diffusers (transformers, for the text encoder).

    `weights` has LDM's names with `prefix`, `config` is diffusers' configuration of the network. A
    name that is not in the table stays as it is.
    """
    start, table = prefix(part, is_open_clip), _table(part, config, is_open_clip)
    converted: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        own = name.removeprefix(start)
        if FUSED in own and is_open_clip:
            converted |= _split(own, weight)
        else:
            new = _renamed(own, table)
            converted[new] = _as_linear(new, weight) if part == "vae" else weight
    return converted


def to_ldm(
    part: Part, weights: Weights, config: Config, is_open_clip: bool = False
) -> dict[str, torch.Tensor]:
    """The inverse of `to_diffusers`: a network's `state_dict()` under LDM's names, with prefix."""
    start = prefix(part, is_open_clip)
    table = {ours: theirs for theirs, ours in _table(part, config, is_open_clip).items()}
    converted: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if is_open_clip and any(f"self_attn.{one}." in name for one in PROJECTIONS):
            fused = name.replace("encoder.layers.", "transformer.resblocks.")
            before, _, kind = fused.replace("self_attn.", "attn.").rsplit(".", 2)
            if name.endswith(f"q_proj.{kind}"):
                others = (name.replace("q_proj", one) for one in PROJECTIONS)
                joined = torch.cat([weights[other] for other in others])
                converted[f"{start}{before}.in_proj_{kind}"] = joined
        else:
            new = weight[:, :, None, None] if part == "vae" and _is_linear(name, weight) else weight
            converted[start + _renamed(name, table)] = new
    return converted


def unet_names(config: Config) -> Names:
    """Layers of the U-Net; `config` has `block_out_channels`, `layers_per_block` and the blocks."""
    levels, layers = len(config["block_out_channels"]), int(config["layers_per_block"])
    names = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "label_emb.0.0": "add_embedding.linear_1",
        "label_emb.0.2": "add_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.1": "mid_block.attentions.0",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
        **_resnet("middle_block.0", "mid_block.resnets.0"),
        **_resnet("middle_block.2", "mid_block.resnets.1"),
    }
    for level in range(levels):
        first, block = 1 + level * (layers + 1), f"down_blocks.{level}"
        for i in range(layers):
            names |= _resnet(f"input_blocks.{first + i}.0", f"{block}.resnets.{i}")
            names[f"input_blocks.{first + i}.1"] = f"{block}.attentions.{i}"
        names[f"input_blocks.{first + layers}.0.op"] = f"{block}.downsamplers.0.conv"
    for level, kind in enumerate(config["up_block_types"]):
        first, block = level * (layers + 1), f"up_blocks.{level}"
        has_attention = "CrossAttn" in kind
        for i in range(layers + 1):
            names |= _resnet(f"output_blocks.{first + i}.0", f"{block}.resnets.{i}")
            if has_attention:
                names[f"output_blocks.{first + i}.1"] = f"{block}.attentions.{i}"
        place = 2 if has_attention else 1
        names[f"output_blocks.{first + layers}.{place}.conv"] = f"{block}.upsamplers.0.conv"
    return names


def vae_names(config: Config) -> Names:
    """Layers of the autoencoder; LDM counts the decoder's levels from the picture inwards."""
    levels, layers = len(config["block_out_channels"]), int(config["layers_per_block"])
    names = {}
    for side, down_or_up in (("encoder", "down"), ("decoder", "up")):
        names[f"{side}.norm_out"] = f"{side}.conv_norm_out"
        for i in range(2):
            names |= _shortcut(f"{side}.mid.block_{i + 1}", f"{side}.mid_block.resnets.{i}")
        for theirs, ours in _VAE_ATTENTION.items():
            names[f"{side}.mid.attn_1.{theirs}"] = f"{side}.mid_block.attentions.0.{ours}"
        for level in range(levels):
            at = level if side == "encoder" else levels - 1 - level
            block = f"{side}.{down_or_up}_blocks.{level}"
            for i in range(layers + (side == "decoder")):
                names |= _shortcut(f"{side}.{down_or_up}.{at}.block.{i}", f"{block}.resnets.{i}")
            names[f"{side}.{down_or_up}.{at}.{down_or_up}sample"] = (
                f"{block}.{down_or_up}samplers.0"
            )
    return names


def open_clip_names(config: Config) -> Names:
    """Layers of OpenCLIP's text tower, but for its fused projections."""
    names = {
        "token_embedding": "embeddings.token_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final": "final_layer_norm",
    }
    for layer in range(config["num_hidden_layers"]):
        for theirs, ours in _OPEN_CLIP_LAYER.items():
            names[f"transformer.resblocks.{layer}.{theirs}"] = f"encoder.layers.{layer}.{ours}"
    return names


def _table(part: Part, config: Config, is_open_clip: bool) -> Names:
    if part == "text_encoder":
        return open_clip_names(config) if is_open_clip else {}
    return unet_names(config) if part == "unet" else vae_names(config)


def _resnet(theirs: str, ours: str) -> Names:
    return {f"{theirs}.{a}": f"{ours}.{b}" for a, b in _RESNET.items()}


def _shortcut(theirs: str, ours: str) -> Names:
    return {f"{theirs}.nin_shortcut": f"{ours}.conv_shortcut", theirs: ours}


def _renamed(name: str, table: Names) -> str:
    """Replace the longest beginning that the table has."""
    for start in _beginnings(name):
        if start in table:
            return table[start] + name[len(start) :]
    return name


def _beginnings(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _split(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """OpenCLIP's `in_proj`: queries, keys and values below each other."""
    before, kind = name.replace("transformer.resblocks.", "encoder.layers.").split(FUSED)
    parts = weight.chunk(3)
    return {
        f"{before}self_attn.{one}.{kind}": part.clone()
        for one, part in zip(PROJECTIONS, parts, strict=True)
    }


def _as_linear(name: str, weight: torch.Tensor) -> torch.Tensor:
    is_convolution = ".attentions." in name and weight.ndim > 2
    return weight.flatten(1) if is_convolution else weight


def _is_linear(name: str, weight: torch.Tensor) -> bool:
    return ".attentions." in name and weight.ndim == 2
