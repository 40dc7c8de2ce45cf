"""The kind and the sizes of the model in a file of weights, by names and shapes of its tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt_export.sources.checkpoint import unsupported_channels
from sdrt_export.sources.single_file.ldm_yaml import LdmConfig
from sdrt_export.sources.single_file.weight_names import (
    CLIP,
    OPEN_CLIP,
    REFINER_OPEN_CLIP,
    UNET,
    VAE,
    XL_CLIP,
    XL_OPEN_CLIP,
    Naming,
)
from sdrt_export.sources.single_file.weights_file import Shape

Shapes = Mapping[str, Shape]

EXPORTED = "sdrt exports Stable Diffusion 1, 2 and XL"
LABELS = f"{UNET}label_emb.0.0.weight"
"""The layer for a U-Net's inputs besides timestep and embeddings."""

# Kinds of models by patterns of names; the first match counts. Everything else that is no whole
# Stable Diffusion is described by what is missing.
RELATIVES = (
    (r"lora_(unet|te)|\.lora_(down|up|A|B)\.|\.hada_w", "a LoRA, not a whole model"),
    (r"^(string_to_param|emb_params)", "a textual inversion embedding, not a whole model"),
    (r"^control_model\.|^controlnet_cond_embedding\.", "a ControlNet, not a whole model"),
    (r"\bjoint_blocks\.", "Stable Diffusion 3"),
    (r"\bdistilled_guidance_layer\.", "Chroma"),
    (r"\bdouble_blocks\.\d+\.img_attn\.", "Flux"),
    (r"\bdouble_layers\.\d+\.attn\.w2q", "AuraFlow"),
    (r"\bdouble_stream_blocks\.", "HiDream"),
    (r"\bcap_embedder\.", "Lumina or Z-Image"),
    (r"\bpatchify_proj\.", "LTX-Video"),
    (r"\bhead\.modulation", "Wan"),
    (r"motion_modules\.", "AnimateDiff"),
    (r"^(unet\.)?down_blocks\.\d+\.(resnets|attentions)\.", "a U-Net in diffusers' naming, alone"),
)
GUIDANCE = re.compile(r"\bcond_proj\.weight$")
UNCLIP = "a U-Net with a condition of its own (unCLIP)"


@dataclass(frozen=True)
class Architecture:
    """Sizes of the networks, read from the weights or from a configuration, to compare the two."""

    family: Naming
    """The family that the text encoders show: CLIP's, OpenCLIP's, or both."""
    in_channels: int
    out_channels: int
    conditioning_key: str
    """Whether the U-Net takes a text alone (crossattn) or further channels too (hybrid)."""
    unet_channels: tuple[int, ...]
    """Channels of each level, from the image inwards."""
    attention_levels: tuple[int, ...]
    num_res_blocks: int
    context_dim: int
    transformer_depth: tuple[int, ...]
    """Number of transformer blocks of each level with attention."""
    added_width: int
    """Width of the U-Net's inputs besides timestep and embeddings, or 0."""
    use_linear_in_transformer: bool
    vae_channels: tuple[int, ...]
    vae_res_blocks: int
    z_channels: int
    embed_dim: int
    picture_channels: int


def recognise(path: Path, shapes: Shapes) -> Architecture:
    """Sizes of a whole Stable Diffusion; raises an error that names anything else."""
    _check_kind(path, shapes)
    _check_guidance(path, shapes)
    try:
        architecture = _architecture(shapes)
    except (KeyError, IndexError, ValueError) as error:
        raise ArtifactError(
            f"{path} is like Stable Diffusion, but incomplete or of another shape ({error}); "
            "expected a complete checkpoint"
        ) from error
    is_xl = architecture.family.startswith("sdxl")
    if kind := unsupported_channels(architecture.in_channels, architecture.out_channels, is_xl):
        raise UnsupportedError(f"{path} is {kind}; {EXPORTED}")
    if bool(architecture.added_width) != is_xl:
        kind = UNCLIP if architecture.added_width else "Stable Diffusion XL without label_emb"
        raise UnsupportedError(f"{path} is {kind}; {EXPORTED}")
    return architecture


def from_config(config: LdmConfig) -> Architecture:
    """The sizes that a configuration gives."""
    params = config.params
    unet, vae = params.unet_config.params, params.first_stage_config.params
    levels = range(len(unet.channel_mult))
    attention_levels = tuple(i for i in levels if 2**i in unet.attention_resolutions)
    return Architecture(
        family="sd2" if config.is_open_clip else "sd1",
        in_channels=unet.in_channels,
        out_channels=unet.out_channels,
        conditioning_key=params.conditioning_key,
        unet_channels=tuple(unet.model_channels * factor for factor in unet.channel_mult),
        attention_levels=attention_levels,
        num_res_blocks=unet.num_res_blocks,
        context_dim=unet.context_dim,
        transformer_depth=(unet.transformer_depth,) * len(attention_levels),
        added_width=0,
        use_linear_in_transformer=unet.use_linear_in_transformer,
        vae_channels=tuple(vae.ddconfig.ch * factor for factor in vae.ddconfig.ch_mult),
        vae_res_blocks=vae.ddconfig.num_res_blocks,
        z_channels=vae.ddconfig.z_channels,
        embed_dim=vae.embed_dim,
        picture_channels=vae.ddconfig.in_channels,
    )


