"""Noise levels are those of diffusers; steps are spaced as its DDIM scheduler spaces them."""

import diffusers
import numpy as np
import pytest

from sdrt.errors import UsageError
from sdrt.manifest import Curve, Schedule, Spacing
from sdrt.schedule import SCHEDULERS, TrainingNoise, plan_steps, spaced


@pytest.mark.parametrize("curve", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_training_noise_equals_diffusers(curve: Curve) -> None:
    theirs = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=curve)
    alphas = theirs.alphas_cumprod.double().numpy()
    ours = TrainingNoise.of(Schedule(curve=curve))
    # Theirs are float32, where 1 - alpha has three digits left at the first timesteps.
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=1e-3)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("count", [1, 4, 7, 20, 50, 1000])
@pytest.mark.parametrize("offset", [0, 1])
def test_steps_are_spaced_as_in_diffusers(spacing: Spacing, count: int, offset: int) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    theirs.set_timesteps(count)
    # 1000 steps with an offset make diffusers ask for timestep 1000, which training did not have.
    expected = theirs.timesteps.numpy().clip(max=999)
    np.testing.assert_array_equal(spaced(1000, count, spacing, offset), expected)


def test_a_level_gives_back_its_own_timestep() -> None:
    noise = TrainingNoise.of(Schedule())
    steps = plan_steps(noise, 20, "trailing", 0)
    found = [steps.timestep(float(sigma)) for sigma in steps.sigmas[:-1]]
    assert found == steps.timesteps.tolist()
    between = noise.timestep(float(np.sqrt(noise.sigmas[500] * noise.sigmas[501])))
    assert between == pytest.approx(500.5)


@pytest.mark.parametrize("count", [0, -3, 1001])
def test_an_impossible_number_of_steps_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 1 to 1000"):
        plan_steps(TrainingNoise.of(Schedule()), count, "leading", 0)


@pytest.mark.parametrize("count", [2, 4, 10, 20, 50])
@pytest.mark.parametrize("scheduler", ["karras", "exponential", "beta"])
def test_levels_are_spaced_as_in_diffusers(scheduler: str, count: int) -> None:
    noise = TrainingNoise.of(Schedule())
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        **{f"use_{scheduler}_sigmas": True},
    )
    theirs.set_timesteps(count)
    ours = plan_steps(noise, count, "leading", 1, scheduler=scheduler)
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
    steps = plan_steps(TrainingNoise.of(Schedule()), 10, "leading", 1, scheduler=scheduler)
    np.testing.assert_allclose(steps.sigmas[:-1], table[f"{key}Sigmas"][:-1], rtol=1e-6)
    np.testing.assert_allclose(steps.timesteps, table[f"{key}Timesteps"], atol=3)
    more = plan_steps(TrainingNoise.of(Schedule()), 20, "leading", 1, scheduler=scheduler)
    np.testing.assert_allclose(more.sigmas[:-1:2], steps.sigmas[:-1])


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_levels_fall_and_have_timesteps_that_fall(scheduler: str, count: int) -> None:
    steps = plan_steps(TrainingNoise.of(Schedule()), count, "leading", 1, scheduler=scheduler)
    assert len(steps) == count
    assert np.all(np.diff(steps.sigmas) < 0)
    assert np.all(np.diff(steps.timesteps) < 0)
    assert steps.sigmas[-1] == 0


def test_zero_terminal_snr_equals_diffusers() -> None:
    theirs = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=True,
    )
    alphas = theirs.alphas_cumprod.double().numpy()
    ours = TrainingNoise.of(Schedule(zero_terminal_snr=True))
    assert ours.sigmas[-1] == pytest.approx(4096, rel=1e-6)
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=2e-3)
