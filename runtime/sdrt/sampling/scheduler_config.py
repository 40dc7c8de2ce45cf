"""diffusers' `scheduler_config.json`: the noise of training, and the sampler of its class.

A configuration may have keys that its class ignores, because they belong to other classes; sdrt
ignores the same ones. Settings that would change a picture, and that sdrt lacks, are refused.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.text_file import read_json
from sdrt.manifest import Schedule, explain_validation_error
from sdrt.sampling.sampler_settings import SamplerSettings, check_options
from sdrt.sampling.samplers.sampler import Option

Config = Mapping[str, Any]
Options = dict[str, Option]
SamplerChoice = tuple[str, Options]

_LINEAR = (0.0001, 0.02, "linear")
_FROM_SD = (0.00085, 0.012, "linear")
_SD = (0.00085, 0.012, "scaled_linear")


@dataclass(frozen=True)
class SchedulerClass:
    """A scheduler class of diffusers: its defaults, and the sampler that does the same."""

    choose: Callable[[Config], SamplerChoice]
    """Chooses the sampler and its options for a configuration."""
    keys: tuple[str, ...]
    """The keys that it reads besides those of training; it ignores all others."""
    spacing: str = "linspace"
    betas: tuple[float, float, str] = _LINEAR
    """The default of the first beta, the last beta, and the curve between them."""
    only: Mapping[str, object] = field(default_factory=dict)
    """Keys for which sdrt supports a single value, with that value."""

    def read(self, config: Config) -> Config:
        """The part of a configuration that this class reads."""
        keys = {"_class_name", *_TRAINING, *self.keys}
        return {key: value for key, value in config.items() if key in keys}


def read_config(path: Path) -> Config:
    """Read a file; raises `UsageError` for one that is no configuration."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; expected a scheduler_config.json of diffusers")
    config = read_json(path)
    if not isinstance(config, dict) or "_class_name" not in config:
        raise UsageError(f"{path} is no scheduler_config.json: no JSON object with a _class_name")
    return config


def read_schedule(config: Config) -> Schedule:
    """The noise of training, and the spacing of the steps in the class or its configuration."""
    scheduler = _scheduler_class(config)
    config = scheduler.read(config)
    if config.get("trained_betas") is not None:
        raise UnsupportedError(f"{_class_name(config)} lists its betas one by one (trained_betas)")
    start, end, curve = scheduler.betas
    try:
        return Schedule(
            train_steps=config.get("num_train_timesteps", 1000),
            beta_start=config.get("beta_start", start),
            beta_end=config.get("beta_end", end),
            curve=config.get("beta_schedule", curve),
            zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
            spacing=config.get("timestep_spacing", scheduler.spacing),
            offset=config.get("steps_offset", 0),
        )
    except ValidationError as error:
        raise UnsupportedError(
            f"{_class_name(config)}: {explain_validation_error(error)}"
        ) from error


def read_sampler_settings(config: Config) -> SamplerSettings:
    """The sampler and its options; raises `UnsupportedError` for settings that sdrt lacks."""
    if not isinstance(config, Mapping):
        raise UsageError(f"scheduler_config is {config!r}; expected a scheduler's settings by name")
    scheduler, schedule = _scheduler_class(config), read_schedule(config)
    config = scheduler.read(config)
    for key, value in {**_ONLY_VALUES, **scheduler.only}.items():
        if key in config and config[key] != value:
            raise UnsupportedError(
                f"{_class_name(config)} has {key} = {config[key]!r}; sdrt does only {value!r}"
            )
    sampler, options = scheduler.choose(config)
    if config.get("thresholding"):
        options["thresholding"] = config.get("dynamic_thresholding_ratio", 0.995)
        options["thresholding_max"] = config.get("sample_max_value", 1.0)
    elif config.get("clip_sample", _class_name(config) in _CLIPPING):
        options["clip"] = config.get("clip_sample_range", 1.0)
    return SamplerSettings(
        sampler,
        _sigma_schedule(config),
        schedule.spacing,
        schedule.offset,
        check_options(sampler, options),
    )


def check_training(config: Config, schedule: Schedule, prediction: str) -> None:
    """Raise `UsageError` where a configuration contradicts the training of a model.

    A key that it leaves out stands for the model's value, not for the default of its class.
    """
    trained = {
        "num_train_timesteps": schedule.train_steps,
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "beta_schedule": schedule.curve,
        "rescale_betas_zero_snr": schedule.zero_terminal_snr,
        "prediction_type": prediction,
    }
    given = _scheduler_class(config).read(config)
    for key, value in trained.items():
        if key in given and given[key] != value:
            raise UsageError(
                f"scheduler_config has {key} = {given[key]!r}, and the model was exported with "
                f"{value!r}; leave it out, or export the model again with that scheduler"
            )


