"""Diffusers' configuration files -> facts of a manifest: family, latents, prediction, defaults.

The exporter reads checkpoints with these rules, the runtime folders that other tools exported.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.manifest import PREDICTIONS, Defaults, Family, Latent, Prediction
from sdrt.sampling.scheduler_config import read_sampler_settings

Config = Mapping[str, Any]

PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionDepth2ImgPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
"""Pipelines of Stable Diffusion 1 and 2 that a `model_index.json` may name."""
XL_PIPELINES = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
)
"""The same of Stable Diffusion XL."""

Component = tuple[str, tuple[str, ...]]
_TOKENIZER: Component = ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast"))
COMPONENTS: Mapping[str, Component] = {
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "tokenizer": _TOKENIZER,
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
}
"""Components of a pipeline by their names in `model_index.json`: the library, and the classes that
sdrt knows, the one that it writes first."""
XL_COMPONENTS: Mapping[str, Component] = {
    "text_encoder_2": ("transformers", ("CLIPTextModelWithProjection",)),
    "tokenizer_2": _TOKENIZER,
}
"""Components that only Stable Diffusion XL has; its refiner has them in place of the first two."""

TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""Text encoders, in the order in which the U-Net takes their states, with their tokenizers."""

GUIDANCE: Mapping[Family, float] = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0}
"""Default guidance scale of diffusers' pipelines."""
LCM_STEPS, LCM_GUIDANCE = 4, 8.0
"""How the authors of latent consistency models run them (Luo et al. 2023, arXiv 2310.04378)."""
DEFAULT_SIZE = 512
"""Side of the images, in pixels, where the U-Net's configuration does not give it."""


def is_xl(unet: Config) -> bool:
    """Whether a U-Net takes a pooled text embedding and size conditioning."""
    return unet.get("addition_embed_type") == "text_time"


def is_open_clip(text_encoder: Config) -> bool:
    """Whether a text encoder is one of OpenCLIP's, which its activation shows."""
    return text_encoder.get("hidden_act") == "gelu"


def has_guidance_inside(unet: Config) -> bool:
    """Whether the U-Net takes the guidance scale as an input, as latent consistency models do."""
    return bool(unet.get("time_cond_proj_dim"))


def read_family(configs: Mapping[str, Config]) -> Family:
    """Stable Diffusion XL by its U-Net, version 2 by OpenCLIP's text encoder.

    `configs` holds the configurations of `unet` and, if the model has it, of `text_encoder`.
    """
    if is_xl(configs["unet"]):
        return "sdxl"
    return "sd2" if is_open_clip(configs.get("text_encoder", {})) else "sd1"


def text_layer(family: Family) -> Literal["last", "penultimate"]:
    """The layer of its text encoders that the U-Net was trained with."""
    return "last" if family == "sd1" else "penultimate"


def read_latent(where: object, vae: Config) -> Latent:
    """The space between autoencoder and U-Net; `where` names the configuration in errors.

    Raises `UnsupportedError` for latents that are shifted or normalised by channel, and
    `ArtifactError` where the configuration does not list the autoencoder's levels.
    """
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if vae.get(name):
            raise UnsupportedError(f"{where} has {name} = {vae[name]!r}; sdrt only scales latents")
    levels = vae.get("block_out_channels")
    if not isinstance(levels, list | tuple) or not levels:
        raise ArtifactError(f"{where} has no block_out_channels; expected a complete configuration")
    return Latent(
        channels=vae.get("latent_channels", 4),
        downscale=2 ** (len(levels) - 1),
        scale=vae.get("scaling_factor", 0.18215),
    )


def read_prediction(where: object, scheduler: Config) -> Prediction:
    """What the U-Net predicts; raises `UnsupportedError` for a type that sdrt does not know."""
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise UnsupportedError(
            f"{where} predicts {prediction!r}; expected {', '.join(PREDICTIONS)}"
        )
    return prediction  # type: ignore[no-any-return]


def read_defaults(scheduler: Config, unet: Config, latent: Latent, family: Family) -> Defaults:
    """Generation defaults: the scheduler's sampler, the U-Net's size, diffusers' guidance."""
    settings = read_sampler_settings(scheduler)
    side = unet.get("sample_size")
    size = side * latent.downscale if isinstance(side, int) else DEFAULT_SIZE
    defaults = Defaults(
        width=size,
        height=size,
        sampler=settings.sampler,
        scheduler=settings.scheduler,
        sampler_options=dict(settings.options),
        guidance_scale=GUIDANCE[family],
    )
    if not has_guidance_inside(unet):
        return defaults
    few_steps = {"num_inference_steps": LCM_STEPS, "guidance_scale": LCM_GUIDANCE}
    return defaults.model_copy(update=few_steps)


def read_zeros_for_empty_prompt(index: Config, configs: Mapping[str, Config]) -> bool:
    """Whether an empty negative prompt stands for zeros in place of its embeddings.

    Only Stable Diffusion XL was trained so, and its refiner was not. `index` is the content of
    `model_index.json`, `configs` as for `read_family`.
    """
    if not is_xl(configs["unet"]):
        return False
    return bool(index.get("force_zeros_for_empty_prompt", "text_encoder" in configs))
