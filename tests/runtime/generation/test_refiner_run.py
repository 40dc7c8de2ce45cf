"""A run in parts: what one model leaves, another goes on from; together they are one run."""

from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.artifact import Artifact
from sdrt.errors import UsageError
from sdrt.generation.refiner_run import refiner_run
from sdrt.pipeline import Pipeline

PROMPT = "a red boat on the sea at sunset"
OPTIONS: dict[str, Any] = {"num_inference_steps": 5, "seed": [3, 9], "num_images_per_prompt": 2}
OPTIONS |= {"width": 64, "height": 72, "sampler": "ddim"}


@pytest.fixture(scope="module")
def pipes() -> tuple[Pipeline, Pipeline]:
    base, refiner = (sdrt.load(backend="onnxruntime") for _ in range(2))
    return base, refiner


def pixels(result: Any) -> np.ndarray:
    return np.stack([np.asarray(image) for image in result.images])


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_what_remembers_no_steps_can_be_cut_anywhere(
    pipes: tuple[Pipeline, Pipeline], share: float
) -> None:
    base, refiner = pipes
    whole = base(PROMPT, **OPTIONS)
    assert whole.parameters[0].denoising_range is None
    run = refiner_run(base, refiner, share, PROMPT, OPTIONS)  # type: ignore[arg-type]
    # Between the models latents are scaled to variance one and back, which rounds each once: where
    # a value of the picture lay between two levels it becomes the other one.
    latents = base.start(PROMPT, **OPTIONS).latents()
    np.testing.assert_allclose(run.latents(), latents, rtol=0, atol=5e-5)
    difference = np.abs(pixels(run.result()).astype(int) - pixels(whole).astype(int))
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["dpm++2m", "euler_a"])
def test_two_models_in_one_run_make_what_they_make_in_turn(
    pipes: tuple[Pipeline, Pipeline], demo: Artifact, sampler: str
) -> None:
    base, refiner = pipes
    options: Any = {**OPTIONS, "sampler": sampler}
    run = refiner_run(base, refiner, 0.6, PROMPT, options)
    shown = [(step.index, step.count) for step in run]
    assert shown == [(i, 5) for i in range(len(run))]
    found = run.result()
    assert base.loaded == set()  # before the refiner's were loaded
    left = base.start(PROMPT, denoising_end=0.6, **options).latents()
    expected = refiner(PROMPT, latents=left, denoising_start=0.6, **options)
    np.testing.assert_array_equal(pixels(found), pixels(expected))
    last = found.parameters[1]
    assert last.seed == 9
    assert last.denoising_range is not None
    assert last.denoising_range["base"] == {"model": demo.manifest.name, "model_hash": demo.hash}
    assert (last.denoising_range["start"], last.denoising_range["end"]) == (0.6, 1.0)
    assert "Refiner switch at: 0.6" in last.to_a1111()
    assert expected.parameters[1].denoising_range == {**last.denoising_range, "base": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"denoising_start": 0.5}, "denoising_start was given without latents"),
        ({"latents": np.zeros((4, 8, 8))}, "latents was given without denoising_start"),
        ({"denoising_end": 0.0}, "starts at 0 and ends at 0; expected the start before the end"),
        ({"denoising_end": 1.5}, "denoising_end is 1.5; expected a finite number from 0 to 1"),
        ({"denoising_end": 1e-4}, "no step .* lies between 0 and 0.0001"),
        (
            {"denoising_end": 0.5, "hires": 2.0},
            "hires was given with denoising_start or denoising_end",
        ),
        (
            {"denoising_start": 0.5, "latents": np.zeros((1, 3, 8, 8))},
            r"latents has the shape \(1, 3, 8, 8\); expected \(1, 4, height / 8, width / 8\)",
        ),
        (
            {"denoising_start": 0.5, "latents": np.full((4, 8, 8), np.nan)},
            "latents has NaN or infinity",
        ),
        (
            {"denoising_start": 0.5, "latents": np.zeros((4, 8, 8)), "width": 128, "height": 64},
            "the run is 128x64 pixels, and its latents are of 64x64",
        ),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    pipes: tuple[Pipeline, Pipeline], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipes[0].start(PROMPT, **options)


@pytest.mark.parametrize("start", [0.0, 1.0, 2.0])
def test_a_refiner_starts_within_the_run(pipes: tuple[Pipeline, Pipeline], start: float) -> None:
    with pytest.raises(UsageError, match="refiner_start is"):
        refiner_run(*pipes, start, PROMPT, {})


def test_a_model_with_other_latents_is_no_refiner(
    pipes: tuple[Pipeline, Pipeline], demo: Artifact
) -> None:
    latent = demo.manifest.latent.model_copy(update={"scale": 0.5})
    other = Artifact(demo.root, demo.manifest.model_copy(update={"latent": latent, "name": "b"}))
    pipe = Pipeline(other, pipes[0].backend)
    with pytest.raises(UsageError, match="'b' cannot go on from the latents of 'demo': .*0.5"):
        refiner_run(pipes[0], pipe, 0.8, PROMPT, {})
