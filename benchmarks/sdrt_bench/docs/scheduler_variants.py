"""Schedulers of diffusers with the options that sdrt's samplers are compared under."""

import sys
import types
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

import diffusers

from sdrt.manifest import Prediction

_SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SPACINGS = ("leading", "trailing", "linspace")
_MULTI, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_LOW = {"final_sigmas_type": "sigma_min"}
_NOISE = {"algorithm_type": "dpmsolver", **_LOW}
_SDE_NOISE = {"algorithm_type": "sde-dpmsolver", **_LOW}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_SET = {"set_alpha_to_one": False}
_THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
# DDIM and PNDM step from t to t - 1000 // steps, whatever the next timestep is; and "linspace" ends
# at the lowest level itself, where a scheduler that ends there too makes its last step for nothing.
_WHOLE = ("leading", "trailing")
# Where Karras's levels go from the highest to the lowest of training, and not of the spaced ones.
_RANGE = ("linspace",)
# Without it the noise stays that of unclipped latents, and both no longer add up to the noisy ones.
_ALL = {"use_clipped_model_output": True}


@dataclass(frozen=True)
class SchedulerVariant:
    """A scheduler class of diffusers with options, and where it cannot be compared."""

    name: str
    """This is the sampler of sdrt, and its options."""
    cls: str
    options: Mapping[str, Any] = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    """The class refuses these kinds of prediction or, for PLMS, extrapolates them wrongly."""
    spacings: tuple[str, ...] = _SPACINGS
    """With these the class steps through the levels at which it calls the network."""
    step_arguments: Mapping[str, Any] = field(default_factory=dict)
    """diffusers takes these at every step, and not in the scheduler's configuration."""


