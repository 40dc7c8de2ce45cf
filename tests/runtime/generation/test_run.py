"""A run: what is loaded when, what a caller sees, what seeds promise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import NonFiniteError
from sdrt.generation.result import Step
from sdrt.pipeline import Pipeline
from sdrt.sampling.samplers.registry import SAMPLERS
from tests.runtime.fakes import SMALL, pixels, pretend_tiny


def test_networks_are_opened_when_needed_and_the_text_encoder_is_released(
    pipe: Pipeline, fake: FakeBackend
) -> None:
    assert fake.opened == []
    run = pipe.start("a boat", **SMALL)
    assert fake.opened == []
    next(iter(run))
    assert fake.opened == ["text_encoder", "unet"]
    assert pipe.loaded == {"unet"}
    run.result()
    assert fake.opened == ["text_encoder", "unet", "vae_decoder"]
    assert pipe.loaded == {"unet", "vae_decoder"}
    pipe("a boat", **SMALL)
    assert fake.opened == ["text_encoder", "unet", "vae_decoder", "text_encoder"]
    pipe.release()
    assert pipe.loaded == set()


def test_networks_stay_if_they_are_asked_to(tiny: Artifact, fake: FakeBackend) -> None:
    pipe = Pipeline(tiny, fake, keep={"text_encoder"})
    pipe("a boat", **SMALL)
    assert pipe.loaded == {"text_encoder"}


def test_a_run_yields_every_step(pipe: Pipeline) -> None:
    run = pipe.start("a boat", seed=1, num_images_per_prompt=2, **SMALL)
    steps = list(run)
    assert len(run) == 3
    assert [step.index for step in steps] == [0, 1, 2]
    assert all(step.latents.shape == step.denoised.shape == (2, 4, 8, 8) for step in steps)
    assert all(step.seconds > 0 for step in steps)
    assert [step.sigma for step in steps] == sorted((s.sigma for s in steps), reverse=True)
    result = run.result()
    assert len(result.timings.step_s) == 3
    assert result.seeds == [1, 2]
    assert [image.size for image in result.images] == [(64, 64)] * 2


def test_a_watcher_cannot_change_a_run(pipe: Pipeline) -> None:
    for step in pipe.start("a boat", **SMALL):
        for shown in (step.latents, step.denoised):
            with pytest.raises(ValueError, match="read-only"):
                shown[:] = 0


def test_leaving_the_loop_stops_the_work(pipe: Pipeline, fake: FakeBackend) -> None:
    for step in pipe.start("a boat", **SMALL):
        if step.index == 0:
            break
    assert fake.ran.count("unet") == 1
    assert "vae_decoder" not in fake.ran


def test_a_result_finishes_a_run_that_was_left(pipe: Pipeline) -> None:
    run = pipe.start("a boat", seed=9, **SMALL)
    next(iter(run))
    np.testing.assert_array_equal(
        pixels(run.result().images[0]), pixels(pipe("a boat", seed=9, **SMALL).images[0])
    )


def test_a_callback_sees_every_step(pipe: Pipeline) -> None:
    seen: list[Step] = []
    result = pipe("a boat", callback=seen.append, seed=1, **SMALL)
    assert [(step.index, step.count) for step in seen] == [(0, 3), (1, 3), (2, 3)]
    np.testing.assert_array_equal(
        pixels(result.images[0]), pixels(pipe("a boat", seed=1, **SMALL).images[0])
    )


def test_an_error_in_a_callback_stops_the_work(pipe: Pipeline, fake: FakeBackend) -> None:
    def impatient(step: Step) -> None:
        if step.index == 1:
            raise TimeoutError("this takes too long")

    with pytest.raises(TimeoutError, match="takes too long"):
        pipe("a boat", callback=impatient, **SMALL)
    assert fake.ran.count("unet") == 2
    assert "vae_decoder" not in fake.ran


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_batch_equals_its_singles(pipe: Pipeline, sampler: str, guidance: float) -> None:
    options: dict[str, Any] = {**SMALL, "sampler": sampler, "guidance_scale": guidance}
    batch = pipe("a boat", seed=10, num_images_per_prompt=3, **options)
    for i, image in enumerate(batch.images):
        alone = pipe("a boat", seed=10 + i, **options)
        assert np.abs(pixels(image) - pixels(alone.images[0])).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m", "unipc", "euler_a", "dpm++sde", "lcm"])
def test_a_batch_of_four_has_the_latents_of_its_singles(sampler: str) -> None:
    """With a real network, whose arithmetic may depend on the batch."""
    pipe = sdrt.load(backend="onnxruntime", precision="fp32")
    options: dict[str, Any] = {**SMALL, "sampler": sampler}
    *_, batch = pipe.start("a boat", seed=10, num_images_per_prompt=4, **options)
    for i, together in enumerate(batch.latents):
        *_, alone = pipe.start("a boat", seed=10 + i, **options)
        difference = np.abs(alone.latents[0] - together).max()
        assert difference <= 1e-5 * np.abs(together).max()


def test_halves_of_a_guided_step_may_run_one_after_the_other(tiny: Artifact) -> None:
    batches = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            batches.append(len(feeds["sample"]))
        return pretend_tiny(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    options: dict[str, Any] = {**SMALL, "seed": 4, "negative_prompt": "a house"}
    whole = pipe("a boat", **options)
    assert set(batches) == {2}
    batches.clear()
    split = pipe("a boat", guidance_split=True, **options)
    assert batches == [1] * 6
    np.testing.assert_array_equal(pixels(split.images[0]), pixels(whole.images[0]))


def test_outside_of_its_interval_guidance_costs_nothing(tiny: Artifact) -> None:
    batches = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            batches.append(len(feeds["sample"]))
        return pretend_tiny(name, feeds)

    options: dict[str, Any] = {**SMALL, "num_inference_steps": 4, "sampler": "euler"}
    pipe = Pipeline(tiny, FakeBackend(counting))
    pipe("a boat", guidance_start=0.25, guidance_end=0.75, **options)
    assert batches == [1, 2, 2, 1]


def test_seeds_can_be_given_one_by_one(pipe: Pipeline) -> None:
    result = pipe("a boat", seed=[7, 3], num_images_per_prompt=2, **SMALL)
    assert result.seeds == [7, 3]
    np.testing.assert_array_equal(
        pixels(result.images[1]), pixels(pipe("a boat", seed=3, **SMALL).images[0])
    )


def test_without_a_seed_one_is_drawn_and_reported(pipe: Pipeline) -> None:
    first, second = pipe("a boat", **SMALL), pipe("a boat", **SMALL)
    assert first.seeds != second.seeds
    again = pipe("a boat", seed=first.seeds[0], **SMALL)
    np.testing.assert_array_equal(pixels(again.images[0]), pixels(first.images[0]))


def test_guidance_up_to_one_runs_the_unet_for_the_prompt_only(
    tiny: Artifact,
) -> None:
    batches = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            batches.append(len(feeds["sample"]))
        return pretend_tiny(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    pipe("a boat", guidance_scale=1.0, **SMALL)
    pipe("a boat", guidance_scale=1.5, **SMALL)
    assert batches == [1, 1, 1, 2, 2, 2]


def test_the_negative_prompt_matters_with_guidance(pipe: Pipeline) -> None:
    plain = pipe("a boat", seed=1, **SMALL)
    other = pipe("a boat", seed=1, negative_prompt="a house", **SMALL)
    assert np.abs(pixels(plain.images[0]) - pixels(other.images[0])).max() > 0


def test_nan_in_a_step_names_network_and_step(tiny: Artifact) -> None:
    calls = iter(range(100))

    def failing(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        outputs = pretend_tiny(name, feeds)
        if name == "unet" and next(calls) == 1:
            outputs["out_sample"][0, 0, 0, 0] = np.nan
        return outputs

    with pytest.raises(NonFiniteError, match="step 2 of 3: unet gave NaN"):
        Pipeline(tiny, FakeBackend(failing))("a boat", **SMALL)


@pytest.mark.parametrize(
    "backend", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_the_embedded_model_paints_what_it_is_told(backend: str) -> None:
    """A red boat on the sea at sunset has a red sky, and red paint below it."""
    pipe = sdrt.load(backend=backend, precision="fp32")
    image = pixels(pipe("a red boat on the sea at sunset", seed=7).images[0])
    red, green, blue = (image[..., channel] for channel in range(3))
    assert image.shape == (128, 128, 3)
    assert (red - blue)[40:64].mean() > 60  # the sky above the horizon
    assert (blue - red)[110:].mean() > 20  # the sea
    paint = (red > 120) & (green < 80) & (blue < 80)
    assert paint[80:112].sum() > 100


@pytest.mark.slow
def test_the_engines_make_the_same_picture() -> None:
    options: dict[str, Any] = {"seed": 3, "num_inference_steps": 10}
    first, second = (
        pixels(sdrt.load(backend=backend, precision="fp32")("a cat", **options).images[0])
        for backend in ("onnxruntime", "openvino")
    )
    error = float(((first - second).astype(np.float64) ** 2).mean())
    assert error == 0 or 10 * np.log10(255**2 / error) > 45
