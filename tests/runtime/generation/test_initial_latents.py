"""Runs that start from a picture: what they leave of it, and how many steps they take."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.pipeline import Pipeline, load
from tests.pictures import block_mask, shades

SIZE: dict[str, Any] = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return shades()


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    return block_mask()


def we_paint(pipe: Pipeline, sampler: str, **options: Any) -> np.ndarray:
    made = pipe(
        "a boat", seed=5, sampler=sampler, num_inference_steps=10, guidance_scale=7.5, **options
    )
    return np.asarray(made.images[0])


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
