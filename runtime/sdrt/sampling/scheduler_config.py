"""diffusers' `scheduler_config.json`: the noise of training, and how its scheduler samples.

A configuration may hold keys of other classes than its own, which that class ignores; so does sdrt.
What would change a picture and is not here is refused.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.json_file import read_json
from sdrt.manifest import Schedule, explain_validation_error
from sdrt.sampling.sampler_settings import SamplerSettings, check_options
from sdrt.sampling.samplers.sampler import Option

Config = Mapping[str, Any]
Options = dict[str, Option]
Chosen = tuple[str, Options]

_LINEAR = (0.0001, 0.02, "linear")
_FROM_SD = (0.00085, 0.012, "linear")
_SD = (0.00085, 0.012, "scaled_linear")


@dataclass(frozen=True)
class Scheduler:
    """A scheduler class of diffusers: our sampler for it, and its defaults."""

    choose: Callable[[Config], Chosen]
    keys: tuple[str, ...]
    """What it reads beside the noise of training; everything else it ignores."""
    spacing: str = "linspace"
    betas: tuple[float, float, str] = _LINEAR
    only: Mapping[str, object] = field(default_factory=dict)
    """Values of some keys, of which sdrt knows no others."""

    def read(self, config: Config) -> Config:
        """What of a configuration this class reads."""
        read = {"_class_name", *_TRAINING, *self.keys}
        return {key: value for key, value in config.items() if key in read}


def read_config(path: Path) -> Config:
    """Read a file; raises `UsageError` for what is no configuration."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; expected a scheduler_config.json of diffusers")
    found = read_json(path)
    if not isinstance(found, dict) or "_class_name" not in found:
        raise UsageError(f"{path} is no scheduler_config.json: no JSON object with a _class_name")
    return found


def read_schedule(config: Config) -> Schedule:
    """The noise of training, and the class's own spacing of the steps."""
    scheduler = _find(config)
    config = scheduler.read(config)
    if config.get("trained_betas") is not None:
        raise UnsupportedError(f"{_name(config)} lists its betas one by one (trained_betas)")
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
        raise UnsupportedError(f"{_name(config)}: {explain_validation_error(error)}") from error


def read_sampler_settings(config: Config) -> SamplerSettings:
    """How the scheduler samples; raises `UnsupportedError` for what sdrt does not do."""
    if not isinstance(config, Mapping):
        raise UsageError(f"scheduler_config is {config!r}; expected a scheduler's settings by name")
    scheduler, schedule = _find(config), read_schedule(config)
    config = scheduler.read(config)
    for key, value in {**_ONLY, **scheduler.only}.items():
        if key in config and config[key] != value:
            raise UnsupportedError(
                f"{_name(config)} has {key} = {config[key]!r}; sdrt does only {value!r}"
            )
    sampler, options = scheduler.choose(config)
    if config.get("thresholding"):
        options["thresholding"] = config.get("dynamic_thresholding_ratio", 0.995)
        options["thresholding_max"] = config.get("sample_max_value", 1.0)
    elif config.get("clip_sample", _name(config) in _CLIPPING):
        options["clip"] = config.get("clip_sample_range", 1.0)
    return SamplerSettings(
        sampler,
        _spacing_of_levels(config),
        schedule.spacing,
        schedule.offset,
        check_options(sampler, options),
    )


def check_training(config: Config, schedule: Schedule, prediction: str) -> None:
    """Raise `UsageError` where a configuration contradicts what a model was trained on.

    What it leaves out is the model's, and not the default of its class.
    """
    trained = {
        "num_train_timesteps": schedule.train_steps,
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "beta_schedule": schedule.curve,
        "rescale_betas_zero_snr": schedule.zero_terminal_snr,
        "prediction_type": prediction,
    }
    given = _find(config).read(config)
    for key, value in trained.items():
        if key in given and given[key] != value:
            raise UsageError(
                f"scheduler_config has {key} = {given[key]!r}, and the model was exported with "
                f"{value!r}; leave it out, or export the model again with that scheduler"
            )


def _find(config: Config) -> Scheduler:
    if _name(config) not in SCHEDULERS:
        raise UnsupportedError(
            f"{_name(config)!r} is no scheduler that sdrt knows; known: {', '.join(SCHEDULERS)}"
        )
    return SCHEDULERS[_name(config)]


def _name(config: Config) -> str:
    return str(config.get("_class_name", "a configuration without _class_name"))


def _spacing_of_levels(config: Config) -> str:
    keys = {
        "use_karras_sigmas": "karras",
        "use_exponential_sigmas": "exponential",
        "use_lu_lambdas": "exponential",  # Lu et al. space lambda = -log sigma evenly
        "use_beta_sigmas": "beta",
    }
    return next((name for key, name in keys.items() if config.get(key)), "default")


def _just(sampler: str) -> Callable[[Config], Chosen]:
    return lambda config: (sampler, {})


def _final(config: Config) -> Options:
    return {"final": "min"} if config.get("final_sigmas_type") == "sigma_min" else {}


def _alpha(config: Config, default: bool) -> Options:
    return {"final": "zero" if config.get("set_alpha_to_one", default) else "min"}


def _plms(config: Config) -> Chosen:
    runge_kutta = not config.get("skip_prk_steps", False)
    return "plms", {**_alpha(config, False), "runge_kutta": runge_kutta}


