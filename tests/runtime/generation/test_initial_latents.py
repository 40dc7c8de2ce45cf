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

SIZE: dict[str, Any] = {"width": 64, "height": 64}
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:64, 0:64]
    shades = np.stack([rows * 4, columns * 4, 255 - rows * 2 - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    shades = np.zeros((64, 64), np.uint8)
    shades[16:56, 24:48] = 255  # whole blocks of 8, where diffusers' mask is exact too
    return Image.fromarray(shades)


@pytest.fixture(scope="module")
def preset() -> Preset:
    return read_preset("tiny")[1]


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
    checkpoint = RandomCheckpoint.of("tiny", preset)
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


def we_paint(pipe: Pipeline, sampler: str, **options: Any) -> np.ndarray:
    made = pipe(
        "a boat", seed=5, sampler=sampler, num_inference_steps=10, guidance_scale=7.5, **options
    )
    return np.asarray(made.images[0])


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


def test_what_a_mask_leaves_is_the_image_itself(
    tiny: Artifact, picture: Image.Image, mask: Image.Image
) -> None:
    painted = we_paint(load(tiny.root, "onnxruntime"), "euler_a", image=picture, mask=mask)
    is_left = np.asarray(mask) == 0
    np.testing.assert_array_equal(painted[is_left], np.asarray(picture)[is_left])
    assert (painted[~is_left] != np.asarray(picture)[~is_left]).any()


def test_only_the_last_steps_are_run(tiny: Artifact, picture: Image.Image) -> None:
    pipe = load(tiny.root, "onnxruntime")
    run = pipe.start("a boat", image=picture, strength=0.35, num_inference_steps=10)
    whole = pipe.start("a boat", num_inference_steps=10, width=64, height=64)
    assert len(run) == 3
    assert [step.sigma for step in run] == [step.sigma for step in whole][-3:]
    assert run.result().parameters[0].num_inference_steps == 10
    assert run.result().parameters[0].strength == 0.35
    assert set(run.result().networks) == {"text_encoder", "vae_encoder", "unet", "vae_decoder"}
    assert pipe.loaded == {"unet", "vae_decoder"}


def test_a_strength_without_a_step_is_refused(tiny: Artifact, picture: Image.Image) -> None:
    with pytest.raises(UsageError, match=r"no step at all; expected a strength of at least 0\.1"):
        load(tiny.root, "onnxruntime").start(
            "", image=picture, strength=0.05, num_inference_steps=10
        )


def test_an_inpainting_model_wants_a_mask(inpainting_model: Artifact, picture: Image.Image) -> None:
    pipe = load(inpainting_model.root, "onnxruntime")
    wishes: list[dict[str, Any]] = [{}, {"image": picture}]
    for options in wishes:
        with pytest.raises(UsageError, match="is an inpainting model; give an image, and a mask"):
            pipe.start("a boat", **options)
