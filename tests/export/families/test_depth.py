"""Depth models: a depth map as a channel of the U-Net, as diffusers' pipeline gives it."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionDepth2ImgPipeline
from PIL import Image
from transformers import CLIPTextModel

from sdrt.artifact import Artifact
from sdrt.errors import UnsupportedError
from sdrt.pipeline import Pipeline
from sdrt.request.depth_map import DepthMap, open_depth_map
from sdrt_bench.bench.cells import Models
from sdrt_bench.similarity import psnr_db
from sdrt_export.presets import read_preset
from sdrt_export.quantization.calibration import image_options
from sdrt_export.sources.checkpoint import unsupported_channels
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.families.kept_pipelines import kept_pipeline

PROMPT, SEED, STEPS = "a boat, at 7", 3, 6


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:80, 0:64]  # height and width are told apart
    shades = np.stack([rows * 3, columns * 4, 255 - rows - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


@pytest.fixture(scope="module")
def depth() -> np.ndarray:
    """A hill, in numbers of no particular range."""
    rows, columns = np.mgrid[0:80, 0:64]
    return np.asarray(900 - 12.5 * np.hypot(rows - 30, columns - 20), np.float32)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """diffusers' pipeline with the same weights."""
    made = RandomCheckpoint.from_preset(*read_preset("tiny-depth"))
    pipe = StableDiffusionDepth2ImgPipeline(
        vae=made.vae(),
        text_encoder=made.text_encoder(),
        tokenizer=made.tokenizer(),
        unet=made.unet(),
        scheduler=DDIMScheduler.from_config(made.configs["scheduler"]),
        depth_estimator=None,
        feature_extractor=None,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(autouse=True)
def _text_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers looks for the network where older versions of transformers have it."""
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)


def they_paint(pipe: Any, picture: Image.Image, depth: np.ndarray, **options: Any) -> np.ndarray:
    made = pipe(
        PROMPT,
        image=picture,
        depth_map=torch.from_numpy(depth)[None],
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="np",
        **options,
    )
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


def we_paint(pipe: Pipeline, **options: Any) -> np.ndarray:
    settings = {"sampler": "ddim", "num_inference_steps": STEPS, "seed": SEED, **options}
    return np.asarray(pipe(PROMPT, **settings).images[0])


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "options",
    [
        {"strength": 0.7, "guidance_scale": 7.5, "negative_prompt": "fog"},
        {"strength": 1.0, "guidance_scale": 1.0},
    ],
)
def test_pictures_over_a_depth_map_equal_those_of_diffusers(
    tiny_depth: Artifact,
    theirs: Any,
    picture: Image.Image,
    depth: np.ndarray,
    backend: str,
    options: dict[str, Any],
) -> None:
    expected = they_paint(theirs, picture, depth, **options)
    pipe = kept_pipeline(tiny_depth, backend)
    assert psnr_db(expected, we_paint(pipe, image=picture, depth=depth, **options)) >= 50
    # What the map says counts, and not in which numbers.
    other = we_paint(pipe, image=picture, depth=depth[::-1], **options)
    assert psnr_db(expected, other) < 45
    scaled = we_paint(pipe, image=picture, depth=depth * 0.01 - 5, **options)
    assert psnr_db(expected, scaled) >= 50


@pytest.mark.parametrize("shape", [(10, 8), (17, 23), (40, 30), (8, 8)])
def test_a_map_becomes_a_channel_as_torch_resizes_it(
    depth: np.ndarray, shape: tuple[int, int]
) -> None:
    cut = depth[: shape[0] * 2, : shape[1] * 2]  # of the same proportions, so that all of it counts
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(cut)[None, None], size=shape, mode="bicubic", align_corners=False
    )
    low, high = resized.min(), resized.max()
    expected = (2 * (resized - low) / (high - low) - 1).numpy()
    found = DepthMap(cut).latents(*shape)
    assert (found.min(), found.max(), found.shape) == (-1, 1, (1, 1, *shape))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_map_without_a_picture_starts_from_noise(tiny_depth: Artifact, depth: np.ndarray) -> None:
    """As a run does over a picture of which nothing is left, but for the noise of the encoder."""
    pipe = kept_pipeline(tiny_depth)
    run = pipe.start(PROMPT, seed=[5, SEED], num_images_per_prompt=2, depth=depth)
    both = run.result()
    assert (run.request.width, run.request.height) == (64, 80)
    alone = pipe(PROMPT, seed=SEED, depth=depth, guidance_split=True)
    assert psnr_db(np.asarray(both.images[1]), np.asarray(alone.images[0])) >= 50
    record = alone.parameters[0]
    assert record.init_image == {"depth": open_depth_map(depth).digest}
    assert (record.strength, record.paste) == (None, None)


def test_a_map_goes_with_a_mask_and_a_second_pass(
    tiny_depth: Artifact, picture: Image.Image, depth: np.ndarray
) -> None:
    pipe = kept_pipeline(tiny_depth)
    shades = np.zeros((80, 64), np.uint8)
    shades[16:56, 24:48] = 255
    options: dict[str, Any] = {"image": picture, "mask": Image.fromarray(shades)}
    made, other = (we_paint(pipe, depth=each, **options) for each in (depth, -depth))
    outside = shades == 0
    np.testing.assert_array_equal(made[outside], np.asarray(picture)[outside])
    assert (made != other).any()
    large = pipe(PROMPT, seed=SEED, depth=depth, num_inference_steps=2, hires=1.5)
    assert large.images[0].size == (96, 120)


def test_the_folder_says_what_it_is(tiny_depth: Artifact) -> None:
    manifest = tiny_depth.manifest
    assert (manifest.conditions, manifest.takes_depth) == (1, True)
    assert (manifest.edits, manifest.takes_mask, manifest.family) == (False, False, "sd2")
    assert min(manifest.graphs["unet"].parity_db.values()) >= 80
    index = json.loads((tiny_depth.root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionDepth2ImgPipeline"
    known = inspect.signature(StableDiffusionDepth2ImgPipeline).parameters
    assert set(index) - {"_class_name"} == set(known)


def test_a_folder_gives_the_network_that_was_saved(theirs: Any, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path / "depth")
    found = FolderCheckpoint.open(tmp_path / "depth")
    weights = found.unet().state_dict()
    for key, weight in theirs.unet.state_dict().items():
        assert torch.equal(weights[key], weight), key
    assert (found.conditions, found.family, found.prediction) == (1, "sd2", "epsilon")


def test_depth_of_xl_is_refused_by_name() -> None:
    assert unsupported_channels(5, 4, is_xl=False) is None
    assert unsupported_channels(5, 4, is_xl=True) == (
        "a depth model of Stable Diffusion XL (5 input channels)"
    )


def test_what_is_made_of_prompts_alone_refuses_depth_models(tiny_depth: Artifact) -> None:
    with pytest.raises(UnsupportedError, match="takes a depth map besides the prompt, and the ben"):
        Models.from_artifacts([tiny_depth])


def test_int8_is_calibrated_over_a_depth_map(tiny_depth: Artifact) -> None:
    pipe = kept_pipeline(tiny_depth)
    run = pipe.start(PROMPT, **image_options(tiny_depth.manifest, 0, (64, 80)))
    assert run.request.depth
    assert (run.request.depth.size, run.request.init) == ((64, 80), None)
    assert np.unique(run.request.depth.latents(10, 8)).size > 40
