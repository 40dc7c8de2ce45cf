"""A checkpoint in one file, as the original code and its heirs write it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.manifest import Defaults, Source
from sdrt_export.checkpoint import BUILD, Checkpoint, Settings, fitting_tokenizer
from sdrt_export.ldm.architecture import Architecture, Shapes, check_agreement, recognise
from sdrt_export.ldm.config import CURVES, LdmConfig, read_ldm_config
from sdrt_export.ldm.files import Shape, WeightsFile, open_weights
from sdrt_export.ldm.names import CLIP, OPEN_CLIP, VAE, Part, prefix, to_diffusers, to_ldm
from sdrt_export.vocabulary import VOCABULARIES

logger = logging.getLogger(__name__)

PARTS: tuple[Part, ...] = ("text_encoder", "unet", "vae")
SHOWN = 8  # names in a message

LEFTOVERS = re.compile(
    r"model_ema\..*"
    r"|(sqrt_|log_)?(one_minus_)?alphas_cumprod(_prev)?|betas|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])|logvar|global_step"
    r"|first_stage_model\.(loss|model_ema)\..*"
    r"|cond_stage_model\.transformer\.text_model\.embeddings\.position_ids"
    r"|cond_stage_model\.(model\.)?(text_projection|logit_scale|attn_mask)"
    r"|cond_stage_model\.transformer\.text_projection\.weight"
)
"""What training leaves in a checkpoint: moving averages, its schedule, its losses, CLIP's head."""

OPEN_CLIP_LAYERS = {1024: 24}
"""Layers that were trained, by width. Some files leave out the last, which nobody uses."""

# What the weights cannot tell, of the models that everybody has: by the width of the embeddings and
# the channels of the first level.
KNOWN_HEADS = {(768, 320): {"num_heads": 8}, (1024, 320): {"num_head_channels": 64}}


@dataclass(frozen=True)
class SingleFileCheckpoint(Checkpoint):
    """A file with all networks, and perhaps an LDM configuration beside it."""

    file: WeightsFile
    said_size: int | None = field(default=None, kw_only=True)
    """Side of the pictures that the configuration is for."""

    @classmethod
    def open(
        cls, path: Path, config: str | Path | None = None, allow_pickle: bool = False
    ) -> "SingleFileCheckpoint":
        """Recognise the model by its tensors' names and shapes, and account for each of them.

        Raises `UsageError` where a configuration contradicts the weights, or where only one could
        tell; `ArtifactError` for weights that are missing or left over; `UnsupportedError` for
        another kind of model.
        """
        file = open_weights(path, allow_pickle)
        found = recognise(path, file.shapes)
        said = read_ldm_config(config) if config is not None else None
        if said:
            check_agreement(path, found, said)
        configs = {
            "text_encoder": _text_encoder(path, file.shapes, found),
            "unet": _unet(path, found, said),
            "vae": _vae(path, found, said),
            "scheduler": _scheduler(said),
        }
        _account(file, configs, found.is_open_clip)
        params = said.params if said else None
        return cls(
            path.stem,
            Source(id=path.name),
            configs,
            file,
            prediction_from=said.name if said else "",
            said_size=params.image_size * 2 ** (len(found.vae_channels) - 1) if params else None,
            asked_precision=said.precision if said else None,
        )

    def text_encoder(self) -> CLIPTextModel:
        """Load the text encoder in fp32."""
        return self._load("text_encoder")

    def unet(self) -> UNet2DConditionModel:
        """Load the U-Net in fp32."""
        return self._load("unet")

    def vae(self) -> AutoencoderKL:
        """Load the autoencoder in fp32."""
        return self._load("vae")

    def tokenizer(self) -> CLIPTokenizer:
        """CLIP's, which comes with sdrt."""
        return fitting_tokenizer(self.configs["text_encoder"], self.family)

    @property
    def defaults(self) -> Defaults:
        """Those of any model, in the size that it was trained for."""
        is_large = self.family == "sd2" and self.prediction == "v_prediction"
        size = self.said_size or (768 if is_large else 512)
        return Defaults(width=size, height=size)

    def _load(self, part: Part) -> Any:
        is_open_clip, config = self.family == "sd2", self.configs[part]
        with torch.device("meta"):
            module = BUILD[part](config)
        names = to_ldm(part, module.state_dict(), config, is_open_clip)
        weights = to_diffusers(part, self.file.read(names), config, is_open_clip)
        module.load_state_dict(weights, assign=True)
        _materialise(module)
        return module.eval().requires_grad_(False)


def _materialise(module: torch.nn.Module) -> None:
    """Make the buffers that are no weights: positions, which count from 0."""
    for child in module.modules():
        for name, buffer in child.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", name
                child.register_buffer(
                    name, torch.arange(buffer.shape[-1]).expand(buffer.shape), persistent=False
                )


