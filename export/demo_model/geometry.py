"""Untrained networks of the embedded model, from the geometry in `configs/demo.yaml`."""

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from sdrt_export.checkpoint import RandomCheckpoint
from sdrt_export.config import read_preset


def untrained_text_encoder() -> CLIPTextModel:
    """The text encoder, ready to train."""
    return _untrained().text_encoder().train().requires_grad_(True)


def untrained_unet() -> UNet2DConditionModel:
    """The U-Net, ready to train."""
    return _untrained().unet().train().requires_grad_(True)


def untrained_vae() -> AutoencoderKL:
    """The autoencoder, ready to train."""
    return _untrained().vae().train().requires_grad_(True)


def _untrained() -> RandomCheckpoint:
    return RandomCheckpoint.of(*read_preset("demo"))


def noise_schedule() -> DDIMScheduler:
    """The noise levels of training."""
    return DDIMScheduler.from_config(_untrained().configs["scheduler"])
