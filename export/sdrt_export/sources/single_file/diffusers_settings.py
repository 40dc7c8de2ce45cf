"""A model's architecture, and its LDM configuration if any -> configurations of diffusers."""

from pathlib import Path

from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt_export.sources.checkpoint import SIZE_CONDITIONING_WIDTHS, Config
from sdrt_export.sources.single_file.architecture import Architecture, Shapes
from sdrt_export.sources.single_file.ldm_yaml import CURVES, LdmConfig
from sdrt_export.sources.single_file.weight_names import HEAD, PREFIXES, Naming
from sdrt_export.sources.vocabulary import VOCABULARIES

OPEN_CLIP_LAYERS = {1024: 24}
"""Number of trained layers, by width. Some files leave out the last, which nobody uses."""

# Facts that the weights do not show, for the published models: by the width of the embeddings and
# the channels of the first level.
KNOWN_HEADS = {
    (768, 320): {"num_heads": 8},
    (1024, 320): {"num_head_channels": 64},
    (2048, 320): {"num_head_channels": 64},
    (1280, 384): {"num_head_channels": 64},
}
SIZES: dict[Naming, int] = {"sd1": 64, "sd2": 64, "sdxl": 128, "sdxl-refiner": 128}  # of latents
SCALES: dict[Naming, float] = {
    "sd1": 0.18215,
    "sd2": 0.18215,
    "sdxl": 0.13025,
    "sdxl-refiner": 0.13025,
}


def settings_of(
    path: Path, shapes: Shapes, architecture: Architecture, ldm: LdmConfig | None
) -> dict[str, Config]:
    """Configurations of the networks and the scheduler.

    Facts that neither weights nor an LDM configuration give are those of the published models.
    Raises `UsageError` where none is known, `UnsupportedError` for components that sdrt lacks.
    """
    encoders = _text_encoders(path, shapes, architecture)
    return {
        **encoders,
        "unet": _unet(path, encoders, architecture, ldm),
        "vae": _vae(path, architecture, ldm),
        "scheduler": _scheduler(ldm),
    }


def _text_encoders(path: Path, shapes: Shapes, architecture: Architecture) -> dict[str, Config]:
    encoders, starts = {}, PREFIXES[architecture.family]
    if "text_encoder" in starts:
        is_two = architecture.family == "sd2"
        first = _text_encoder(path, shapes, starts["text_encoder"], is_open_clip=is_two)
        if is_two:
            # It takes the last layer but one; what comes after it is not exported.
            layers, width = first["num_hidden_layers"], first["hidden_size"]
            first["num_hidden_layers"] = (OPEN_CLIP_LAYERS.get(width) or layers) - 1
        encoders["text_encoder"] = first
    if "text_encoder_2" in starts:
        start = starts["text_encoder_2"]
        second = _text_encoder(path, shapes, start, is_open_clip=True)
        if start + HEAD not in shapes:
            raise ArtifactError(f"{path} has no {start}{HEAD}; expected a complete checkpoint")
        second["projection_dim"] = shapes[start + HEAD][1]
        encoders["text_encoder_2"] = second
    return encoders


def _text_encoder(path: Path, shapes: Shapes, start: str, is_open_clip: bool) -> Config:
    if is_open_clip:
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
        "num_hidden_layers": count,
        "num_attention_heads": max(width // 64, 1),  # all of CLIP's text encoders
        "projection_dim": width,
        "max_position_embeddings": shapes[needed[1]][0],
        "hidden_act": "gelu" if is_open_clip else "quick_gelu",
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": 0 if is_open_clip else vocabulary - 1,
    }


def _unet(
    path: Path, encoders: dict[str, Config], architecture: Architecture, ldm: LdmConfig | None
) -> Config:
    levels = range(len(architecture.unet_channels))
    kinds = ["CrossAttn" if level in architecture.attention_levels else "" for level in levels]
    depths = dict(zip(architecture.attention_levels, architecture.transformer_depth, strict=True))
    added: Config = {}
    if architecture.added_width:
        numbers = architecture.added_width - encoders["text_encoder_2"]["projection_dim"]
        added = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": numbers // SIZE_CONDITIONING_WIDTHS[len(encoders)],
            "projection_class_embeddings_input_dim": architecture.added_width,
        }
    return {
        "sample_size": ldm.latent_side if ldm else SIZES[architecture.family],
        "in_channels": architecture.in_channels,
        "out_channels": architecture.out_channels,
        "cross_attention_dim": architecture.context_dim,
        "attention_head_dim": _heads(path, architecture, ldm),
        "use_linear_projection": architecture.use_linear_in_transformer,
        "transformer_layers_per_block": (
            architecture.transformer_depth[0]
            if len(set(architecture.transformer_depth)) == 1
            else [depths.get(level, 1) for level in levels]
        ),
        "block_out_channels": list(architecture.unet_channels),
        "layers_per_block": architecture.num_res_blocks,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        **added,
    }


def _heads(path: Path, architecture: Architecture, ldm: LdmConfig | None) -> int | list[int]:
    """The number of attention heads of each level, which diffusers calls their dimension."""
    if ldm:
        params = ldm.params.unet_config.params
        heads, channels = params.num_heads, params.num_head_channels
    else:
        known = KNOWN_HEADS.get((architecture.context_dim, architecture.unet_channels[0]))
        if known is None:
            remedy = (
                "give the model as a diffusers folder"
                if architecture.added_width
                else "give --config with the LDM YAML file"
            )
            raise UsageError(
                f"{path} is a Stable Diffusion with {architecture.unet_channels[0]} channels and "
                f"embeddings of {architecture.context_dim}, which is none of versions 1, 2 and XL; "
                f"its weights do not show the number of attention heads: {remedy}"
            )
        heads, channels = known.get("num_heads", -1), known.get("num_head_channels", -1)
    if (heads > 0) == (channels > 0):
        raise UsageError(
            f"{ldm.name if ldm else path}: unet_config has num_heads {heads} and "
            f"num_head_channels {channels}; expected one of them"
        )
    return (
        heads if heads > 0 else [max(width // channels, 1) for width in architecture.unet_channels]
    )


def _vae(path: Path, architecture: Architecture, ldm: LdmConfig | None) -> Config:
    levels = len(architecture.vae_channels)
    if architecture.z_channels != architecture.embed_dim:
        raise UnsupportedError(
            f"{path} has an autoencoder with z_channels {architecture.z_channels} and embed_dim "
            f"{architecture.embed_dim}; expected them to be equal"
        )
    return {
        "sample_size": (ldm.params.image_size if ldm else SIZES[architecture.family])
        * 2 ** (levels - 1),
        "in_channels": architecture.picture_channels,
        "out_channels": architecture.picture_channels,
        "latent_channels": architecture.z_channels,
        "block_out_channels": list(architecture.vae_channels),
        "layers_per_block": architecture.vae_res_blocks,
        "scaling_factor": ldm.params.scale_factor if ldm else SCALES[architecture.family],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _scheduler(ldm: LdmConfig | None) -> Config:
    noise: Config = {
        "beta_start": ldm.params.linear_start if ldm else 0.00085,
        "beta_end": ldm.params.linear_end if ldm else 0.012,
        "beta_schedule": CURVES[ldm.params.beta_schedule] if ldm else "scaled_linear",
        "num_train_timesteps": ldm.params.timesteps if ldm else 1000,
    }
    if ldm:
        noise["prediction_type"] = ldm.prediction
    return {
        "_class_name": "DDIMScheduler",
        **noise,
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
    }
