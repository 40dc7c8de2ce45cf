"""Noise levels are those of diffusers; timesteps are spaced as its DDIM scheduler spaces them."""

import diffusers
import numpy as np
import pytest
import torch

from sdrt.errors import UsageError
from sdrt.manifest import Curve, Schedule, Spacing
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise, distilled_timesteps, spaced_timesteps
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES, polyexponential


@pytest.mark.parametrize("curve", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_training_noise_equals_diffusers(curve: Curve) -> None:
    theirs = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=curve)
    alphas = theirs.alphas_cumprod.double().numpy()
    ours = TrainingNoise.from_schedule(Schedule(curve=curve))
    # Theirs are float32, where 1 - alpha has three digits left at the first timesteps.
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=1e-3)


NOISE = TrainingNoise.from_schedule(Schedule())


def plan(count: int, scheduler: str) -> Steps:
    return SamplerSettings("dpm++2m", scheduler, "leading", 1).steps(NOISE, count)


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


def test_a_level_gives_back_its_own_timestep() -> None:
    noise = NOISE
    steps = SamplerSettings("euler", spacing="trailing").steps(noise, 20)
    found = [steps.timestep(float(sigma)) for sigma in steps.sigmas[:-1]]
    assert found == steps.timesteps.tolist()
    between = noise.timestep(float(np.sqrt(noise.sigmas[500] * noise.sigmas[501])))
    assert between == pytest.approx(500.5)


@pytest.mark.parametrize("count", [0, -3, 1001])
def test_an_impossible_number_of_steps_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 1 to 1000"):
        SamplerSettings("euler").steps(NOISE, count)


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


@pytest.mark.parametrize("scheduler", sorted(SIGMA_SCHEDULES))
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_levels_fall_and_have_timesteps_that_fall(scheduler: str, count: int) -> None:
    steps = plan(count, scheduler)
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
    ours = TrainingNoise.from_schedule(Schedule(zero_terminal_snr=True))
    assert ours.sigmas[-1] == pytest.approx(4096, rel=1e-6)
    np.testing.assert_allclose(ours.sigmas, np.sqrt((1 - alphas) / alphas), rtol=2e-3)


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpm++2m", "deis", "plms"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 7, 500, 999, 1000])
def test_no_level_stands_twice(sampler: str, spacing: Spacing, offset: int, count: int) -> None:
    steps = SamplerSettings(sampler, "default", spacing, offset).steps(NOISE, count)
    assert len(steps) == count
    assert np.all(np.diff(steps.sigmas) < 0)


def test_models_distilled_on_50_timesteps_are_asked_at_those() -> None:
    assert distilled_timesteps(1000, 4, 50).tolist() == [999, 759, 499, 259]
    assert set(distilled_timesteps(1000, 50, 50)) == set(range(19, 1000, 20))
    with pytest.raises(UsageError, match="distilled on 50 takes from 1 to 50"):
        distilled_timesteps(1000, 51, 50)


def test_polyexponential_levels_are_exponential_but_for_their_power() -> None:
    """k-diffusion's formula, with its default power and another one."""
    same = polyexponential(14.6, 0.03, 12)
    np.testing.assert_allclose(same, SIGMA_SCHEDULES["exponential"](14.6, 0.03, 12))
    ramp = torch.linspace(1, 0, 12, dtype=torch.float64) ** 2
    expected = torch.exp(ramp * (np.log(14.6) - np.log(0.03)) + np.log(0.03))
    np.testing.assert_allclose(polyexponential(14.6, 0.03, 12, rho=2), expected)


def test_rho_is_an_option_of_the_schedulers_that_have_it() -> None:
    default, other = (
        SamplerSettings("euler", "karras", options=options).steps(NOISE, 10)
        for options in ({}, {"rho": 3})
    )
    np.testing.assert_allclose(default.sigmas[[0, -2]], other.sigmas[[0, -2]])
    assert np.all(default.sigmas[1:-2] < other.sigmas[1:-2])


def test_the_last_level_is_the_samplers_or_the_one_asked_for() -> None:
    lowest = NOISE.sigmas[0]
    for sampler, final in (("euler", 0), ("ddim", lowest)):
        assert SamplerSettings(sampler, spacing="trailing").steps(NOISE, 5).sigmas[-1] == final
    for option, final in (("zero", 0), ("min", lowest)):
        for sampler in ("euler", "ddim"):
            sampler_settings = SamplerSettings(
                sampler, spacing="trailing", options={"final": option}
            )
            assert sampler_settings.steps(NOISE, 5).sigmas[-1] == final


def test_runge_kutta_takes_four_steps() -> None:
    sampler_settings = SamplerSettings("plms", options={"runge_kutta": True})
    assert len(sampler_settings.steps(NOISE, 4)) == 4
    with pytest.raises(UsageError, match="plms with runge_kutta takes at least 4"):
        sampler_settings.steps(NOISE, 3)
