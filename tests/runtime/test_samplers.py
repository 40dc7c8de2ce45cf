"""Samplers against closed forms, and against diffusers on the same analytic denoiser.

For data that are normal with deviation s, the ideal denoiser is x s^2 / (s^2 + sigma^2), and the
path from sigma_0 to sigma multiplies x by sqrt((s^2 + sigma^2) / (s^2 + sigma_0^2)).
"""

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from sdrt.manifest import Schedule
from sdrt.samplers import SAMPLERS, Latents
from sdrt.schedule import TrainingNoise, plan_steps

S = 0.6


def ideal(x: Latents, sigma: float) -> Latents:
    return x * (S * S / (S * S + sigma * sigma))


def end(name: str, sigmas: np.ndarray, denoise: Callable[..., Any] = ideal) -> np.ndarray:
    start = np.ones((1, 1)) * np.sqrt(S * S + sigmas[0] ** 2)
    return list(SAMPLERS[name].method(denoise, start, sigmas.tolist()))[-1][0]


def error(name: str, steps: int) -> float:
    """Distance from the exact end of the path, on noise levels evenly spaced in their logarithm."""
    sigmas = np.geomspace(10.0, 0.1, steps + 1)
    exact = np.sqrt(S * S + sigmas[-1] ** 2)
    return float(abs(end(name, sigmas) - exact)[0, 0])


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("dpm++2m", 2)])
def test_doubling_the_steps_divides_the_error_as_the_order_says(name: str, order: int) -> None:
    measured = np.log2(error(name, 320) / error(name, 640))
    assert measured == pytest.approx(order, rel=0.15)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_perfect_denoiser_of_one_picture_leads_to_it(name: str) -> None:
    picture = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    x = picture + 14 * np.ones_like(picture)
    sigmas = [*np.geomspace(14, 0.03, 10).tolist(), 0.0]
    path = list(SAMPLERS[name].method(lambda x, sigma: picture, x, sigmas))
    assert len(path) == 10
    np.testing.assert_allclose(path[-1][0], picture, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_samplers_keep_float32_and_leave_their_input_alone(name: str) -> None:
    x = np.ones((1, 4, 2, 2), np.float32)
    before = x.copy()
    for latents, denoised in SAMPLERS[name].method(ideal, x, [5.0, 2.0, 1.0, 0.0]):
        assert latents.dtype == denoised.dtype == np.float32
    np.testing.assert_array_equal(x, before)


REFERENCES: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {"set_alpha_to_one": False, "clip_sample": False}),
    "dpm++2m": (diffusers.DPMSolverMultistepScheduler, {"final_sigmas_type": "zero"}),
}


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("count", [4, 10, 20, 50])
def test_trajectories_equal_diffusers(name: str, count: int) -> None:
    cls, options = REFERENCES[name]
    schedule = Schedule(spacing="trailing")
    theirs = cls(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
        **options,
    )
    theirs.set_timesteps(count)
    noise = TrainingNoise.of(schedule)
    last = 0.0 if SAMPLERS[name].ends_at_zero else float(noise.sigmas[0])
    steps = plan_steps(noise, count, schedule.spacing, schedule.offset, last)
    np.testing.assert_array_equal(steps.timesteps, theirs.timesteps.numpy())

    start = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
    scale = np.float32(np.sqrt(1 + steps.sigmas[0] ** 2))
    ours = SAMPLERS[name].method(ideal, start * scale, steps.sigmas.tolist())
    sample = torch.from_numpy(start)
    for i, ((x, _), t) in enumerate(zip(ours, theirs.timesteps, strict=True)):
        sigma = float(steps.sigmas[i])
        clean = ideal(sample.numpy() * np.sqrt(1 + sigma**2), sigma)
        eps = (sample.numpy() * np.sqrt(1 + sigma**2) - clean) / sigma
        sample = theirs.step(torch.from_numpy(eps.astype(np.float32)), t, sample).prev_sample
        expected = sample.numpy() * np.sqrt(1 + steps.sigmas[i + 1] ** 2)
        distance = np.abs(x - expected).max() / np.abs(expected).max()
        assert distance <= 1e-4