VARIANTS = (
    SchedulerVariant("ddim", "DDIMScheduler", {**_SET, "clip_sample": False}, (), _WHOLE),
    SchedulerVariant(
        "ddim to zero, eta 0.5", "DDIMScheduler", {"clip_sample": False}, (), _WHOLE, {"eta": 0.5}
    ),
    SchedulerVariant(
        "ddim, clipped", "DDIMScheduler", {**_SET, "clip_sample_range": 0.7}, (), _WHOLE, _ALL
    ),
    SchedulerVariant(
        "ddim, thresholded", "DDIMScheduler", {**_SET, **_THRESHOLD}, (), _WHOLE, _ALL
    ),
    SchedulerVariant("ddpm", "DDPMScheduler", {"clip_sample": False}),
    SchedulerVariant(
        "plms", "PNDMScheduler", {"skip_prk_steps": True}, ("v_prediction", "sample"), _WHOLE
    ),
    SchedulerVariant("plms, runge_kutta", "PNDMScheduler", {}, ("v_prediction", "sample"), _WHOLE),
    SchedulerVariant("euler", "EulerDiscreteScheduler"),
    SchedulerVariant("euler to the lowest level", "EulerDiscreteScheduler", _LOW, spacings=_WHOLE),
    SchedulerVariant(
        "euler, karras", "EulerDiscreteScheduler", {"use_karras_sigmas": True}, (), _RANGE
    ),
    SchedulerVariant(
        "euler, beta", "EulerDiscreteScheduler", {"use_beta_sigmas": True}, (), _RANGE
    ),
    SchedulerVariant("euler_a", "EulerAncestralDiscreteScheduler", refuses=("sample",)),
    SchedulerVariant("heun", "HeunDiscreteScheduler"),
    SchedulerVariant("dpm2", "KDPM2DiscreteScheduler", refuses=("sample",)),
    SchedulerVariant("dpm2_a", "KDPM2AncestralDiscreteScheduler", refuses=("sample",)),
    SchedulerVariant("lms", "LMSDiscreteScheduler"),
    SchedulerVariant("dpm-solver, order 1", _MULTI, {**_NOISE, "solver_order": 1}),
    SchedulerVariant("dpm-solver", _MULTI, _NOISE),
    SchedulerVariant("dpm-solver, heun", _MULTI, {**_NOISE, "solver_type": "heun"}),
    SchedulerVariant("dpm-solver, sde", _MULTI, _SDE_NOISE),
    SchedulerVariant("dpm-solver, singlestep", _SINGLE, _NOISE, spacings=()),
    SchedulerVariant(
        "dpm-solver, singlestep, order 3", _SINGLE, {**_NOISE, "solver_order": 3}, spacings=()
    ),
    SchedulerVariant("dpm++2m", _MULTI),
    SchedulerVariant("dpm++2m, order 1", _MULTI, {"solver_order": 1}),
    SchedulerVariant("dpm++2m, heun", _MULTI, {"solver_type": "heun"}),
    SchedulerVariant(
        "dpm++2m, full order to the lowest level",
        _MULTI,
        {"lower_order_final": False, **_LOW},
    ),
    SchedulerVariant(
        "dpm++2m, euler_at_final",
        _MULTI,
        {"euler_at_final": True, **_LOW},
    ),
    SchedulerVariant("dpm++2m, zero terminal signal", _MULTI, {"rescale_betas_zero_snr": True}),
    SchedulerVariant("dpm++2m, karras", _MULTI, {"use_karras_sigmas": True}),
    SchedulerVariant("dpm++2m, exponential", _MULTI, {"use_exponential_sigmas": True}),
    SchedulerVariant("dpm++2m_sde", _MULTI, _SDE),
    SchedulerVariant("dpm++2m_sde, heun", _MULTI, {**_SDE, "solver_type": "heun"}),
    SchedulerVariant("dpm++2s", _SINGLE, spacings=()),
    SchedulerVariant("dpm++2s, order 3", _SINGLE, {"solver_order": 3}, spacings=()),
    SchedulerVariant(
        "dpm++2s, order 3, heun", _SINGLE, {"solver_order": 3, "solver_type": "heun"}, (), ()
    ),
    SchedulerVariant("dpm++sde", "DPMSolverSDEScheduler", refuses=("sample",)),
    SchedulerVariant("unipc", "UniPCMultistepScheduler"),
    SchedulerVariant("unipc, karras", "UniPCMultistepScheduler", {"use_karras_sigmas": True}),
    SchedulerVariant("unipc, bh1", "UniPCMultistepScheduler", {"solver_type": "bh1"}),
    SchedulerVariant("unipc, order 3", "UniPCMultistepScheduler", {"solver_order": 3}),
    SchedulerVariant(
        "unipc on noise",
        "UniPCMultistepScheduler",
        {"predict_x0": False, **_LOW},
    ),
    SchedulerVariant("deis", "DEISMultistepScheduler"),
    SchedulerVariant("deis, order 3", "DEISMultistepScheduler", {"solver_order": 3}),
    SchedulerVariant("lcm", "LCMScheduler", spacings=()),
    SchedulerVariant("tcd", "TCDScheduler", spacings=()),
)


def predictions(variant: SchedulerVariant) -> Iterator[Prediction]:
    """Give the kinds of prediction that the scheduler takes."""
    kinds: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")
    yield from (kind for kind in kinds if kind not in variant.refuses)


def make_scheduler(variant: SchedulerVariant, prediction: str, spacing: str | None) -> Any:
    """Make the scheduler of diffusers.

    It is a copy of one that is made once: DPM2's compute a thousand timesteps in being made.
    """
    options: dict[str, Any] = {**_SD, **variant.options, "prediction_type": prediction}
    if spacing:
        # The offset of Stable Diffusion; without it the last step of "leading" stays where it is.
        options |= {"timestep_spacing": spacing, "steps_offset": int(spacing == "leading")}
    return deepcopy(_made_once(variant.cls, tuple(options.items())))


@cache
def _made_once(cls: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return scheduler_class(cls)(**dict(options))


def scheduler_class(name: str) -> Any:
    """Give a class of diffusers; the one that imports torchsde gets its noise otherwise."""
    if name != "DPMSolverSDEScheduler":
        return getattr(diffusers, name)
    with patch.dict(sys.modules, {"torchsde": types.ModuleType("torchsde")}):
        module = import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    return sys.modules.setdefault(module.__name__, module).DPMSolverSDEScheduler
