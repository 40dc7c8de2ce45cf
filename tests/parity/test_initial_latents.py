"""Runs that start from a picture: equal to diffusers' pipelines with the same weights and noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.pipeline import Pipeline, load
from sdrt_bench.similarity import psnr_db
from sdrt_export.presets import Preset, read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.data.make_tiny import committed_preset
from tests.pictures import block_mask, shades
from tests.runtime.generation.test_initial_latents import SIZE, we_paint

SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return shades()


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    return block_mask()


@pytest.fixture(scope="module")
def preset() -> Preset:
    return committed_preset()


@pytest.fixture(scope="module")
def inpainting_preset() -> Preset:
    """The smallest inpainting model."""
    return read_preset("tiny-inpaint")[1]


@pytest.fixture(scope="module")
def inpainting_model(unet_twins: Callable[[str], Artifact]) -> Artifact:
    return unet_twins("tiny-inpaint")


def diffusers_paints(
    cls: Any, preset: Preset, pipe: Pipeline, sampler: str, **options: Any
) -> np.ndarray:
    """A picture of diffusers with the same weights and noise, and the embeddings of ours."""
    checkpoint = RandomCheckpoint.from_preset("tiny", preset)
    assert preset.geometry
    scheduler, own = SCHEDULERS[sampler]
    config = DDIMScheduler(**preset.geometry.scheduler).config
    their = cls(
        vae=checkpoint.vae(),
        text_encoder=None,
        tokenizer=None,
        unet=checkpoint.unet(),
        scheduler=scheduler.from_config({**config, **own}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    their.set_progress_bar_config(disable=True)
    if cls is StableDiffusionInpaintPipeline:
        options |= SIZE
    made = their(
        prompt_embeds=torch.from_numpy(pipe.encode("a boat")),
        negative_prompt_embeds=torch.from_numpy(pipe.encode("")),
        guidance_scale=7.5,
        generator=torch.Generator("cpu").manual_seed(5),
        num_inference_steps=10,
        output_type="np",
        **options,
    )
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


@pytest.mark.parametrize("sampler", SCHEDULERS)
@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
def test_image_to_image_equals_diffusers(
    tiny: Artifact, preset: Preset, picture: Image.Image, sampler: str, strength: float
) -> None:
    pipe = load(tiny.root, "onnxruntime")
    ours = we_paint(pipe, sampler, image=picture, strength=strength)
    theirs = diffusers_paints(
        StableDiffusionImg2ImgPipeline, preset, pipe, sampler, image=picture, strength=strength
    )
    assert psnr_db(theirs, ours) >= 50


def painted_twice(
    artifact: Artifact, preset: Preset, sampler: str, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """By diffusers and by us, where the mask is."""
    pipe, mask = load(artifact.root, "onnxruntime"), options.pop("mask")
    ours = we_paint(pipe, sampler, mask=mask, paste=False, **options)
    inpaint = StableDiffusionInpaintPipeline
    return diffusers_paints(inpaint, preset, pipe, sampler, mask_image=mask, **options), ours


@pytest.mark.parametrize("sampler", SCHEDULERS)
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_inpainting_equals_diffusers(
    tiny: Artifact,
    preset: Preset,
    picture: Image.Image,
    mask: Image.Image,
    sampler: str,
    strength: float,
) -> None:
    options = {"image": picture, "mask": mask, "strength": strength}
    assert psnr_db(*painted_twice(tiny, preset, sampler, **options)) >= 50


@pytest.mark.parametrize("sampler", SCHEDULERS)
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_inpainting_models_equal_diffusers(
    inpainting_model: Artifact,
    inpainting_preset: Preset,
    picture: Image.Image,
    mask: Image.Image,
    sampler: str,
    strength: float,
) -> None:
    options = {"image": picture, "mask": mask, "strength": strength}
    assert psnr_db(*painted_twice(inpainting_model, inpainting_preset, sampler, **options)) >= 50


def test_an_inpainting_model_wants_a_mask(inpainting_model: Artifact, picture: Image.Image) -> None:
    pipe = load(inpainting_model.root, "onnxruntime")
    wishes: list[dict[str, Any]] = [{}, {"image": picture}]
    for options in wishes:
        with pytest.raises(UsageError, match="is an inpainting model; give an image, and a mask"):
            pipe.start("a boat", **options)
