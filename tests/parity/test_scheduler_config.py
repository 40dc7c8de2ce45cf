"""A scheduler's configuration makes sdrt sample as that scheduler of diffusers does."""

import inspect
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from sdrt.sampling.schedule import TrainingNoise
from sdrt.sampling.scheduler_config import (
    DIFFUSERS_SCHEDULERS,
    read_sampler_settings,
    read_schedule,
)
from sdrt_bench.docs.sampler_parity import COUNTS, LIMIT, distance, measure, sdrt_path
from sdrt_bench.docs.scheduler_trace import NoiseLevels, ideal_denoiser, trace_scheduler
from sdrt_bench.docs.scheduler_variants import (
    VARIANTS,
    SchedulerVariant,
    make_scheduler,
    predictions,
    scheduler_class,
)

CASES = [(variant, spacing) for variant in VARIANTS for spacing in variant.spacings or (None,)]
NAMES = [f"{variant.name}-{spacing}" for variant, spacing in CASES]

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array_wrap__:DeprecationWarning",  # inside of diffusers
    "ignore:.*algorithm_type:FutureWarning",
)


def config_of(scheduler: Any) -> dict[str, Any]:
    return {**scheduler.config, "_class_name": type(scheduler).__name__}


@pytest.mark.parametrize(("variant", "spacing"), CASES, ids=NAMES)
def test_paths_equal_diffusers(variant: SchedulerVariant, spacing: str | None) -> None:
    errors = {
        (prediction, count): measure(variant, prediction, spacing, count)
        for prediction in predictions(variant)
        for count in COUNTS
    }
    assert {case: error for case, error in errors.items() if error > LIMIT} == {}


# Clipping and the boundary condition are the denoiser's, TCD's levels are told by time, and a level
# between two others is float32 in diffusers.
NOT_ARITHMETIC = ("clipped", "thresholded", "lcm", "tcd", "beta")


@pytest.mark.parametrize(
    "variant",
    [v for v in VARIANTS if not any(word in v.name for word in NOT_ARITHMETIC)],
    ids=lambda variant: variant.name,
)
def test_the_arithmetic_equals_diffusers_to_the_last_digits(variant: SchedulerVariant) -> None:
    spacing = variant.spacings[-1] if variant.spacings else None
    for count in COUNTS:
        scheduler = make_scheduler(variant, "epsilon", spacing)
        theirs = trace_scheduler(scheduler, count, "epsilon", variant.step_arguments)
        eta = variant.step_arguments.get("eta")
        path = sdrt_path(config_of(scheduler), theirs, "epsilon", eta, on_their_levels=True)
        # The Runge-Kutta start asks in the middle of steps, at levels that are float32 there.
        assert distance(theirs, path) <= (1e-5 if "runge" in variant.name else 1e-6)


ONE_CALL = [c for c in CASES if not c[0].name.startswith(("heun", "dpm2", "dpm++sde", "plms"))]


@pytest.mark.parametrize(("variant", "spacing"), ONE_CALL)
def test_the_network_is_told_the_same_timesteps(
    variant: SchedulerVariant, spacing: str | None
) -> None:
    scheduler = make_scheduler(variant, "epsilon", spacing)
    sampler_settings, schedule = (
        read_sampler_settings(config_of(scheduler)),
        read_schedule(config_of(scheduler)),
    )
    for count in COUNTS:
        scheduler.set_timesteps(count)
        steps = sampler_settings.steps(TrainingNoise.from_schedule(schedule), count)
        # diffusers cuts or rounds those of levels that lie between timesteps.
        limit = 1e-3 if sampler_settings.scheduler == "default" else 1.0
        np.testing.assert_allclose(steps.timesteps, scheduler.timesteps.numpy(), atol=limit)


@pytest.mark.parametrize("name", sorted(DIFFUSERS_SCHEDULERS))
def test_what_a_configuration_leaves_out_is_the_default_of_its_class(name: str) -> None:
    theirs = scheduler_class(name)()
    schedule = read_schedule({"_class_name": name})
    full = read_schedule(config_of(theirs))
    assert schedule == full
    assert read_sampler_settings({"_class_name": name}) == read_sampler_settings(config_of(theirs))
    alphas = theirs.alphas_cumprod.double().numpy()
    sigmas = TrainingNoise.from_schedule(schedule).sigmas
    np.testing.assert_allclose(sigmas, np.sqrt((1 - alphas) / alphas), rtol=2e-3)


