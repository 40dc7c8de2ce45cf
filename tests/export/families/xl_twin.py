"""The preset `tiny-sdxl` as a pipeline of diffusers, and how both sides paint with it."""

from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline

from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.pipeline import Pipeline
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint

PROMPT = "a boat, at 7"
SIZE: dict[str, Any] = {"width": 64, "height": 80}  # height and width are told apart


def checkpoint() -> RandomCheckpoint:
    return RandomCheckpoint.from_preset(*read_preset("tiny-sdxl"))


def theirs(cls: Any = StableDiffusionXLPipeline) -> Any:
    """A pipeline of diffusers with the weights of the preset."""
    made = checkpoint()
    pipe = cls(
        vae=made.vae(),
        text_encoder=made.text_encoder(),
        text_encoder_2=made.text_encoder_2(),
        tokenizer=made.tokenizer(),
        tokenizer_2=made.tokenizer("text_encoder_2"),
        unet=made.unet(),
        scheduler=DDIMScheduler.from_config(made.configs["scheduler"]),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def open_pipeline(artifact: Artifact, backend: str = "onnxruntime") -> Pipeline:
    return Pipeline(artifact, open_backend(backend, precision="fp32"))


def they_paint(pipe: Any, prompt: str = PROMPT, **options: Any) -> np.ndarray:
    settings = {"num_inference_steps": 6, "guidance_scale": 5.0, **options}
    generator = torch.Generator("cpu").manual_seed(3)
    made = pipe(prompt, generator=generator, output_type="np", **settings)
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


def we_paint(pipe: Pipeline, prompt: str = PROMPT, seed: int = 3, **options: Any) -> np.ndarray:
    settings = {"num_inference_steps": 6, "guidance_scale": 5.0, **options}
    if "sampler" not in settings:
        settings["scheduler_config"] = checkpoint().configs["scheduler"]
    return np.asarray(pipe(prompt, seed=seed, **settings).images[0])
