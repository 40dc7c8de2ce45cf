"""Untrained networks of the embedded model, from the geometry in `configs/demo.yaml`."""

import json
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from sdrt_export.artifact.diffusers_layout import CLASSES
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint


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
    return RandomCheckpoint.from_preset(*read_preset("demo"))


def noise_schedule() -> DDIMScheduler:
    """The noise levels of training."""
    return DDIMScheduler.from_config(_untrained().configs["scheduler"])


def write_index(work: Path) -> None:
    """Make a folder that holds the networks one of diffusers, to export."""
    noise_schedule().save_pretrained(work / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"]}
    (work / "model_index.json").write_text(json.dumps(index | CLASSES, indent=2) + "\n")