def _scheduler_class(config: Config) -> SchedulerClass:
    if _class_name(config) not in DIFFUSERS_SCHEDULERS:
        raise UnsupportedError(
            f"{_class_name(config)!r} is no scheduler that sdrt knows; known: "
            f"{', '.join(DIFFUSERS_SCHEDULERS)}"
        )
    return DIFFUSERS_SCHEDULERS[_class_name(config)]


def _class_name(config: Config) -> str:
    return str(config.get("_class_name", "a configuration without _class_name"))


def _sigma_schedule(config: Config) -> str:
    keys = {
        "use_karras_sigmas": "karras",
        "use_exponential_sigmas": "exponential",
        "use_lu_lambdas": "exponential",  # Lu et al. space lambda = -log sigma evenly
        "use_beta_sigmas": "beta",
    }
    return next((name for key, name in keys.items() if config.get(key)), "default")


def _always(sampler: str) -> Callable[[Config], SamplerChoice]:
    return lambda config: (sampler, {})


def _final(config: Config) -> Options:
    return {"final": "min"} if config.get("final_sigmas_type") == "sigma_min" else {}


def _alpha(config: Config, default: bool) -> Options:
    return {"final": "zero" if config.get("set_alpha_to_one", default) else "min"}


def _plms(config: Config) -> SamplerChoice:
    runge_kutta = not config.get("skip_prk_steps", False)
    return "plms", {**_alpha(config, False), "runge_kutta": runge_kutta}


def _multistep(config: Config) -> SamplerChoice:
    algorithm, order = _algorithm(config), config.get("solver_order", 2)
    options = {
        **_final(config),
        "order": order,
        "solver_type": _known_value(config, "solver_type", "midpoint", ("heun",)),
        "lower_order_final": config.get("lower_order_final", True),
        "euler_at_final": config.get("euler_at_final", False),
    }
    if algorithm == "dpmsolver++":
        return "dpm++2m", options
    if algorithm == "sde-dpmsolver++":
        return ("dpm++3m_sde" if order == 3 else "dpm++2m_sde"), options
    return "dpm-solver", {**options, "sde": algorithm == "sde-dpmsolver"}


def _singlestep(config: Config) -> SamplerChoice:
    algorithm = _algorithm(config)
    options = {
        **_final(config),
        "order": config.get("solver_order", 2),
        "solver_type": _known_value(config, "solver_type", "midpoint", ("heun",)),
        "lower_order_final": config.get("lower_order_final", False),
    }
    if algorithm == "dpmsolver++":
        return "dpm++2s", options
    if algorithm == "dpmsolver":
        return "dpm-solver", {**options, "singlestep": True}
    raise UnsupportedError(
        f"{_class_name(config)} has algorithm_type = {algorithm!r}; sdrt adds noise only in the "
        "multistep form (DPMSolverMultistepScheduler)"
    )


def _algorithm(config: Config) -> str:
    return _known_value(
        config, "algorithm_type", "dpmsolver++", ("dpmsolver", "sde-dpmsolver", "sde-dpmsolver++")
    )


def _unipc(config: Config) -> SamplerChoice:
    return "unipc", {
        **_final(config),
        "order": config.get("solver_order", 2),
        "solver_type": _known_value(config, "solver_type", "bh2", ("bh1",)),
        "predict_x0": config.get("predict_x0", True),
        "lower_order_final": config.get("lower_order_final", True),
    }


def _deis(config: Config) -> SamplerChoice:
    return "deis", {
        "order": config.get("solver_order", 2),
        "lower_order_final": config.get("lower_order_final", True),
    }


def _known_value(config: Config, key: str, default: str, others: tuple[str, ...]) -> str:
    """The value of a key; like the class, it takes an unknown value for the default."""
    value = config.get(key, default)
    return value if value in others else default


def _lcm(config: Config) -> SamplerChoice:
    return "lcm", {
        "original_steps": config.get("original_inference_steps", 50),
        "timestep_scaling": float(config.get("timestep_scaling", 10.0)),
    }


def _tcd(config: Config) -> SamplerChoice:
    return "tcd", {"original_steps": config.get("original_inference_steps", 50)}


