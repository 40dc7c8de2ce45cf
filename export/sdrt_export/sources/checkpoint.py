"""Where weights come from: a diffusers folder, one file or random numbers.

A checkpoint hands out one network at a time, so that export never holds two of them. No model
repository chooses code: classes are named here, `model_index.json` is only compared with them.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sdrt.adapters.lora import Adapter
from sdrt.errors import UnsupportedError
from sdrt.manifest import Defaults, Family, Latent, Precision, Prediction, Schedule, Source
from sdrt.sampling.scheduler_config import read_sampler_settings, read_schedule
from sdrt_export.sources.vocabulary import CLIP_IDS, END, PADDING, byte_tokenizer, clip_tokenizer

Settings = dict[str, Any]

TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""Text encoders, in the order in which the U-Net takes what they say, and their tokenizers."""


@dataclass(frozen=True)
class Checkpoint(ABC):
    """A Stable Diffusion model in torch, with the configuration of each of its parts."""

    name: str
    source: Source
    configs: Mapping[str, Settings]
    """Of `text_encoder`, `unet`, `vae` and `scheduler`; of SDXL also of `text_encoder_2`."""
    prediction_from: str = field(default="scheduler_config.json", kw_only=True)
    """Who says what the U-Net predicts; empty if nobody does."""
    asked_precision: Precision | None = field(default=None, kw_only=True)
    """How the configuration wants the weights stored, if it says."""
    adapters: tuple[Adapter, ...] = field(default=(), kw_only=True)
    """LoRAs, which `lora.merge` adds to the networks after they are loaded."""
    zeros_for_empty_prompt: bool = field(default=False, kw_only=True)
    """Whether an empty negative prompt was zeros in training, in place of its embeddings."""
    tiny_vae: Path | None = field(default=None, kw_only=True)
    """Where a tiny autoencoder is whose decoder goes into the artifact too."""

    @abstractmethod
    def network(self, part: str) -> Any:
        """Load a network in fp32."""

    @abstractmethod
    def tokenizer(self, encoder: str = "text_encoder") -> CLIPTokenizer:
        """Load the tokenizer of a text encoder."""

    def text_encoder(self) -> CLIPTextModel:
        """Load the text encoder in fp32; of SDXL the first."""
        return self.network("text_encoder")

    def text_encoder_2(self) -> CLIPTextModelWithProjection:
        """Load the second text encoder of SDXL in fp32."""
        return self.network("text_encoder_2")

    def unet(self) -> UNet2DConditionModel:
        """Load the U-Net in fp32."""
        return self.network("unet")

    def vae(self) -> AutoencoderKL:
        """Load the autoencoder in fp32."""
        return self.network("vae")

    @property
    def is_refiner(self) -> bool:
        """Whether it is the refiner of XL, which has the second text encoder only."""
        return "text_encoder" not in self.configs

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """Names of those that the model has."""
        return tuple(name for name in TOKENIZERS if name in self.configs)

    def weights(self) -> int:
        """How many weights all networks have together; loads none of them."""
        with torch.device("meta"):
            modules = [BUILD[part](self.configs[part]) for part in BUILD if part in self.configs]
        return sum(weight.numel() for module in modules for weight in module.parameters())

    @property
    def latent(self) -> Latent:
        """The space between autoencoder and U-Net."""
        defaults = inspect.signature(AutoencoderKL.__init__).parameters
        get = self.configs["vae"].get
        levels = len(get("block_out_channels", defaults["block_out_channels"].default))
        return Latent(
            channels=get("latent_channels", defaults["latent_channels"].default),
            downscale=2 ** (levels - 1),
            scale=get("scaling_factor", defaults["scaling_factor"].default),
        )

    def with_scheduler(self, said_by: str | None = None, **settings: Any) -> Self:
        """The same with other settings of the scheduler; whose word they are, if not as before."""
        configs = {**self.configs, "scheduler": {**self.configs["scheduler"], **settings}}
        return replace(self, configs=configs, prediction_from=said_by or self.prediction_from)

    @property
    def family(self) -> Family:
        """XL has a U-Net that is told more than a timestep, version 2 OpenCLIP's text encoder."""
        if is_xl(self.configs["unet"]):
            return "sdxl"
        return "sd2" if is_open_clip(self.configs["text_encoder"]) else "sd1"

    @property
    def prediction(self) -> Prediction:
        """What the U-Net predicts."""
        found = self.configs["scheduler"].get("prediction_type", "epsilon")
        if found not in ("epsilon", "v_prediction", "sample"):
            raise UnsupportedError(
                f"{self.source.id} predicts {found!r}; expected epsilon, v_prediction or sample"
            )
        return found  # type: ignore[no-any-return]

    @property
    def schedule(self) -> Schedule:
        """The noise of training."""
        return read_schedule(self.configs["scheduler"])

    @property
    def conditions(self) -> int:
        """Channels that the U-Net takes beside the latents, as `Manifest.conditions`."""
        return int(self.configs["unet"].get("in_channels", 4)) - self.latent.channels

    @property
    def has_guidance_inside(self) -> bool:
        """Whether the U-Net is told the strength of guidance, as latent consistency models are."""
        return bool(self.configs["unet"].get("time_cond_proj_dim"))

    @property
    def defaults(self) -> Defaults:
        """Those of any model, sampled as the checkpoint's own scheduler does."""
        sampler_settings = read_sampler_settings(self.configs["scheduler"])
        latents = self.configs["unet"].get("sample_size")
        size = latents * self.latent.downscale if isinstance(latents, int) else 512
        return Defaults(
            width=size,
            height=size,
            sampler=sampler_settings.sampler,
            scheduler=sampler_settings.scheduler,
            sampler_options=dict(sampler_settings.options),
            **self.strengths,
        )

    @property
    def strengths(self) -> Settings:
        """Guidance, and how many steps where they are not as many as of any model."""
        return LCM if self.has_guidance_inside else {"guidance_scale": GUIDANCE[self.family]}


