"""Noise levels and timesteps are those of diffusers' schedulers."""

import diffusers
import numpy as np
import pytest

from sdrt.manifest import Curve, Schedule, Spacing
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise, spaced_timesteps


def plan(count: int, scheduler: str) -> Steps:
    settings = SamplerSettings("dpm++2m", scheduler, "leading", 1)
    return settings.steps(TrainingNoise.from_schedule(Schedule()), count)


@pytest.mark.parametrize("curve", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_training_noise_equals_diffusers(curve: Curve) -> None:
    theirs = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=curve)
    alphas = theirs.alphas_cumprod.double().numpy()
    ours = TrainingNoise.from_schedule(Schedule(curve=curve))
    # Theirs are float32, where 1 - alpha has three digits left at the first timesteps.
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=1e-3)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("count", [1, 4, 7, 20, 50, 1000])
@pytest.mark.parametrize("offset", [0, 1])
def test_steps_are_spaced_as_in_diffusers(spacing: Spacing, count: int, offset: int) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    theirs.set_timesteps(count)
    expected = theirs.timesteps.numpy()
    # 1000 steps with an offset make diffusers ask for timestep 1000, which training did not have.
    expected = expected - max(0, expected.max() - 999)
    np.testing.assert_array_equal(spaced_timesteps(1000, count, spacing, offset), expected)


@pytest.mark.parametrize("count", [2, 4, 10, 20, 50])
@pytest.mark.parametrize("scheduler", ["karras", "exponential", "beta"])
def test_levels_are_spaced_as_in_diffusers(scheduler: str, count: int) -> None:
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        **{f"use_{scheduler}_sigmas": True},
    )
    theirs.set_timesteps(count)
    ours = plan(count, scheduler)
    # Their lowest level of training has three digits, see above.
    np.testing.assert_allclose(ours.sigmas, theirs.sigmas, rtol=1e-3, atol=1e-4)
    assert (
        np.abs(ours.timesteps - theirs.timesteps.numpy()).max() <= 1
    )  # theirs are cut to whole ones


@pytest.mark.parametrize("scheduler", ["ays", "ays-sdxl"])
def test_align_your_steps_has_the_published_timesteps(scheduler: str) -> None:
    """The authors list timesteps and levels; each is found from the other within rounding."""
    key = {"ays": "StableDiffusion", "ays-sdxl": "StableDiffusionXL"}[scheduler]
    table = diffusers.schedulers.AysSchedules
    steps = plan(10, scheduler)
    np.testing.assert_allclose(steps.sigmas[:-1], table[f"{key}Sigmas"][:-1], rtol=1e-6)
    np.testing.assert_allclose(steps.timesteps, table[f"{key}Timesteps"], atol=3)
    more = plan(20, scheduler)
    np.testing.assert_allclose(more.sigmas[:-1:2], steps.sigmas[:-1])


def test_zero_terminal_snr_equals_diffusers() -> None:
    theirs = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=True,
    )
    alphas = theirs.alphas_cumprod.double().numpy()
    ours = TrainingNoise.from_schedule(Schedule(zero_terminal_snr=True))
    assert ours.sigmas[-1] == pytest.approx(4096, rel=1e-6)
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=2e-3)
