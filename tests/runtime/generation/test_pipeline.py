"""Prompt -> picture: what is loaded when, what a caller sees, what seeds promise."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from PIL import Image

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import CancelledError, NonFiniteError, UnsupportedError, UsageError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.manifest import Precision, TensorSpec
from sdrt.pipeline import Pipeline
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.samplers.registry import SAMPLERS

SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 3}
EMBEDS = np.zeros((1, 77, 16), np.float32)


def pretend(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Networks with the right shapes whose result depends on every image and prompt."""
    if name == "text_encoder":
        ids = feeds["input_ids"].astype(np.float32)
        last = np.repeat(ids[:, :, None] / 600, 16, axis=2)
        return {"last_hidden_state": last, "layer_states": np.stack([last / 2, last], axis=1)}
    if name == "unet":
        states = feeds["encoder_hidden_states"].mean(axis=2)
        level = (states * np.linspace(0, 2, states.shape[1], dtype=np.float32)).mean(axis=1)
        return {"out_sample": np.tanh(feeds["sample"]) + level[:, None, None, None]}
    sample = feeds["latent_sample"]
    picture = np.repeat(np.repeat(sample[:, :3], 8, axis=2), 8, axis=3)
    return {"sample": np.tanh(picture)}


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend(pretend)


@pytest.fixture
def pipe(tiny: Artifact, fake: FakeBackend) -> Pipeline:
    return Pipeline(tiny, fake)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


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


def cancelling(network: str, call: int, runs: list[Run]) -> Callable[..., Mapping[str, Array]]:
    """Networks of which one is cancelled while it runs, from another thread."""
    calls = iter(range(100))

    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == network and runs and next(calls) == call:
            asking = threading.Thread(target=runs.pop().cancel)
            asking.start()
            asking.join()
        return pretend(name, feeds)

    return compute


@pytest.mark.parametrize(
    ("network", "call", "message", "ran"),
    [
        ("text_encoder", 0, "text_encoder was cancelled", ["text_encoder"]),
        ("unet", 1, "step 2 of 3: unet was cancelled", ["text_encoder"] * 2 + ["unet"] * 2),
        (
            "vae_decoder",
            1,
            "vae_decoder was cancelled",
            ["text_encoder"] * 2 + ["unet"] * 3 + ["vae_decoder"] * 2,
        ),
    ],
)
def test_whatever_network_runs_cancelling_stops_it(
    tiny: Artifact, network: str, call: int, message: str, ran: list[str]
) -> None:
    runs: list[Run] = []
    fake = FakeBackend(cancelling(network, call, runs))
    pipe = Pipeline(tiny, fake, keep=())
    run = pipe.start("a boat", seed=4, num_images_per_prompt=3, **SMALL)
    runs.append(run)
    with pytest.raises(CancelledError, match=message):
        run.result()
    assert fake.ran == ran
    assert pipe.loaded == set()  # what was not to be kept is not
    with pytest.raises(CancelledError, match="the run was cancelled"):
        run.result()
    again = pipe("a boat", seed=4, num_images_per_prompt=3, **SMALL)
    assert len(again.images) == 3


def test_a_run_can_be_cancelled_before_it_begins_and_between_steps(
    pipe: Pipeline, fake: FakeBackend
) -> None:
    run = pipe.start("a boat", **SMALL)
    run.cancel()
    with pytest.raises(CancelledError):
        run.result()
    assert fake.opened == []
    run = pipe.start("a boat", **SMALL)
    steps = iter(run)
    next(steps)
    run.cancel()
    with pytest.raises(CancelledError, match="step 2 of 3"):
        next(steps)
    assert fake.ran.count("unet") == 1


