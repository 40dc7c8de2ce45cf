"""Presets whose U-Nets take more inputs as pipelines of diffusers, and how both sides paint."""

from typing import Any

import numpy as np
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
)

from sdrt.pipeline import Pipeline
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint

PROMPT = "a boat, at 7"
LCM, EDIT = "tiny-lcm", "tiny-instruct"


SCHEDULERS = {LCM: LCMScheduler, EDIT: EulerAncestralDiscreteScheduler}


def theirs(name: str, cls: Any) -> Any:
    """A pipeline of diffusers with the weights of a preset."""
    made = RandomCheckpoint.from_preset(*read_preset(name))
    pipe = cls(
        vae=made.vae(),
        text_encoder=made.text_encoder(),
        tokenizer=made.tokenizer(),
        unet=made.unet(),
        scheduler=SCHEDULERS[name].from_config(made.configs["scheduler"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def they_paint(name: str, cls: Any, **options: Any) -> np.ndarray:
    generator = torch.Generator("cpu").manual_seed(3)
    made = theirs(name, cls)(PROMPT, generator=generator, output_type="np", **options)
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


def we_paint(pipe: Pipeline, seed: int = 3, **options: Any) -> np.ndarray:
    return np.asarray(pipe(PROMPT, seed=seed, **options).images[0])