# Keys of any class for which sdrt supports a single value.
_ONLY_VALUES: dict[str, object] = {
    "use_flow_sigmas": False,
    "use_dynamic_shifting": False,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "sigma_min": None,
    "sigma_max": None,
    "lambda_min_clipped": -math.inf,
    "disable_corrector": [],
    "solver_p": None,
    "variance_type": None,
}
_CLIPPING = ("DDIMScheduler", "DDPMScheduler")  # classes that clip by default

_BETAS = ("beta_start", "beta_end", "beta_schedule", "trained_betas")
_TRAINING = ("num_train_timesteps", *_BETAS, "prediction_type")
_ZERO = ("rescale_betas_zero_snr",)
_SPACED = ("timestep_spacing", "steps_offset")
_CLIP = ("clip_sample", "clip_sample_range")
_THRESHOLD = ("thresholding", "dynamic_thresholding_ratio", "sample_max_value")
_LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_FLOW = ("use_flow_sigmas", "use_dynamic_shifting")
_BOUNDS = ("sigma_min", "sigma_max")
_TIMES = ("interpolation_type", "timestep_type")
_UNIFIED = ("predict_x0", "solver_type", "disable_corrector", "solver_p", "final_sigmas_type")
_ORDER = ("solver_order", "lower_order_final")
_ALGORITHM = ("algorithm_type", "solver_type", "lambda_min_clipped", "variance_type")
_DPM = (*_ORDER, *_THRESHOLD, *_LEVELS, *_FLOW, *_ALGORITHM, "final_sigmas_type")

DIFFUSERS_SCHEDULERS = {
    "DDIMScheduler": SchedulerClass(
        lambda config: ("ddim", _alpha(config, True)),
        (*_SPACED, *_ZERO, *_CLIP, *_THRESHOLD, "set_alpha_to_one"),
        "leading",
    ),
    "DDPMScheduler": SchedulerClass(
        _always("ddpm"),
        (*_SPACED, *_ZERO, *_CLIP, *_THRESHOLD, "variance_type"),
        "leading",
        only={"variance_type": "fixed_small"},
    ),
    "PNDMScheduler": SchedulerClass(
        _plms, (*_SPACED, "skip_prk_steps", "set_alpha_to_one"), "leading"
    ),
    "EulerDiscreteScheduler": SchedulerClass(
        lambda config: ("euler", _final(config)),
        (*_SPACED, *_ZERO, *_LEVELS, *_BOUNDS, *_TIMES, "final_sigmas_type"),
    ),
    "EulerAncestralDiscreteScheduler": SchedulerClass(_always("euler_a"), (*_SPACED, *_ZERO)),
    "HeunDiscreteScheduler": SchedulerClass(
        _always("heun"), (*_SPACED, *_LEVELS, *_CLIP), betas=_FROM_SD
    ),
    "KDPM2DiscreteScheduler": SchedulerClass(_always("dpm2"), (*_SPACED, *_LEVELS), betas=_FROM_SD),
    "KDPM2AncestralDiscreteScheduler": SchedulerClass(
        _always("dpm2_a"), (*_SPACED, *_LEVELS), betas=_FROM_SD
    ),
    "LMSDiscreteScheduler": SchedulerClass(_always("lms"), (*_SPACED, *_LEVELS)),
    "DPMSolverMultistepScheduler": SchedulerClass(
        _multistep, (*_DPM, *_SPACED, *_ZERO, "euler_at_final", "use_lu_lambdas")
    ),
    "DPMSolverSinglestepScheduler": SchedulerClass(_singlestep, _DPM),
    "DPMSolverSDEScheduler": SchedulerClass(
        _always("dpm++sde"), (*_SPACED, *_LEVELS), betas=_FROM_SD
    ),
    "UniPCMultistepScheduler": SchedulerClass(
        _unipc,
        (*_SPACED, *_ZERO, *_ORDER, *_THRESHOLD, *_LEVELS, *_FLOW, *_BOUNDS, *_UNIFIED),
    ),
    "DEISMultistepScheduler": SchedulerClass(
        _deis, (*_SPACED, *_ORDER, *_THRESHOLD, *_LEVELS, *_FLOW)
    ),
    "LCMScheduler": SchedulerClass(
        _lcm,
        (*_ZERO, *_CLIP, *_THRESHOLD, "original_inference_steps", "timestep_scaling"),
        "leading",
        _SD,
    ),
    "TCDScheduler": SchedulerClass(_tcd, (*_ZERO, "original_inference_steps"), "leading", _SD),
}
