"""Which configurations of schedulers are read, and which are refused."""

from typing import Any

import pytest

from sdrt.errors import UnsupportedError, UsageError
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.scheduler_config import (
    read_sampler_settings,
)


def test_stable_diffusion_1_5_says_plms() -> None:
    """The configuration that its repository has, with keys of other classes."""
    config = {
        "_class_name": "PNDMScheduler",
        "_diffusers_version": "0.6.0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
        "clip_sample": False,
    }
    expected = SamplerSettings(
        "plms", "default", "leading", 1, {"final": "min", "runge_kutta": False}
    )
    assert read_sampler_settings(config) == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "no scheduler that sdrt knows"),
        ({}, "without _class_name"),
        ({"trained_betas": [0.1]}, "trained_betas"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas = True; sdrt does only False"),
        ({"beta_schedule": "sigmoid"}, "curve"),
        ({"timestep_spacing": "random"}, "spacing"),
        ({"_class_name": "UniPCMultistepScheduler", "sigma_max": 80.0}, "sigma_max"),
    ],
)
def test_what_sdrt_does_not_do_is_refused(config: dict[str, Any], message: str) -> None:
    if config and "_class_name" not in config:
        config = {"_class_name": "DPMSolverMultistepScheduler", **config}
    with pytest.raises(UnsupportedError, match=message):
        read_sampler_settings(config)


def test_a_noisy_singlestep_solver_is_refused() -> None:
    config = {"_class_name": "DPMSolverSinglestepScheduler", "algorithm_type": "sde-dpmsolver++"}
    with pytest.raises(UnsupportedError, match="DPMSolverMultistepScheduler"):
        read_sampler_settings(config)


@pytest.mark.parametrize("config", ["DDIMScheduler", None, 3])
def test_a_configuration_is_settings_by_name(config: Any) -> None:
    with pytest.raises(UsageError, match="expected a scheduler's settings by name"):
        read_sampler_settings(config)


@pytest.mark.parametrize("order", [0, 4, "two"])
def test_impossible_orders_are_refused(order: Any) -> None:
    with pytest.raises(UsageError, match="order"):
        read_sampler_settings({"_class_name": "DEISMultistepScheduler", "solver_order": order})
