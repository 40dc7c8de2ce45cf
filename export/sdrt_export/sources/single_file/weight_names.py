"""Names of weights: the original latent-diffusion code's (LDM) <-> diffusers' and transformers'.

One table of layers for each network, read in both directions. A few weights differ in form too:
the autoencoder's attention is a 1x1 convolution there and a linear layer here, and OpenCLIP keeps
queries, keys and values as one matrix, and its projection the other way round.
"""

from collections.abc import Mapping
from typing import Literal

import torch

from sdrt.adapters.unet_layer_names import Config, Names, renamed, unet_names

Naming = Literal["sd1", "sd2", "sdxl", "sdxl-refiner"]
"""Naming schemes: the families, and XL's refiner, whose only text encoder stands at the first's
place."""
NetworkName = Literal["text_encoder", "text_encoder_2", "unet", "vae"]
Weights = Mapping[str, torch.Tensor]

CLIP, OPEN_CLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
XL_CLIP = "conditioner.embedders.0.transformer.text_model."
XL_OPEN_CLIP = "conditioner.embedders.1.model."
REFINER_OPEN_CLIP = "conditioner.embedders.0.model."
UNET, VAE = "model.diffusion_model.", "first_stage_model."
PREFIXES: dict[Naming, dict[NetworkName, str]] = {
    "sd1": {"text_encoder": CLIP, "unet": UNET, "vae": VAE},
    "sd2": {"text_encoder": OPEN_CLIP, "unet": UNET, "vae": VAE},
    "sdxl": {
        "text_encoder": XL_CLIP,
        "text_encoder_2": XL_OPEN_CLIP,
        "unet": UNET,
        "vae": VAE,
    },
    "sdxl-refiner": {"text_encoder_2": REFINER_OPEN_CLIP, "unet": UNET, "vae": VAE},
}
"""Prefixes of the names of each network in a file of the whole model."""
FUSED = "attn.in_proj_"
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
HEAD, OUR_HEAD = "text_projection", "text_projection.weight"
INNER = "text_model."
"""Prefix that transformers gives the names of a text encoder with a projection."""

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


def to_diffusers(
    part: NetworkName, weights: Weights, config: Config, naming: Naming = "sd1"
) -> dict[str, torch.Tensor]:
    """A network's weights under the names of diffusers (transformers, for the text encoder).

    `weights` has LDM's names with their prefix, `config` is diffusers' configuration of the
    network. A name that is not in the table stays as it is.
    """
    start, is_open_clip = PREFIXES[naming][part], _is_open_clip(part, naming)
    table, inner = _table(part, config, is_open_clip), _inner(part)
    converted: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        own = name.removeprefix(start)
        if FUSED in own and is_open_clip:
            converted |= {inner + new: split for new, split in _split(own, weight).items()}
        elif own == HEAD and inner:
            converted[OUR_HEAD] = weight.T.contiguous()
        else:
            new = inner + renamed(own, table)
            converted[new] = _as_linear(new, weight) if part == "vae" else weight
    return converted


def to_ldm(
    part: NetworkName, weights: Weights, config: Config, naming: Naming = "sd1"
) -> dict[str, torch.Tensor]:
    """The inverse of `to_diffusers`: a network's `state_dict()` under LDM's names, with prefix."""
    start, is_open_clip = PREFIXES[naming][part], _is_open_clip(part, naming)
    table = {ours: theirs for theirs, ours in _table(part, config, is_open_clip).items()}
    converted: dict[str, torch.Tensor] = {}
    for full_name, weight in weights.items():
        name = full_name.removeprefix(_inner(part))
        if is_open_clip and any(f"self_attn.{projection}." in name for projection in PROJECTIONS):
            fused = name.replace("encoder.layers.", "transformer.resblocks.")
            before, _, kind = fused.replace("self_attn.", "attn.").rsplit(".", 2)
            if name.endswith(f"q_proj.{kind}"):
                others = (full_name.replace("q_proj", projection) for projection in PROJECTIONS)
                joined = torch.cat([weights[other] for other in others])
                converted[f"{start}{before}.in_proj_{kind}"] = joined
        elif name == OUR_HEAD and _inner(part):
            converted[start + HEAD] = weight.T.contiguous()
        else:
            new = weight[:, :, None, None] if part == "vae" and _is_linear(name, weight) else weight
            converted[start + renamed(name, table)] = new
    return converted


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


def _is_open_clip(part: NetworkName, naming: Naming) -> bool:
    return part == "text_encoder_2" or (part == "text_encoder" and naming == "sd2")


def _inner(part: NetworkName) -> str:
    return INNER if part == "text_encoder_2" else ""


def _table(part: NetworkName, config: Config, is_open_clip: bool) -> Names:
    if part in ("text_encoder", "text_encoder_2"):
        return open_clip_names(config) if is_open_clip else {}
    return unet_names(config) if part == "unet" else vae_names(config)


def _shortcut(theirs: str, ours: str) -> Names:
    return {f"{theirs}.nin_shortcut": f"{ours}.conv_shortcut", theirs: ours}


def _split(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """OpenCLIP's `in_proj`: queries, keys and values below each other."""
    before, kind = name.replace("transformer.resblocks.", "encoder.layers.").split(FUSED)
    parts = weight.chunk(3)
    return {
        f"{before}self_attn.{projection}.{kind}": part.clone()
        for projection, part in zip(PROJECTIONS, parts, strict=True)
    }


def _as_linear(name: str, weight: torch.Tensor) -> torch.Tensor:
    is_convolution = ".attentions." in name and weight.ndim > 2
    return weight.flatten(1) if is_convolution else weight


def _is_linear(name: str, weight: torch.Tensor) -> bool:
    return ".attentions." in name and weight.ndim == 2
