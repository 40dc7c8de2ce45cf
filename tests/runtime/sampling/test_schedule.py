"""Schedules: from a number of steps to noise levels and timesteps that fall."""

import numpy as np
import pytest

from sdrt.errors import UsageError
from sdrt.manifest import Schedule, Spacing
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise, distilled_timesteps
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES, polyexponential

NOISE = TrainingNoise.from_schedule(Schedule())


def plan(count: int, scheduler: str) -> Steps:
    return SamplerSettings("dpm++2m", scheduler, "leading", 1).steps(NOISE, count)


def test_a_level_gives_back_its_own_timestep() -> None:
    noise = NOISE
    steps = SamplerSettings("euler", spacing="trailing").steps(noise, 20)
    timesteps = [steps.timestep(float(sigma)) for sigma in steps.sigmas[:-1]]
    assert timesteps == steps.timesteps.tolist()
    between = noise.timestep(float(np.sqrt(noise.sigmas[500] * noise.sigmas[501])))
    assert between == pytest.approx(500.5)


@pytest.mark.parametrize("count", [0, -3, 1001])
def test_an_impossible_number_of_steps_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 1 to 1000"):
        SamplerSettings("euler").steps(NOISE, count)


@pytest.mark.parametrize("scheduler", sorted(SIGMA_SCHEDULES))
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_levels_fall_and_have_timesteps_that_fall(scheduler: str, count: int) -> None:
    steps = plan(count, scheduler)
    assert len(steps) == count
    assert np.all(np.diff(steps.sigmas) < 0)
    assert np.all(np.diff(steps.timesteps) < 0)
    assert steps.sigmas[-1] == 0


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
    ramp = np.linspace(1, 0, 12) ** 2
    expected = np.exp(ramp * (np.log(14.6) - np.log(0.03)) + np.log(0.03))
    np.testing.assert_allclose(polyexponential(14.6, 0.03, 12, rho=2), expected)


def test_rho_is_an_option_of_the_schedulers_that_have_it() -> None:
    default, other = (
        SamplerSettings("euler", "karras", options=options).steps(NOISE, 10)
        for options in ({}, {"rho": 3})
    )
    np.testing.assert_allclose(default.sigmas[[0, -2]], other.sigmas[[0, -2]])
    assert np.all(default.sigmas[1:-2] < other.sigmas[1:-2])


@pytest.mark.parametrize("scheduler", ["karras", "exponential", "polyexponential", "beta"])
def test_sigma_min_is_the_level_that_the_last_step_begins_at(scheduler: str) -> None:
    steps = SamplerSettings("euler", scheduler, options={"sigma_min": 0.2}).steps(NOISE, 10)
    np.testing.assert_allclose(steps.sigmas[[0, -2, -1]], [NOISE.sigmas[-1], 0.2, 0])
    assert np.all(np.diff(steps.sigmas) < 0)


@pytest.mark.parametrize("level", [0.02, 15.0])
def test_sigma_min_lies_within_training(level: float) -> None:
    settings = SamplerSettings("euler", "karras", options={"sigma_min": level})
    with pytest.raises(UsageError, match=f"sigma_min is {level:g}; the model was trained on"):
        settings.steps(NOISE, 10)


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
