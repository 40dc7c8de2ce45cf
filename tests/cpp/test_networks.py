"""The denoiser: guidance, kinds of prediction and clipping, in the C++ host and in Python."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from sdrt.arrays import Array, Embeddings
from sdrt.manifest import Prediction, Schedule
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.schedule import TrainingNoise
from tests.cpp.commands import Ask, array_json, sampler_settings_of


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_denoisers_agree(results: Ask, prediction: Prediction) -> None:
    random = np.random.default_rng(7)
    x = random.standard_normal((2, 4, 6, 6)).astype(np.float32) * np.float32(3)
    positive, negative = random.standard_normal((2, 2, 77, 8)).astype(np.float32)
    guidances = [
        Guidance(),
        Guidance(7.5),
        Guidance(7.5, is_split=True),
        Guidance(5.0, rescale=0.7),
        Guidance(5.0, start=0.2, end=0.8),
    ]
    clippings = [{}, {"clip": 1.5}, {"thresholding": 0.9, "thresholding_max": 4.0}]
    cases = [
        (guidance, options, sampler, width, is_guided)
        for guidance in guidances
        for options in clippings
        for sampler, width in (("euler", 0), ("lcm", 6), ("lcm", 7))
        for is_guided in (True, False)
    ]
    noise = TrainingNoise.from_schedule(Schedule())
    sigmas = [14.0, 2.5, 0.3]
    commands: list[dict[str, Any]] = []
    expected: list[list[Array]] = []
    for guidance, options, sampler, width, is_guided in cases:
        command: dict[str, Any] = {"sampler": sampler, "options": options, "count": 4}
        sampler_settings = sampler_settings_of(command)
        steps = sampler_settings.steps(noise, 4)
        levels = [*steps.sigmas[:-1], *sigmas]
        denoise = Denoiser(
            unet=_FakeUNet(width),
            steps=steps,
            prediction=prediction,
            positive=positive,
            negative=negative if is_guided else None,
            guidance=guidance,
            clipping=sampler_settings.clipping,
            timestep_scaling=sampler_settings.timestep_scaling,
        )
        expected.append([denoise(x, sigma).ravel() for sigma in levels])
        command |= {"op": "denoise", "prediction": prediction, "guidance": vars(guidance)}
        command |= {"x": array_json(x), "positive": array_json(positive), "guidance_width": width}
        command |= {"negative": array_json(negative)} if is_guided else {}
        commands.append(command | {"sigmas": levels})
    for case, answer, latents in zip(cases, results(*commands), expected, strict=True):
        np.testing.assert_allclose(answer, latents, 1e-5, 1e-4, err_msg=str(case))


class _FakeUNet:
    """A U-Net whose output depends on every input, as `fake_unet` of the test program."""

    def __init__(self, guidance_width: int) -> None:
        shape = ("batch", guidance_width)
        inputs = [SimpleNamespace(name="timestep_cond", shape=shape)] if guidance_width else []
        self.network: Any = SimpleNamespace(spec=SimpleNamespace(inputs=inputs))

    def run(self, feeds: Mapping[str, Array], stop: object = None) -> dict[str, Array]:
        embeddings: Embeddings = feeds["encoder_hidden_states"]
        shift = embeddings.mean(axis=(1, 2), dtype=np.float64)
        if "timestep_cond" in feeds:
            shift = shift + feeds["timestep_cond"][:, 0]
        sines = np.sin(feeds["sample"].astype(np.float64) * 2 + shift[:, None, None, None])
        output = sines + feeds["timestep"].astype(np.float64) * 1e-3
        return {"out_sample": output.astype(np.float32)}
