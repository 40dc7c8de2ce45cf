"""The refiner of Stable Diffusion XL: the second text encoder alone, and a score for a size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLImg2ImgPipeline
from PIL import Image

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.cli.generate import generate
from sdrt.errors import ArtifactError, UsageError
from sdrt.generation.refiner_run import refiner_run
from sdrt.images.metadata import read_png
from sdrt.pipeline import Pipeline
from sdrt_bench.similarity import psnr_db
from sdrt_export.exporter import export
from sdrt_export.presets import read_preset
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file import diffusers_settings
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from tests.conftest import Sharing
from tests.export.families.kept_pipelines import kept_pipeline
from tests.export.sources.single_file.twins import parts_of, save_weights

PROMPT = "a boat, at 7"


def checkpoint() -> RandomCheckpoint:
    return RandomCheckpoint.from_preset(*read_preset("tiny-sdxl-refiner"))


def theirs() -> Any:
    made = checkpoint()
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=made.vae(),
        text_encoder=None,
        text_encoder_2=made.text_encoder_2(),
        tokenizer=None,
        tokenizer_2=made.tokenizer("text_encoder_2"),
        unet=made.unet(),
        scheduler=DDIMScheduler.from_config(made.configs["scheduler"]),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, shared_traces: Sharing) -> Artifact:
    root = tmp_path_factory.mktemp("refiner")
    theirs().save_pretrained(root / "theirs")
    with shared_traces():
        return open_artifact(export(root / "theirs", root / "ours").path)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:80, 0:64]
    shades = np.stack([rows * 3, columns * 4, 255 - rows - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


def test_the_manifest_says_what_it_is(exported: Artifact) -> None:
    manifest = exported.manifest
    assert manifest.family == "sdxl"
    assert [encoder.graph for encoder in manifest.text_encoders] == ["text_encoder_2"]
    assert (manifest.text_width, manifest.pooled_width, manifest.picture_numbers) == (128, 96, 5)
    assert not manifest.zeros_for_empty_prompt
    index = json.loads((exported.root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLImg2ImgPipeline"
    assert (index["text_encoder"], index["requires_aesthetics_score"]) == ([None, None], True)
    assert not (exported.root / "tokenizer").exists()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"negative_prompt": "fog", "aesthetic_score": 8.0, "negative_aesthetic_score": 1.0},
        # diffusers does not take over the crop of the prompt.
        {
            "original_size": (300, 200),
            "crops_coords_top_left": (16, 8),
            "negative_crops_coords_top_left": (4, 2),
        },
    ],
)
def test_pictures_equal_those_of_diffusers_from_the_prompt_on(
    exported: Artifact, picture: Image.Image, backend: str, options: dict[str, Any]
) -> None:
    settings = {"image": picture, "strength": 0.5, "num_inference_steps": 6, "guidance_scale": 5.0}
    generator = torch.Generator("cpu").manual_seed(3)
    made = theirs()(PROMPT, generator=generator, output_type="np", **settings, **options)
    expected = np.asarray((made.images[0] * 255).round().astype(np.uint8))
    settings["scheduler_config"] = checkpoint().configs["scheduler"]
    pipe = kept_pipeline(exported, backend)
    found = [
        np.asarray(pipe(PROMPT, seed=seed, **settings, **options).images[0])  # type: ignore[arg-type]
        for seed in (3, 4)
    ]
    assert psnr_db(expected, found[0]) >= 50 > 35 > psnr_db(expected, found[1])


def test_it_is_told_a_score_and_no_target_size(exported: Artifact) -> None:
    pipe = Pipeline(exported, open_backend("onnxruntime"))
    with pytest.raises(UsageError, match="this model does not take target_size; it takes:"):
        pipe.start(PROMPT, target_size=(64, 64))
    with pytest.raises(UsageError, match="aesthetic_score is 11; expected a finite number from 0"):
        pipe.start(PROMPT, aesthetic_score=11)


def test_one_file_gives_the_networks_that_were_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(diffusers_settings.KNOWN_HEADS, (128, 32), {"num_head_channels": 16})
    made = checkpoint()
    found = SingleFileCheckpoint.open(save_weights(made, tmp_path / "refiner.safetensors"))
    for part in parts_of(made):
        ours, expected = (source.network(part).state_dict() for source in (found, made))
        assert ours.keys() == expected.keys()
        for name, weight in expected.items():
            assert torch.equal(ours[name], weight), name
    assert (found.family, found.is_refiner, found.text_encoders) == (
        "sdxl",
        True,
        ("text_encoder_2",),
    )
    assert not found.zeros_for_empty_prompt
    for name, value in made.configs["unet"].items():
        assert found.configs["unet"][name] == value or name == "sample_size", name


def test_a_folder_without_its_second_encoder_is_none(tmp_path: Path) -> None:
    classes = {"text_encoder": [None, None], "tokenizer": [None, None]}
    index = {"_class_name": "StableDiffusionXLPipeline", **classes}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="model_index.json lists no unet"):
        FolderCheckpoint.open(tmp_path)


# From where a base stopped


@pytest.fixture(scope="module")
def left() -> np.ndarray:
    """Latents as a base might leave them: two images of 64x80 pixels."""
    return np.random.default_rng(0).standard_normal((2, 4, 10, 8), np.float32)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_it_goes_on_as_in_diffusers(
    exported: Artifact, left: np.ndarray, backend: str, share: float
) -> None:
    settings: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 5.0}
    settings["denoising_start"] = share
    made = theirs()(PROMPT, image=torch.from_numpy(left[:1]), output_type="np", **settings)
    expected = np.asarray((made.images[0] * 255).round().astype(np.uint8))
    settings["scheduler_config"] = checkpoint().configs["scheduler"]
    pipe = kept_pipeline(exported, backend)
    found, other = (pipe(PROMPT, seed=3, latents=latents, **settings) for latents in left)
    assert psnr_db(expected, np.asarray(found.images[0])) >= 50
    assert psnr_db(expected, np.asarray(other.images[0])) < 35
    part = found.parameters[0].denoising_range
    assert part is not None
    assert (part["start"], part["end"], part["base"]) == (share, 1.0, None)


def test_only_the_refiner_is_told_the_score(exported: Artifact) -> None:
    base, refiner = (Pipeline(exported, open_backend("onnxruntime")) for _ in range(2))
    options: Any = {"num_inference_steps": 5, "seed": 3}
    refiner_options: Any = {**options, "aesthetic_score": 8.0}
    found = refiner_run(base, refiner, 0.6, PROMPT, refiner_options).result()
    left = base.start(PROMPT, denoising_end=0.6, **options).latents()
    expected = refiner(PROMPT, latents=left, denoising_start=0.6, **refiner_options)
    np.testing.assert_array_equal(np.asarray(found.images[0]), np.asarray(expected.images[0]))


def test_the_command_line_takes_a_refiner(exported: Artifact, tmp_path: Path) -> None:
    model = ("-m", str(exported.root), "--refiner", str(exported.root), "--refiner-start", "0.5")
    file = tmp_path / "a.png"
    options = ("--steps", "4", "-q", "-s", "1", "--size", "64x80", "-o", str(file))
    generate.main([PROMPT, *model, *options], standalone_mode=False)
    record = read_png(file)
    assert (record["width"], record["height"], record["sdrt"]["denoising_range"]["start"]) == (
        64,
        80,
        0.5,
    )
    with pytest.raises(UsageError, match="--refiner-start was given without --refiner"):
        generate.main([PROMPT, *model[:2], *model[4:], *options], standalone_mode=False)