def _text_encoder(path: Path, shapes: Shapes, found: Architecture) -> Settings:
    start = OPEN_CLIP if found.is_open_clip else CLIP
    if found.is_open_clip:
        tokens, positions, layer = (
            "token_embedding.weight",
            "positional_embedding",
            "transformer.resblocks.{}.mlp.c_fc.weight",
        )
    else:
        tokens, positions, layer = (
            "embeddings.token_embedding.weight",
            "embeddings.position_embedding.weight",
            "encoder.layers.{}.mlp.fc1.weight",
        )
    needed = [start + tokens, start + positions, start + layer.format(0)]
    if missing := [name for name in needed if name not in shapes]:
        raise ArtifactError(f"{path} has no {missing[0]}; expected a complete checkpoint")
    vocabulary, width = shapes[needed[0]]
    if vocabulary not in VOCABULARIES:
        raise UnsupportedError(
            f"{path} has a text encoder with a vocabulary of {vocabulary} tokens; sdrt brings "
            "CLIP's, which has 49408"
        )
    count = 0
    while start + layer.format(count) in shapes:
        count += 1
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes[needed[2]][0],
        # Stable Diffusion 2 takes the last layer but one; what comes after it is not exported.
        "num_hidden_layers": OPEN_CLIP_LAYERS.get(width, count) - 1
        if found.is_open_clip
        else count,
        "num_attention_heads": max(width // 64, 1),  # all of CLIP's text encoders
        "projection_dim": width,
        "max_position_embeddings": shapes[needed[1]][0],
        "hidden_act": "gelu" if found.is_open_clip else "quick_gelu",
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": 0 if found.is_open_clip else vocabulary - 1,
    }


def _unet(path: Path, found: Architecture, said: LdmConfig | None) -> Settings:
    levels = range(len(found.unet_channels))
    kinds = ["CrossAttn" if level in found.attention_levels else "" for level in levels]
    return {
        "sample_size": said.params.image_size if said else 64,
        "in_channels": found.in_channels,
        "out_channels": found.out_channels,
        "cross_attention_dim": found.context_dim,
        "attention_head_dim": _heads(path, found, said),
        "use_linear_projection": found.use_linear_in_transformer,
        "transformer_layers_per_block": found.transformer_depth,
        "block_out_channels": list(found.unet_channels),
        "layers_per_block": found.num_res_blocks,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
    }


def _heads(path: Path, found: Architecture, said: LdmConfig | None) -> int | list[int]:
    """How many attention heads each level has, which diffusers calls their dimension."""
    if said:
        params = said.params.unet_config.params
        heads, channels = params.num_heads, params.num_head_channels
    else:
        known = KNOWN_HEADS.get((found.context_dim, found.unet_channels[0]))
        if known is None:
            raise UsageError(
                f"{path} is a Stable Diffusion with {found.unet_channels[0]} channels and "
                f"embeddings of {found.context_dim}, which is neither version 1 nor 2; its weights "
                "do not tell the number of attention heads: give --config with the LDM YAML file"
            )
        heads, channels = known.get("num_heads", -1), known.get("num_head_channels", -1)
    if (heads > 0) == (channels > 0):
        raise UsageError(
            f"{said.name if said else path}: unet_config has num_heads {heads} and "
            f"num_head_channels {channels}; expected one of them"
        )
    return heads if heads > 0 else [max(width // channels, 1) for width in found.unet_channels]


def _vae(path: Path, found: Architecture, said: LdmConfig | None) -> Settings:
    levels = len(found.vae_channels)
    if found.z_channels != found.embed_dim:
        raise UnsupportedError(
            f"{path} has an autoencoder with z_channels {found.z_channels} and embed_dim "
            f"{found.embed_dim}; expected them to be equal"
        )
    return {
        "sample_size": (said.params.image_size if said else 64) * 2 ** (levels - 1),
        "in_channels": found.picture_channels,
        "out_channels": found.picture_channels,
        "latent_channels": found.z_channels,
        "block_out_channels": list(found.vae_channels),
        "layers_per_block": found.vae_res_blocks,
        "scaling_factor": said.params.scale_factor if said else 0.18215,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _scheduler(said: LdmConfig | None) -> Settings:
    noise: Settings = {
        "beta_start": said.params.linear_start if said else 0.00085,
        "beta_end": said.params.linear_end if said else 0.012,
        "beta_schedule": CURVES[said.params.beta_schedule] if said else "scaled_linear",
        "num_train_timesteps": said.params.timesteps if said else 1000,
    }
    if said:
        noise["prediction_type"] = said.prediction
    return {
        "_class_name": "DDIMScheduler",
        **noise,
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
    }


def _account(file: WeightsFile, configs: Mapping[str, Settings], is_open_clip: bool) -> None:
    """Every weight is used once or a known leftover; raises `ArtifactError` that lists the rest."""
    expected: dict[str, Shape] = {}
    for part in PARTS:
        with torch.device("meta"):
            state = BUILD[part](configs[part]).state_dict()
        named = to_ldm(part, state, configs[part], is_open_clip)
        expected |= {name: tuple(weight.shape) for name, weight in named.items()}
    unused_layer = f"{prefix('text_encoder', True)}transformer.resblocks."
    unused_layer += f"{configs['text_encoder']['num_hidden_layers']}."
    left = [name for name in file.shapes if name not in expected]
    known = [name for name in left if LEFTOVERS.fullmatch(name) or name.startswith(unused_layer)]
    problems = {
        "are missing": [name for name in expected if name not in file.shapes],
        "are not known": sorted(set(left) - set(known)),
        "have another shape than their place": [
            name
            for name, shape in expected.items()
            if name in file.shapes and not _fits(name, file.shapes[name], shape)
        ],
    }
    for what, names in problems.items():
        if names:
            raise ArtifactError(f"{file.path}: {len(names)} weights {what}: {_listed(names)}")
    logger.info("%s: %d weights used, %d left by training", file.path, len(expected), len(known))


def _fits(name: str, found: Shape, expected: Shape) -> bool:
    """Some files hold the 1x1 convolutions of the autoencoder's attention as matrices."""
    is_attention = name.startswith(VAE) and ".attn_1." in name
    return found == expected or (is_attention and (*found, 1, 1) == expected)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