FLOW = {"flow_shift", "time_shift_type", "shift_terminal"}  # of models that sdrt refuses
FIXED = {"timestep_spacing", "steps_offset", "set_alpha_to_one"}  # that its steps never read
PICTURES = {"clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio"}
UNREAD = {
    "DPMSolverSDEScheduler": {"noise_sampler_seed"},  # seeds are the run's
    "DEISMultistepScheduler": {"algorithm_type", "solver_type"},  # of which it has one each
    "LCMScheduler": FIXED,
    "TCDScheduler": FIXED | PICTURES | {"sample_max_value", "timestep_scaling"},
}


@pytest.mark.parametrize("name", sorted(DIFFUSERS_SCHEDULERS))
def test_each_key_of_a_class_is_read_or_known_to_change_nothing(name: str) -> None:
    theirs = set(inspect.signature(scheduler_class(name).__init__).parameters) - {"self"}
    read = set(DIFFUSERS_SCHEDULERS[name].read(dict.fromkeys(theirs | set(EVERYTHING))))
    assert read == theirs - FLOW - UNREAD.get(name, set())


EVERYTHING = {
    "use_karras_sigmas": True,
    "rescale_betas_zero_snr": True,
    "clip_sample": True,
    "thresholding": True,
    "timestep_spacing": "trailing",
    "steps_offset": 3,
    "sigma_max": 80.0,
    "use_flow_sigmas": True,
    "solver_p": "x",
}


@pytest.mark.parametrize("name", sorted(DIFFUSERS_SCHEDULERS))
def test_keys_of_other_classes_change_nothing(name: str) -> None:
    own = inspect.signature(scheduler_class(name).__init__).parameters
    config = {"_class_name": name}
    foreign = {key: value for key, value in EVERYTHING.items() if key not in own}
    assert read_sampler_settings({**config, **foreign}) == read_sampler_settings(config)
    assert read_schedule({**config, **foreign}) == read_schedule(config)


# Where sdrt leaves diffusers on purpose, and why it is right.


@pytest.mark.parametrize(
    "options",
    [
        # Half the weight of the second derivative; see the test with parabolas.
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        {},
        {"algorithm_type": "sde-dpmsolver++"},  # and here its constant has the wrong sign
    ],
)
def test_diffusers_weighs_the_second_derivative_of_multistep_methods_otherwise(
    options: dict[str, Any],
) -> None:
    variant = SchedulerVariant("", "DPMSolverMultistepScheduler", {**options, "solver_order": 3})
    assert measure(variant, "epsilon", "trailing", 20) > 1e-3
    assert measure(variant, "epsilon", "trailing", 2) <= LIMIT  # no second derivative yet


def test_plms_extrapolates_the_noise_whatever_is_predicted() -> None:
    """diffusers extrapolates v itself, whose meaning changes with the level of noise.

    The ideal denoiser is the same for every kind of prediction, and so must the path be.
    """
    plms = next(variant for variant in VARIANTS if variant.name == "plms")
    right = trace_scheduler(make_scheduler(plms, "epsilon", "trailing"), 20, "epsilon")
    other = trace_scheduler(make_scheduler(plms, "v_prediction", "trailing"), 20, "v_prediction")
    assert np.abs(right.latents[-1] - other.latents[-1]).max() > 1e-2
    config = config_of(make_scheduler(plms, "v_prediction", "trailing"))
    assert distance(right, sdrt_path(config, right, "v_prediction")) <= LIMIT


@pytest.mark.parametrize("name", ["ddim", "plms"])
def test_evenly_spaced_points_are_stepped_to(name: str) -> None:
    """DDIM and PNDM of diffusers step by 1000 // steps, past the next of 50 points in 0 .. 999.

    A step of DDIM with the ideal denoiser multiplies by a factor of the two levels alone.
    """
    variant = next(variant for variant in VARIANTS if variant.name == name)
    scheduler = make_scheduler(variant, "epsilon", "linspace")
    theirs = trace_scheduler(scheduler, 10, "epsilon")
    config = config_of(scheduler)
    path = sdrt_path(config, theirs, "epsilon")
    assert distance(theirs, path) > 1e-3
    if name == "ddim":
        steps = read_sampler_settings(config).steps(
            TrainingNoise.from_schedule(read_schedule(config)), 10
        )
        for i in range(1, 9):
            sigma, following = steps.sigmas[i : i + 2]
            clean = ideal_denoiser(path[i - 1], sigma)
            expected = clean + (path[i - 1] - clean) * (following / sigma)
            np.testing.assert_allclose(path[i], expected, rtol=1e-4)