def test_cancelling_a_finished_run_harms_nobody(pipe: Pipeline) -> None:
    run = pipe.start("a boat", seed=2, **SMALL)
    before = run.result()
    run.cancel()
    after = pipe("a boat", seed=2, **SMALL)
    np.testing.assert_array_equal(pixels(before.images[0]), pixels(after.images[0]))


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_batch_equals_its_singles(pipe: Pipeline, sampler: str, guidance: float) -> None:
    options: dict[str, Any] = {**SMALL, "sampler": sampler, "guidance_scale": guidance}
    batch = pipe("a boat", seed=10, num_images_per_prompt=3, **options)
    for i, image in enumerate(batch.images):
        alone = pipe("a boat", seed=10 + i, **options)
        assert np.abs(pixels(image) - pixels(alone.images[0])).max() <= 1


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, SamplerSettings("dpm++2m", "default", "leading", 1)),
        ({"sampler": "DPM++ 2M Karras"}, SamplerSettings("dpm++2m", "karras", "leading", 1)),
        ({"sampler": "PNDMScheduler"}, SamplerSettings("plms", "default", "leading", 1)),
        ({"scheduler": "beta"}, SamplerSettings("dpm++2m", "beta", "leading", 1)),
        ({"spacing": "trailing"}, SamplerSettings("dpm++2m", "default", "trailing", 1)),
        (
            {"sampler": "ddim", "sampler_options": {"eta": 0.5}},
            SamplerSettings("ddim", "default", "leading", 1, {"eta": 0.5}),
        ),
        (
            {"scheduler_config": {"_class_name": "HeunDiscreteScheduler"}},
            SamplerSettings("heun", "default", "linspace", 0),
        ),
        (
            {
                "scheduler_config": {"_class_name": "DDIMScheduler", "set_alpha_to_one": False},
                "sampler_options": {"eta": 1},
                "scheduler": "karras",
            },
            SamplerSettings(
                "ddim", "karras", "leading", 0, {"final": "min", "clip": 1.0, "eta": 1}
            ),
        ),
        (
            # Its options are those of another sampler.
            {"scheduler_config": {"_class_name": "DDIMScheduler"}, "sampler": "lms"},
            SamplerSettings("lms", "default", "leading", 0),
        ),
    ],
)
def test_how_a_run_samples_comes_from_the_model_a_scheduler_and_options(
    pipe: Pipeline, options: dict[str, Any], expected: SamplerSettings
) -> None:
    assert pipe.start("a boat", **options).request.sampler_settings == expected


