"""What is left out of a request comes from the model; what cannot be is refused before any work."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UsageError
from sdrt.pipeline import Pipeline
from sdrt.sampling.sampler_settings import SamplerSettings
from tests.runtime.fakes import EMBEDS


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


def test_what_is_left_out_comes_from_the_model(pipe: Pipeline, tiny: Artifact) -> None:
    defaults, request = tiny.manifest.defaults, pipe.start("a boat").request
    assert (request.width, request.height) == (defaults.width, defaults.height) == (64, 64)
    assert request.num_inference_steps == defaults.num_inference_steps == 4
    assert (request.sampler_settings.sampler, request.guidance.scale) == ("dpm++2m", 7.5)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (None, {}, "prompt is None; expected a text, or prompt_embeds"),
        ("a \udcff", {}, r"prompt has '\\udcff', which is half of a character or none; expected"),
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
        ({"negative_prompt": "\ud800"}, "negative_prompt has .*valid Unicode"),
        ({"image": Image.new("RGB", (64, 64)), "paste": False}, "paste was given without a mask"),
        ({"wdith": 64}, "unknown option 'wdith'; known: aesthetic_score, cache_depth, "),
    ],
)
def test_an_impossible_wish_is_refused_before_any_work(
    pipe: Pipeline, fake: FakeBackend, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipe.start("a boat", **options)
    assert fake.opened == []