def check_agreement(path: Path, architecture: Architecture, config: LdmConfig) -> None:
    """Raise `UsageError` that lists the contradictions of a configuration and the weights."""
    described = from_config(config)
    wrong = [
        f"{field.name} is {_shown(getattr(described, field.name))} there and "
        f"{_shown(getattr(architecture, field.name))} in the weights"
        for field in fields(Architecture)
        if getattr(described, field.name) != getattr(architecture, field.name)
    ]
    if wrong:
        raise UsageError(
            f"{config.name} does not describe {path}: {'; '.join(wrong)}; leave --config out, or "
            "give the one that the model was trained with"
        )


def _check_kind(path: Path, shapes: Shapes) -> None:
    for pattern, kind in RELATIVES:
        if any(re.search(pattern, name) for name in shapes):
            raise UnsupportedError(f"{path} is {kind}; {EXPORTED}")
    is_xl = _has(shapes, XL_CLIP) and _has(shapes, XL_OPEN_CLIP)
    parts = {
        "U-Net": _has(shapes, UNET),
        "autoencoder": _has(shapes, VAE),
        "text encoder": is_xl
        or any(_has(shapes, start) for start in (CLIP, OPEN_CLIP, REFINER_OPEN_CLIP)),
    }
    if all(parts.values()):
        return
    if not any(parts.values()):
        kind = "an autoencoder (VAE) alone" if _is_vae(shapes) else "no Stable Diffusion model"
        shown = ", ".join(sorted(shapes)[:3]) or "nothing"
        raise ArtifactError(f"{path} is {kind} (it holds {shown}, ...); expected a whole model")
    there = " and ".join(name for name, is_there in parts.items() if is_there)
    missing = " and ".join(name for name, is_there in parts.items() if not is_there)
    raise ArtifactError(f"{path} has {there} alone, no {missing}; expected a whole model")


def _check_guidance(path: Path, shapes: Shapes) -> None:
    """Raise `UnsupportedError` for a U-Net that takes the guidance scale, as LDM's never did."""
    if weight := next((name for name in shapes if GUIDANCE.search(name)), None):
        raise UnsupportedError(
            f"{path} is a latent consistency model with guidance inside ({weight}), and the "
            "original naming has no place for that; give the model as a diffusers folder"
        )


def _family(shapes: Shapes) -> Naming:
    if _has(shapes, REFINER_OPEN_CLIP):
        return "sdxl-refiner"
    if _has(shapes, XL_OPEN_CLIP):
        return "sdxl"
    return "sd2" if _has(shapes, OPEN_CLIP) else "sd1"


def _has(shapes: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


def _is_vae(shapes: Shapes) -> bool:
    return "decoder.conv_in.weight" in shapes or "encoder.conv_in.weight" in shapes


def _architecture(shapes: Shapes) -> Architecture:
    unet, vae = _below(shapes, UNET), _below(shapes, VAE)
    levels = unet_levels(unet)
    attention = min(name for name in unet if name.endswith("attn2.to_k.weight"))
    place = attention[: attention.index("transformer_blocks.")]
    depths = tuple(level.depth for level in levels if level.depth)
    steps = _count(vae, "encoder.down.{}.block.0.conv1.weight")
    taken, given = unet["input_blocks.0.0.weight"][1], unet["out.2.weight"][0]
    return Architecture(
        family=_family(shapes),
        in_channels=taken,
        out_channels=given,
        conditioning_key="crossattn" if taken == given else "hybrid",
        unet_channels=tuple(level.channels for level in levels),
        attention_levels=tuple(i for i, level in enumerate(levels) if level.depth),
        num_res_blocks=levels[0].blocks,
        context_dim=unet[attention][1],
        transformer_depth=depths,
        added_width=shapes[LABELS][1] if LABELS in shapes else 0,
        use_linear_in_transformer=len(unet[f"{place}proj_in.weight"]) == 2,
        vae_channels=tuple(vae[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(steps)),
        vae_res_blocks=_count(vae, "encoder.down.0.block.{}.conv1.weight"),
        z_channels=vae["decoder.conv_in.weight"][1],
        embed_dim=vae["post_quant_conv.weight"][1],
        picture_channels=vae["encoder.conv_in.weight"][1],
    )


@dataclass
class Level:
    """One level of a U-Net."""

    channels: int
    blocks: int = 0
    depth: int = 0
    """The number of its transformer blocks."""


def unet_levels(unet: Shapes) -> list[Level]:
    """Levels of the U-Net: each has blocks, then a convolution that halves the size."""
    levels = [Level(unet["input_blocks.0.0.weight"][0])]
    number = 1
    while any(name.startswith(f"input_blocks.{number}.") for name in unet):
        at = f"input_blocks.{number}"
        if f"{at}.0.op.weight" in unet:
            levels.append(Level(0))
        else:
            levels[-1].channels = unet[f"{at}.0.in_layers.2.weight"][0]
            levels[-1].blocks += 1
            depth = _count(unet, f"{at}.1.transformer_blocks.{{}}.norm1.weight")
            levels[-1].depth = max(levels[-1].depth, depth)
        number += 1
    if len({level.blocks for level in levels}) != 1:
        raise ValueError("levels with different numbers of blocks")
    return levels


def _below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    return {name[len(prefix) :]: s for name, s in shapes.items() if name.startswith(prefix)}


def _count(shapes: Shapes, pattern: str) -> int:
    """The number of consecutive names of this pattern, from 0 on."""
    number = 0
    while pattern.format(number) in shapes:
        number += 1
    return number


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