def test_euler_starts_from_noise_of_the_variance_that_the_network_knows() -> None:
    """diffusers starts Euler at sigma * noise for two of three spacings.

    With leading spacing it takes sqrt(1 + sigma^2), as sdrt does for every sampler and spacing:
    then what the network is given has variance one, and all samplers start from the same latents.
    """
    starts = {}
    for spacing in ("leading", "trailing"):
        theirs = diffusers.EulerDiscreteScheduler(timestep_spacing=spacing)
        theirs.set_timesteps(10)
        level = NoiseLevels(theirs).sigmas[0]
        starts[spacing] = float(theirs.init_noise_sigma) / np.sqrt(1 + level**2)
    assert starts["leading"] == pytest.approx(1, abs=1e-6)
    assert starts["trailing"] < 1


def test_karras_levels_go_over_the_whole_range_of_training() -> None:
    """Their ends are those of Karras et al. 2022, eq. 5; in diffusers those of the spaced steps."""
    variant = SchedulerVariant("", "EulerDiscreteScheduler", {"use_karras_sigmas": True})
    scheduler = make_scheduler(variant, "epsilon", "leading")
    scheduler.set_timesteps(10)
    noise = TrainingNoise.from_schedule(read_schedule(config_of(scheduler)))
    steps = read_sampler_settings(config_of(scheduler)).steps(noise, 10)
    np.testing.assert_allclose(steps.sigmas[[0, -2]], noise.sigmas[[-1, 0]])
    spaced = noise.sigmas[[901, 1]]  # 10 steps of 100 from 1
    np.testing.assert_allclose(scheduler.sigmas[[0, -2]], spaced, rtol=1e-2)


def test_the_noise_is_that_of_the_clipped_latents() -> None:
    """Else clean latents and noise no longer add up to the noisy ones, and DDIM steps off."""
    variant = next(variant for variant in VARIANTS if variant.name == "ddim, clipped")
    untold = SchedulerVariant(variant.name, variant.cls, variant.options)
    assert measure(variant, "epsilon", "trailing", 10) <= LIMIT
    assert measure(untold, "epsilon", "trailing", 10) > 1e-2


def test_no_step_is_made_for_nothing() -> None:
    """Without an offset, DDIM of diffusers stays at the lowest level in its last step."""
    options = {"set_alpha_to_one": False, "clip_sample": False, "steps_offset": 0}
    scheduler = make_scheduler(SchedulerVariant("", "DDIMScheduler", options), "epsilon", None)
    scheduler.set_timesteps(10)
    last = scheduler.timesteps[-1]
    sample = torch.ones(1, 1, 2, 2)
    theirs = scheduler.step(torch.full_like(sample, 0.5), last, sample).prev_sample
    torch.testing.assert_close(theirs, sample)
    config = config_of(scheduler)
    steps = read_sampler_settings(config).steps(
        TrainingNoise.from_schedule(read_schedule(config)), 10
    )
    assert steps.timesteps[-1] == 0
    assert steps.sigmas[-1] == 0


def test_levels_between_two_timesteps_have_timesteps_of_their_own() -> None:
    """Cut to whole numbers the first two are the same, and diffusers begins with the second."""
    scheduler = make_scheduler(
        SchedulerVariant("", "DPMSolverMultistepScheduler", {"use_beta_sigmas": True}),
        "epsilon",
        None,
    )
    scheduler.set_timesteps(50)
    scheduler._init_step_index(scheduler.timesteps[0])
    assert scheduler.step_index == 1
    config = config_of(scheduler)
    steps = read_sampler_settings(config).steps(
        TrainingNoise.from_schedule(read_schedule(config)), 50
    )
    assert np.all(np.diff(steps.timesteps) < 0)
