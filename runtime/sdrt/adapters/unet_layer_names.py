"""Names of the U-Net's layers: the original latent-diffusion code's (LDM) and diffusers'."""

from collections.abc import Iterator, Mapping
from typing import Any

Config = Mapping[str, Any]
Names = dict[str, str]
"""Prefixes of names, up to a dot or the end: LDM's -> diffusers'."""

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


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


def renamed(name: str, table: Names) -> str:
    """Replace the longest prefix that the table has."""
    for prefix in _prefixes(name):
        if prefix in table:
            return table[prefix] + name[len(prefix) :]
    return name


def _prefixes(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _resnet(theirs: str, ours: str) -> Names:
    return {f"{theirs}.{a}": f"{ours}.{b}" for a, b in _RESNET.items()}