def test_halves_of_a_guided_step_may_run_one_after_the_other(tiny: Artifact) -> None:
    batches = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            batches.append(len(feeds["sample"]))
        return pretend(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    options: dict[str, Any] = {**SMALL, "seed": 4, "negative_prompt": "a house"}
    whole = pipe("a boat", **options)
    assert set(batches) == {2}
    batches.clear()
    split = pipe("a boat", guidance_split=True, **options)
    assert batches == [1] * 6
    np.testing.assert_array_equal(pixels(split.images[0]), pixels(whole.images[0]))


def test_networks_that_guide_themselves_are_told_how_strongly(tiny: Artifact) -> None:
    """Their U-Net takes the strength as an embedding, and never runs for the negative prompt."""
    unet = tiny.manifest.graphs["unet"]
    strength = TensorSpec(name="timestep_cond", dtype="float32", shape=("batch", 256))
    graphs = {
        **tiny.manifest.graphs,
        "unet": unet.model_copy(update={"inputs": (*unet.inputs, strength)}),
    }
    manifest = tiny.manifest.model_copy(update={"graphs": graphs})
    told = []

    def listening(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            told.append(feeds["timestep_cond"])
        return pretend(name, feeds)

    pipe = Pipeline(Artifact(tiny.root, manifest), FakeBackend(listening))
    pipe("a boat", sampler="lcm", guidance_scale=8.5, num_images_per_prompt=2, **SMALL)
    assert [embedding.shape for embedding in told] == [(2, 256)] * 3
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
        None, torch.tensor([7.5, 7.5]), 256
    )
    # Theirs are waves of float32 numbers up to 7500, which have three digits behind the point.
    np.testing.assert_allclose(told[0], theirs.numpy(), atol=1e-3)


def test_outside_of_its_interval_guidance_costs_nothing(tiny: Artifact) -> None:
    batches = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            batches.append(len(feeds["sample"]))
        return pretend(name, feeds)

    options: dict[str, Any] = {**SMALL, "num_inference_steps": 4, "sampler": "euler"}
    pipe = Pipeline(tiny, FakeBackend(counting))
    pipe("a boat", guidance_start=0.25, guidance_end=0.75, **options)
    assert batches == [1, 2, 2, 1]


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ({"negative_prompt": "fog"}, []),
        ({"guidance_scale": 1.0}, []),
        (
            {"guidance_scale": 1.0, "negative_prompt": "fog", "guidance_rescale": 0.7},
            ["negative_prompt, guidance_rescale, because at a guidance scale of 1.0 there is no"],
        ),
        (
            {"guidance_scale": 0, "guidance_split": True, "guidance_start": 0.2},
            ["guidance_start, guidance_split, because at a guidance scale of 0"],
        ),
        (
            {"guidance_end": 0.0, "negative_prompt_embeds": EMBEDS},
            ["negative_prompt_embeds, because guidance starts and ends at 0.0"],
        ),
        ({"spacing": "trailing"}, []),
        (
            {"spacing": "trailing", "scheduler": "karras", "sampler_options": {"rho": 5.0}},
            ["spacing, because the scheduler 'karras' spaces the noise levels"],
        ),
        (
            {"spacing": "trailing", "sampler": "lcm"},
            ["spacing, because lcm goes through timesteps that models were distilled on"],
        ),
        (
            {"sampler_options": {"rho": 5.0, "thresholding_max": 2.0}},
            [
                "rho, because the scheduler 'default' has none",
                "thresholding_max, because there is no thresholding",
            ],
        ),
    ],
)
def test_what_is_not_heeded_is_said(
    tiny: Artifact, options: dict[str, Any], warnings: list[str]
) -> None:
    """And is not heeded indeed: the pictures are those that are made without it."""
    pipe = Pipeline(tiny, FakeBackend(pretend))
    result = pipe("a boat", seed=1, **SMALL, **options)
    assert len(result.warnings) == len(warnings)
    for found, expected in zip(result.warnings, warnings, strict=True):
        assert found.startswith(f"without effect: {expected}")
    named = (one.removeprefix("without effect: ").split(", because ")[0] for one in result.warnings)
    unheeded = {name for names in named for name in names.split(", ")}
    rest = {name: value for name, value in options.items() if name not in unheeded}
    given = rest.get("sampler_options", {})
    own = {name: value for name, value in given.items() if name not in unheeded}
    heeded = pipe("a boat", seed=1, **SMALL, **{**rest, "sampler_options": own})
    np.testing.assert_array_equal(pixels(result.images[0]), pixels(heeded.images[0]))
    assert heeded.warnings == []


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
        return pretend(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    pipe("a boat", guidance_scale=1.0, **SMALL)
    pipe("a boat", guidance_scale=1.5, **SMALL)
    assert batches == [1, 1, 1, 2, 2, 2]


def test_the_negative_prompt_matters_with_guidance(pipe: Pipeline) -> None:
    plain = pipe("a boat", seed=1, **SMALL)
    other = pipe("a boat", seed=1, negative_prompt="a house", **SMALL)
    assert np.abs(pixels(plain.images[0]) - pixels(other.images[0])).max() > 0


def test_what_is_left_out_comes_from_the_model(pipe: Pipeline, tiny: Artifact) -> None:
    defaults, request = tiny.manifest.defaults, pipe.start("a boat").request
    assert (request.width, request.height) == (defaults.width, defaults.height) == (64, 64)
    assert request.num_inference_steps == defaults.num_inference_steps == 4
    assert (request.sampler_settings.sampler, request.guidance.scale) == ("dpm++2m", 7.5)


def test_no_word_of_a_long_prompt_is_lost(tiny: Artifact) -> None:
    tokens = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            tokens.append(feeds["encoder_hidden_states"].shape[1])
        return pretend(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    plain = pipe("x" * 100, seed=1, **SMALL)
    other = pipe("x" * 100 + " and a dragon", seed=1, **SMALL)
    assert plain.warnings == other.warnings == []
    assert set(tokens) == {2 * 77}  # the negative prompt is filled up
    assert np.abs(pixels(plain.images[0]) - pixels(other.images[0])).max() > 0


def test_weights_in_a_prompt_matter_and_odd_ones_are_a_warning(pipe: Pipeline) -> None:
    plain = pipe("a boat", seed=1, **SMALL)
    heavy = pipe("a (boat:1.8)", seed=1, **SMALL)
    assert np.abs(pixels(plain.images[0]) - pixels(heavy.images[0])).max() > 0
    (warning,) = pipe("a (boat:1,8)", seed=1, **SMALL).warnings
    assert warning == "prompt: '1,8' is no weight and was read as text"


def test_clip_skip_takes_an_earlier_layer_of_both_prompts(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend))
    last, before = pipe.encode("a boat"), pipe.encode("a boat", clip_skip=2)
    np.testing.assert_array_equal(before, last / 2)
    fed = []

    def watching(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            fed.append(feeds["encoder_hidden_states"])
        return pretend(name, feeds)

    result = Pipeline(tiny, FakeBackend(watching))(
        "a boat", negative_prompt="fog " * 90, clip_skip=2, **SMALL
    )
    negative = pipe.encode("fog " * 90, clip_skip=2)  # four chunks
    filled = np.concatenate([before, *[pipe.encode("", clip_skip=2)] * 3], axis=1)
    np.testing.assert_array_equal(fed[0], np.concatenate([negative, filled]))
    assert result.parameters[0].clip_skip == 2


@pytest.mark.parametrize("negative", ["", "fog", "fog " * 60])
@pytest.mark.parametrize("shape", ["(1, tokens, width)", "(tokens, width)", "(images, ...)"])
def test_embeddings_make_the_picture_of_their_prompt(
    pipe: Pipeline, negative: str, shape: str
) -> None:
    prompt, options = "a (red:1.3) boat " * 12, {**SMALL, "seed": 1, "num_images_per_prompt": 2}
    expected = pipe(prompt, negative_prompt=negative, **options)
    embeds = [pipe.encode(prompt), pipe.encode(negative)]
    if shape != "(1, tokens, width)":
        embeds = [
            array[0] if shape == "(tokens, width)" else array.repeat(2, 0) for array in embeds
        ]
    found = pipe(prompt_embeds=embeds[0], negative_prompt_embeds=embeds[1], **options)
    mixed = pipe("", prompt_embeds=embeds[0], negative_prompt=negative, **options)
    for made in (found, mixed):
        for one, other in zip(made.images, expected.images, strict=True):
            np.testing.assert_array_equal(pixels(one), pixels(other))


def test_each_image_can_have_embeddings_of_its_own(pipe: Pipeline) -> None:
    embeds = [pipe.encode("a boat"), pipe.encode("a dog" * 30)[:, :77]]
    both = pipe(prompt_embeds=np.concatenate(embeds), seed=1, num_images_per_prompt=2, **SMALL)
    for i in range(2):
        alone = pipe(prompt_embeds=embeds[i], seed=1 + i, **SMALL)
        np.testing.assert_array_equal(pixels(both.images[i]), pixels(alone.images[0]))


def test_embeddings_of_other_floating_types_and_lengths_are_taken(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    wide = pipe(prompt_embeds=embeds.astype(np.float64), seed=1, **SMALL)
    plain = pipe(prompt_embeds=embeds, seed=1, **SMALL)
    np.testing.assert_array_equal(pixels(wide.images[0]), pixels(plain.images[0]))
    odd = np.zeros((1, 152, 16), np.float16)  # two chunks of 75 without the ends between them
    pipe(prompt_embeds=odd, negative_prompt_embeds=odd, **SMALL)
    pipe(prompt_embeds=odd, guidance_scale=1.0, **SMALL)


def test_later_changes_of_an_array_do_not_reach_a_run(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    run = pipe.start(prompt_embeds=embeds, seed=1, **SMALL)
    embeds[:] = 0
    np.testing.assert_array_equal(
        pixels(run.result().images[0]), pixels(pipe("a boat", seed=1, **SMALL).images[0])
    )


def test_what_stood_for_the_prompt_is_known_by_its_hash(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    (parameters,) = pipe(prompt_embeds=embeds, **SMALL).parameters
    assert parameters.prompt == parameters.negative_prompt == ""
    assert parameters.prompt_embeddings == {
        "prompt_embeds": hashlib.sha256(embeds.tobytes()).hexdigest()
    }
    assert pipe("a boat", **SMALL).parameters[0].prompt_embeddings == {}


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (None, {}, "prompt is None; expected a text, or prompt_embeds"),
        ("a boat", {"prompt_embeds": EMBEDS}, "both prompt and prompt_embeds were given"),
        (
            "a boat",
            {"negative_prompt": "fog", "negative_prompt_embeds": EMBEDS},
            "both negative_prompt and negative_prompt_embeds were given; give one of them",
        ),
        (
            None,
            {"prompt_embeds": EMBEDS[..., :15]},
            r"prompt_embeds has the shape \(1, 77, 15\); expected \(tokens, 16\), "
            r"\(1, tokens, 16\), as Pipeline.encode",
        ),
        (
            None,
            {"prompt_embeds": EMBEDS.repeat(3, 0), "num_images_per_prompt": 2},
            r"the shape \(3, 77, 16\); expected .* or \(2, tokens, 16\)",
        ),
        (None, {"prompt_embeds": EMBEDS[0, 0]}, r"has the shape \(16,\)"),
        (None, {"prompt_embeds": EMBEDS[None]}, r"has the shape \(1, 1, 77, 16\)"),
        (None, {"prompt_embeds": EMBEDS[:, :0]}, r"has the shape \(1, 0, 16\)"),
        (None, {"prompt_embeds": EMBEDS.astype(int)}, "has the type int64; expected an array of f"),
        (None, {"prompt_embeds": "a boat"}, "prompt_embeds has the type <U6"),
        (None, {"prompt_embeds": [[1.0], [1.0, 2.0]]}, "cannot be read as a numpy array"),
        (None, {"prompt_embeds": EMBEDS + np.inf}, "prompt_embeds has NaN or infinity"),
        (None, {"prompt_embeds": EMBEDS + np.float64(1e300)}, "in float32's range"),
        ("a boat", {"negative_prompt_embeds": EMBEDS * np.nan}, "negative_prompt_embeds has NaN"),
        (
            "a boat",
            {"negative_prompt_embeds": EMBEDS[:, :76]},
            "tokens of the prompt: a multiple of 77, of the negative prompt: 76; expected numbers",
        ),
    ],
)
def test_embeddings_that_cannot_be_are_refused_before_any_work(
    pipe: Pipeline, fake: FakeBackend, prompt: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipe.start(prompt, **options)
    assert fake.opened == []


def test_an_artifact_with_the_last_layer_only_refuses_to_skip_it(tiny: Artifact) -> None:
    graph = tiny.manifest.graphs["text_encoder"]
    cut = graph.model_copy(update={"outputs": graph.outputs[:1]})
    graphs = {**tiny.manifest.graphs, "text_encoder": cut}
    older = replace(tiny, manifest=tiny.manifest.model_copy(update={"graphs": graphs}))
    pipe = Pipeline(older, FakeBackend(pretend))
    assert pipe("a boat", clip_skip=1, **SMALL).parameters[0].clip_skip == 1
    with pytest.raises(UnsupportedError, match="gives only the last layer .* export the model ag"):
        pipe.start("a boat", clip_skip=2)
    with pytest.raises(UnsupportedError, match="clip_skip is 2"):
        pipe.encode("a boat", clip_skip=2)
    with pytest.raises(UsageError, match="clip_skip is 0"):
        pipe.start("a boat", clip_skip=0)


def test_nan_in_a_step_names_network_and_step(tiny: Artifact) -> None:
    calls = iter(range(100))

    def failing(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        outputs = pretend(name, feeds)
        if name == "unet" and next(calls) == 1:
            outputs["out_sample"][0, 0, 0, 0] = np.nan
        return outputs

    with pytest.raises(NonFiniteError, match="step 2 of 3: unet gave NaN"):
        Pipeline(tiny, FakeBackend(failing))("a boat", **SMALL)


def test_executing_another_precision_than_asked_is_a_warning(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend, precision="bf16", executes="fp32"))
    assert pipe("a boat", **SMALL).warnings == [
        "fake was asked for bf16 and executed fp32: text_encoder, unet, vae_decoder"
    ]
    assert Pipeline(tiny, FakeBackend(pretend, precision="bf16"))("a boat", **SMALL).warnings == []


@pytest.mark.parametrize(
    ("asked", "executes", "warning"),
    [
        (None, None, None),
        ("int8", None, None),  # the text encoder is meant to stay in float
        (None, "fp32", "fake was asked for int8 and executed fp32: unet, vae_decoder"),
        ("fp32", "int8", "fake was asked for fp32 and executed int8: text_encoder, unet, vae_d"),
    ],
)
def test_what_an_int8_model_has_in_int8_is_expected_to_run_so(
    tiny: Artifact, asked: Precision | None, executes: Precision | None, warning: str | None
) -> None:
    graphs = dict(tiny.manifest.graphs)
    graphs["text_encoder"] = graphs["text_encoder"].model_copy(update={"precision": "bf16"})
    changes = {"precision": "int8", "graphs": graphs}
    artifact = replace(tiny, manifest=tiny.manifest.model_copy(update=changes))
    result = Pipeline(artifact, FakeBackend(pretend, precision=asked, executes=executes))(
        "a boat", **SMALL
    )
    assert result.networks["text_encoder"].stored == "bf16"
    assert result.networks["unet"].stored == "int8"
    assert len(result.warnings) == (warning is not None)
    assert not warning or result.warnings[0].startswith(warning)


def test_an_int8_wish_that_a_float_model_cannot_fulfil_is_a_warning(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend, precision="int8", executes="bf16"))
    assert pipe("a boat", **SMALL).warnings == [
        "fake was asked for int8 and executed bf16: text_encoder, unet, vae_decoder"
    ]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("keep", [(), ("text_encoder", "unet", "vae_decoder")])
def test_each_network_tells_what_it_executed_whether_it_stays_or_not(
    backend: str, keep: tuple[str, ...]
) -> None:
    pipe = sdrt.load(backend=backend, precision="fp32", keep=keep)
    for _ in range(2):
        result = pipe("a boat", **SMALL)
        assert list(result.networks) == ["text_encoder", "unet", "vae_decoder"]
        for record in result.networks.values():
            assert (record.stored, record.executed) == ("bf16", "fp32")
            assert record.shares == {"fp32": 1.0}
            assert record.isa_from in ("kernels", "processor")
        assert result.parameters[0].executed_precision == "fp32"
        assert result.parameters[0].stored_precision == "bf16"
    assert pipe.loaded == set(keep)


def test_a_network_that_did_not_run_has_no_record(pipe: Pipeline) -> None:
    result = pipe(prompt_embeds=EMBEDS, negative_prompt_embeds=EMBEDS, **SMALL)
    assert list(result.networks) == ["unet", "vae_decoder"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 65}, "width is 65; expected a multiple of 8 from 64 to 4096"),
        ({"height": 56}, "height is 56; expected a multiple of 8 from 64"),
        ({"width": 8192}, "width is 8192"),
        ({"width": 64.0}, "width is 64.0"),
        ({"num_inference_steps": -1}, "steps is -1; expected a whole number from 1 to 1000"),
        ({"num_inference_steps": 0}, "steps is 0"),
        ({"num_inference_steps": True}, "steps is True"),
        ({"guidance_scale": float("nan")}, "guidance scale is nan; expected a finite number"),
        ({"guidance_scale": float("inf")}, "guidance scale is inf"),
        ({"guidance_scale": -1}, "guidance scale is -1"),
        (
            {"guidance_rescale": 1.5},
            "guidance rescale is 1.5; expected a finite number from 0 to 1",
        ),
        ({"guidance_start": 0.8, "guidance_end": 0.2}, "guidance starts at 0.8 and ends at 0.2"),
        ({"scheduler": "karas"}, "unknown scheduler 'karas'; known: .*did you mean 'karras'"),
        ({"sampler": "Euler Karras", "scheduler": "beta"}, "names the scheduler 'karras'"),
        ({"sampler": ""}, "unknown sampler ''"),
        ({"spacing": "tight"}, "unknown spacing 'tight'; known: leading, trailing, linspace"),
        ({"sampler_options": {"eta": 1}}, r"dpm\+\+2m has no option 'eta'"),
        ({"sampler_options": "eta=1"}, "expected names with values"),
        ({"sampler": "lcm", "num_inference_steps": 51}, "distilled on 50 takes from 1 to 50"),
        ({"scheduler_config": "PNDMScheduler"}, "expected a scheduler's settings by name"),
        (
            {"scheduler_config": {"_class_name": "DDIMScheduler", "beta_end": 0.02}},
            "has beta_end = 0.02, and the model was exported with 0.012",
        ),
        (
            {"scheduler_config": {"_class_name": "LCMScheduler", "prediction_type": "sample"}},
            "has prediction_type = 'sample', and the model was exported with 'epsilon'",
        ),
        (
            {"scheduler_config": {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True}},
            "rescale_betas_zero_snr = True",
        ),
        ({"guidance_split": "yes"}, "guidance_split is 'yes'; expected True or False"),
        ({"sampler": "dpm+2m"}, r"unknown sampler 'dpm.2m'; known: .*did you mean 'dpm\+\+2m'"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0"),
        ({"seed": [1, 2]}, "2 seeds were given for 1 images"),
        ({"num_images_per_prompt": 0}, "number of images is 0"),
        ({"clip_skip": 0}, "clip_skip is 0; expected a whole number from 1 to 2"),
        ({"clip_skip": -1}, "clip_skip is -1; expected"),
        ({"clip_skip": 3}, "clip_skip is 3; expected"),
        ({"clip_skip": 1.0}, "clip_skip is 1.0; expected"),
        ({"negative_prompt": None}, "negative_prompt is None; expected a text"),
        ({"image": Image.new("RGB", (64, 64)), "paste": False}, "paste was given without a mask"),
        ({"wdith": 64}, "unknown option 'wdith'; known: aesthetic_score, clip_skip, "),
    ],
)
def test_an_impossible_wish_is_refused_before_any_work(
    pipe: Pipeline, fake: FakeBackend, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipe.start("a boat", **options)
    assert fake.opened == []


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
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


def test_the_engines_make_the_same_picture() -> None:
    options: dict[str, Any] = {"seed": 3, "num_inference_steps": 10}
    first, second = (
        pixels(sdrt.load(backend=backend, precision="fp32")("a cat", **options).images[0])
        for backend in ("onnxruntime", "openvino")
    )
    error = float(((first - second).astype(np.float64) ** 2).mean())
    assert error == 0 or 10 * np.log10(255**2 / error) > 45


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_real_step_can_be_cancelled_and_the_networks_stay_good(backend: str) -> None:
    pipe = sdrt.load(backend=backend, precision="fp32", threads=1)
    small: dict[str, Any] = {"seed": 6, "num_inference_steps": 2}
    before = pipe("a cat", **small)
    run = pipe.start("a cat", width=512, height=512, num_inference_steps=3)
    steps = iter(run)
    first = next(steps)
    # Inside of the next step, which takes about as long as the first.
    threading.Timer(first.seconds / 4, run.cancel).start()
    with pytest.raises(CancelledError, match="step 2 of 3: unet was cancelled"):
        next(steps)
    after = pipe("a cat", **small)
    np.testing.assert_array_equal(pixels(after.images[0]), pixels(before.images[0]))