def is_open_clip(text_encoder: Settings) -> bool:
    """Whether a text encoder is one of OpenCLIP's, which is told by its activation."""
    return text_encoder.get("hidden_act") == "gelu"


def is_xl(unet: Settings) -> bool:
    """Whether a U-Net takes a pooled embedding and numbers about the picture."""
    return unet.get("addition_embed_type") == "text_time"


def other_inputs(taken: int, given: int, is_xl: bool) -> str | None:
    """What a U-Net is that takes other channels than those that sdrt gives it; else None.

    It takes latents, and of an inpainting model also a mask and latents; of an editing one latents.
    """
    if taken - given in (0, given + 1) or (taken - given == given and not is_xl):
        return None
    return OTHER_INPUTS.get(taken, f"a U-Net with {taken} input channels")


def picture_numbers(configs: Mapping[str, Settings]) -> float:
    """How many numbers about the picture SDXL's U-Net takes, beside a pooled embedding."""
    unet, pooled = configs["unet"], configs["text_encoder_2"].get("projection_dim", 0)
    width = unet.get("projection_class_embeddings_input_dim") or 0
    return float((width - pooled) / (unet.get("addition_time_embed_dim") or 1))


def fitting_tokenizer(config: Settings) -> CLIPTokenizer:
    """A bundled tokenizer for a text encoder; OpenCLIP fills up with its first token, "!"."""
    known = CLIPTextConfig.from_dict(config)
    start, end = known.bos_token_id, known.eos_token_id
    padding = PADDING if is_open_clip(config) else END
    if (known.vocab_size, start, end) == CLIP_IDS:
        return clip_tokenizer(padding)
    return byte_tokenizer(start, end, padding)


OTHER_INPUTS = {
    8: "an editing model of Stable Diffusion XL (8 input channels)",
    7: "an upscaler (7 input channels)",
    5: "a depth model (5 input channels)",
}

PICTURE_NUMBERS = {2: 6, 1: 5}
"""How many a model is told, by its number of text encoders (`sdrt.request.size_conditioning`)."""

GUIDANCE: dict[Family, float] = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0}
"""What diffusers' pipelines guide with unless they are told."""

LCM: Settings = {"num_inference_steps": 4, "guidance_scale": 8.0}
"""How the authors of latent consistency models run them (Luo et al. 2023, arXiv 2310.04378)."""

LOAD: dict[str, tuple[Any, str]] = {
    "text_encoder": (CLIPTextModel, "dtype"),
    "text_encoder_2": (CLIPTextModelWithProjection, "dtype"),
    "unet": (UNet2DConditionModel, "torch_dtype"),
    "vae": (AutoencoderKL, "torch_dtype"),
}
"""Classes of the networks, and what each library calls the type to load weights in."""

BUILD: dict[str, Callable[[Settings], Any]] = {
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig.from_dict(config)),
    "unet": lambda config: UNet2DConditionModel.from_config(config),
    "vae": lambda config: AutoencoderKL.from_config(config),
}
