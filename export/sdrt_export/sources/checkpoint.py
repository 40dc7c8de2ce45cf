"""A checkpoint: the torch networks of a model, their configurations and tokenizers.

Subclasses read a diffusers folder or a single file, or make random weights. Networks are loaded one
at a time, so that an export never holds two of them. No model repository chooses code: the classes
are named here, and `model_index.json` is only compared with them.
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
from sdrt.artifact.diffusers_config import (
    TOKENIZERS,
    has_guidance_inside,
    is_open_clip,
    read_defaults,
    read_family,
    read_latent,
    read_prediction,
)
from sdrt.manifest import Defaults, Family, Latent, Precision, Prediction, Schedule, Source
from sdrt.sampling.scheduler_config import read_schedule
from sdrt_export.sources.vocabulary import CLIP_IDS, END, PADDING, byte_tokenizer, clip_tokenizer

Config = dict[str, Any]
"""The configuration of one component, as diffusers or transformers write it."""


@dataclass(frozen=True)
class Checkpoint(ABC):
    """A Stable Diffusion model in torch, with the configuration of each component."""

    name: str
    source: Source
    configs: Mapping[str, Config]
    """The configurations of `text_encoder`, `unet`, `vae` and `scheduler`, of SDXL also of
    `text_encoder_2`, by these names."""
    prediction_source: str = field(default="scheduler_config.json", kw_only=True)
    """Where it is stated what the U-Net predicts; empty if it is stated nowhere."""
    config_precision: Precision | None = field(default=None, kw_only=True)
    """The precision that the model's configuration asks the weights to be stored in, if any."""
    adapters: tuple[Adapter, ...] = field(default=(), kw_only=True)
    """The LoRAs that `lora.merged` adds to the networks after they are loaded."""
    zeros_for_empty_prompt: bool = field(default=False, kw_only=True)
    """Whether an empty negative prompt was zeros in training, in place of its embeddings."""
    tiny_vae: Path | None = field(default=None, kw_only=True)
    """The path of a tiny autoencoder whose decoder goes into the artifact too."""

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
        """Whether it is SDXL's refiner, which has the second text encoder only."""
        return "text_encoder" not in self.configs

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """Names of the text encoders that the model has."""
        return tuple(name for name in TOKENIZERS if name in self.configs)

    def weights(self) -> int:
        """The number of weights of all networks together; loads none of them."""
        with torch.device("meta"):
            modules = [BUILD[part](self.configs[part]) for part in BUILD if part in self.configs]
        return sum(weight.numel() for module in modules for weight in module.parameters())

    @property
    def latent(self) -> Latent:
        """The space between autoencoder and U-Net."""
        levels = inspect.signature(AutoencoderKL.__init__).parameters["block_out_channels"]
        config = {"block_out_channels": levels.default, **self.configs["vae"]}
        return read_latent(f"the autoencoder of {self.source.id}", config)

    def with_scheduler(self, prediction_source: str | None = None, **settings: Any) -> Self:
        """The same model with other scheduler settings, and perhaps another source of them."""
        configs = {**self.configs, "scheduler": {**self.configs["scheduler"], **settings}}
        source = prediction_source or self.prediction_source
        return replace(self, configs=configs, prediction_source=source)

    @property
    def family(self) -> Family:
        """The version of Stable Diffusion, by the configurations of U-Net and text encoder."""
        return read_family(self.configs)

    @property
    def prediction(self) -> Prediction:
        """What the U-Net predicts."""
        return read_prediction(self.source.id, self.configs["scheduler"])

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of training."""
        return read_schedule(self.configs["scheduler"])

    @property
    def conditions(self) -> int:
        """Channels that the U-Net takes besides the latents, as `Manifest.conditions`."""
        return int(self.configs["unet"].get("in_channels", 4)) - self.latent.channels

    @property
    def has_guidance_inside(self) -> bool:
        """Whether the U-Net takes the guidance scale, as latent consistency models do."""
        return has_guidance_inside(self.configs["unet"])

    @property
    def defaults(self) -> Defaults:
        """Generation defaults, with the sampler of the checkpoint's own scheduler."""
        scheduler, unet = self.configs["scheduler"], self.configs["unet"]
        return read_defaults(scheduler, unet, self.latent, self.family)


def unsupported_channels(in_channels: int, out_channels: int, is_xl: bool) -> str | None:
    """Name the kind of model whose U-Net takes channels that sdrt has not; None for all others.

    sdrt gives latents, to inpainting models also a mask and latents, to editing models (not of XL)
    also latents, to depth models (not of XL) also a depth map.
    """
    conditions = in_channels - out_channels
    if conditions in (0, out_channels + 1) or (conditions in (1, out_channels) and not is_xl):
        return None
    return UNSUPPORTED_CHANNELS.get(in_channels, f"a U-Net with {in_channels} input channels")


def size_conditioning_width(configs: Mapping[str, Config]) -> float:
    """How many numbers of size conditioning SDXL's U-Net takes besides a pooled embedding."""
    unet, pooled = configs["unet"], configs["text_encoder_2"].get("projection_dim", 0)
    width = unet.get("projection_class_embeddings_input_dim") or 0
    return float((width - pooled) / (unet.get("addition_time_embed_dim") or 1))


def fitting_tokenizer(config: Config) -> CLIPTokenizer:
    """A bundled tokenizer for a text encoder; OpenCLIP fills up with its first token, "!"."""
    encoder = CLIPTextConfig.from_dict(config)
    start, end = encoder.bos_token_id, encoder.eos_token_id
    padding = PADDING if is_open_clip(config) else END
    if (encoder.vocab_size, start, end) == CLIP_IDS:
        return clip_tokenizer(padding)
    return byte_tokenizer(start, end, padding)


UNSUPPORTED_CHANNELS = {
    8: "an editing model of Stable Diffusion XL (8 input channels)",
    7: "an upscaler (7 input channels)",
    5: "a depth model of Stable Diffusion XL (5 input channels)",
}

SIZE_CONDITIONING_WIDTHS = {2: 6, 1: 5}
"""Numbers of size conditioning by the number of text encoders: SDXL has two, its refiner one
(`sdrt.request.size_conditioning`)."""

LOAD: dict[str, tuple[Any, str]] = {
    "text_encoder": (CLIPTextModel, "dtype"),
    "text_encoder_2": (CLIPTextModelWithProjection, "dtype"),
    "unet": (UNet2DConditionModel, "torch_dtype"),
    "vae": (AutoencoderKL, "torch_dtype"),
}
"""Classes of the networks, and the name of each library's argument for the type of weights."""

BUILD: dict[str, Callable[[Config], Any]] = {
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig.from_dict(config)),
    "unet": lambda config: UNet2DConditionModel.from_config(config),
    "vae": lambda config: AutoencoderKL.from_config(config),
}