def _multistep(config: Config) -> Chosen:
    algorithm, order = _algorithm(config), config.get("solver_order", 2)
    options = {
        **_final(config),
        "order": order,
        "solver_type": _one_of(config, "solver_type", "midpoint", ("heun",)),
        "lower_order_final": config.get("lower_order_final", True),
        "euler_at_final": config.get("euler_at_final", False),
    }
    if algorithm == "dpmsolver++":
        return "dpm++2m", options
    if algorithm == "sde-dpmsolver++":
        return ("dpm++3m_sde" if order == 3 else "dpm++2m_sde"), options
    return "dpm-solver", {**options, "sde": algorithm == "sde-dpmsolver"}


def _singlestep(config: Config) -> Chosen:
    algorithm = _algorithm(config)
    options = {
        **_final(config),
        "order": config.get("solver_order", 2),
        "solver_type": _one_of(config, "solver_type", "midpoint", ("heun",)),
        "lower_order_final": config.get("lower_order_final", False),
    }
    if algorithm == "dpmsolver++":
        return "dpm++2s", options
    if algorithm == "dpmsolver":
        return "dpm-solver", {**options, "singlestep": True}
    raise UnsupportedError(
        f"{_name(config)} has algorithm_type = {algorithm!r}; sdrt adds noise only in the "
        "multistep form (DPMSolverMultistepScheduler)"
    )


def _algorithm(config: Config) -> str:
    return _one_of(
        config, "algorithm_type", "dpmsolver++", ("dpmsolver", "sde-dpmsolver", "sde-dpmsolver++")
    )


def _unipc(config: Config) -> Chosen:
    return "unipc", {
        **_final(config),
        "order": config.get("solver_order", 2),
        "solver_type": _one_of(config, "solver_type", "bh2", ("bh1",)),
        "predict_x0": config.get("predict_x0", True),
        "lower_order_final": config.get("lower_order_final", True),
    }


def _deis(config: Config) -> Chosen:
    return "deis", {
        "order": config.get("solver_order", 2),
        "lower_order_final": config.get("lower_order_final", True),
    }


def _one_of(config: Config, key: str, default: str, others: tuple[str, ...]) -> str:
    """A value that the class knows; what it does not know, it takes for its default."""
    found = config.get(key, default)
    return found if found in others else default


def _lcm(config: Config) -> Chosen:
    return "lcm", {
        "original_steps": config.get("original_inference_steps", 50),
        "timestep_scaling": float(config.get("timestep_scaling", 10.0)),
    }


def _tcd(config: Config) -> Chosen:
    return "tcd", {"original_steps": config.get("original_inference_steps", 50)}


# Of any class that reads them, what sdrt knows only one value of.
_ONLY: dict[str, object] = {
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
_CLIPPING = ("DDIMScheduler", "DDPMScheduler")  # unless told not to

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

SCHEDULERS = {
    "DDIMScheduler": Scheduler(
        lambda config: ("ddim", _alpha(config, True)),
        (*_SPACED, *_ZERO, *_CLIP, *_THRESHOLD, "set_alpha_to_one"),
        "leading",
    ),
    "DDPMScheduler": Scheduler(
        _just("ddpm"),
        (*_SPACED, *_ZERO, *_CLIP, *_THRESHOLD, "variance_type"),
        "leading",
        only={"variance_type": "fixed_small"},
    ),
    "PNDMScheduler": Scheduler(_plms, (*_SPACED, "skip_prk_steps", "set_alpha_to_one"), "leading"),
    "EulerDiscreteScheduler": Scheduler(
        lambda config: ("euler", _final(config)),
        (*_SPACED, *_ZERO, *_LEVELS, *_BOUNDS, *_TIMES, "final_sigmas_type"),
    ),
    "EulerAncestralDiscreteScheduler": Scheduler(_just("euler_a"), (*_SPACED, *_ZERO)),
    "HeunDiscreteScheduler": Scheduler(_just("heun"), (*_SPACED, *_LEVELS, *_CLIP), betas=_FROM_SD),
    "KDPM2DiscreteScheduler": Scheduler(_just("dpm2"), (*_SPACED, *_LEVELS), betas=_FROM_SD),
    "KDPM2AncestralDiscreteScheduler": Scheduler(
        _just("dpm2_a"), (*_SPACED, *_LEVELS), betas=_FROM_SD
    ),
    "LMSDiscreteScheduler": Scheduler(_just("lms"), (*_SPACED, *_LEVELS)),
    "DPMSolverMultistepScheduler": Scheduler(
        _multistep, (*_DPM, *_SPACED, *_ZERO, "euler_at_final", "use_lu_lambdas")
    ),
    "DPMSolverSinglestepScheduler": Scheduler(_singlestep, _DPM),
    "DPMSolverSDEScheduler": Scheduler(_just("dpm++sde"), (*_SPACED, *_LEVELS), betas=_FROM_SD),
    "UniPCMultistepScheduler": Scheduler(
        _unipc,
        (*_SPACED, *_ZERO, *_ORDER, *_THRESHOLD, *_LEVELS, *_FLOW, *_BOUNDS, *_UNIFIED),
    ),
    "DEISMultistepScheduler": Scheduler(_deis, (*_SPACED, *_ORDER, *_THRESHOLD, *_LEVELS, *_FLOW)),
    "LCMScheduler": Scheduler(
        _lcm,
        (*_ZERO, *_CLIP, *_THRESHOLD, "original_inference_steps", "timestep_scaling"),
        "leading",
        _SD,
    ),
    "TCDScheduler": Scheduler(_tcd, (*_ZERO, "original_inference_steps"), "leading", _SD),
}
