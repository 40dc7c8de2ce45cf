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
from sdrt.foreign import read_json
from sdrt.manifest import Schedule, describe
from sdrt.recipe import Recipe, check_options
from sdrt.samplers import Option

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
    spacing: str = "linspace"
    betas: tuple[float, float, str] = _LINEAR
    ignored: tuple[str, ...] = ()
    """Keys that this class has no use for, though others have."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Values that sdrt knows how to take, of keys that it knows no others of."""


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
    if config.get("trained_betas") is not None:
        raise UnsupportedError(f"{_name(config)} lists its betas one by one (trained_betas)")
    start, end, curve = scheduler.betas
    get = _getter(config, scheduler)
    try:
        return Schedule(
            train_steps=config.get("num_train_timesteps", 1000),
            beta_start=config.get("beta_start", start),
            beta_end=config.get("beta_end", end),
            curve=config.get("beta_schedule", curve),
            zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
            spacing=get("timestep_spacing", scheduler.spacing),
            offset=get("steps_offset", 0),
        )
    except ValidationError as error:
        raise UnsupportedError(f"{_name(config)}: {describe(error)}") from error


def read_recipe(config: Config) -> Recipe:
    """How the scheduler samples; raises `UnsupportedError` for what sdrt does not do."""
    if not isinstance(config, Mapping):
        raise UsageError(f"scheduler_config is {config!r}; expected a scheduler's settings by name")
    scheduler = _find(config)
    schedule = read_schedule(config)
    for key, value in {**_REFUSED, **scheduler.fixed}.items():
        if key in config and config[key] != value:
            raise UnsupportedError(
                f"{_name(config)} has {key} = {config[key]!r}; sdrt does only {value!r}"
            )
    sampler, options = scheduler.choose(config)
    spacing = _spacing_of_levels(config)
    if config.get("clip_sample", _CLIPS.get(_name(config), False)):
        options["clip"] = config.get("clip_sample_range", 1.0)
    if config.get("thresholding"):
        options.pop("clip", None)
        options["thresholding"] = config.get("dynamic_thresholding_ratio", 0.995)
        options["thresholding_max"] = config.get("sample_max_value", 1.0)
    return Recipe(
        sampler, spacing, schedule.spacing, schedule.offset, check_options(sampler, options)
    )


def _find(config: Config) -> Scheduler:
    if _name(config) not in SCHEDULERS:
        raise UnsupportedError(
            f"{_name(config)!r} is no scheduler that sdrt knows; known: {', '.join(SCHEDULERS)}"
        )
    return SCHEDULERS[_name(config)]


def _name(config: Config) -> str:
    return str(config.get("_class_name", "a configuration without _class_name"))


def _getter(config: Config, scheduler: Scheduler) -> Callable[[str, Any], Any]:
    return lambda key, default: default if key in scheduler.ignored else config.get(key, default)


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


# Of any class, what sdrt knows only one value of.
_REFUSED: dict[str, object] = {
    "use_flow_sigmas": False,
    "use_dynamic_shifting": False,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "sigma_min": None,
    "sigma_max": None,
    "lambda_min_clipped": -math.inf,
    "disable_corrector": [],
    "solver_p": None,
}
_CLIPS = {"DDIMScheduler": True, "DDPMScheduler": True}
_UNSPACED = ("timestep_spacing", "steps_offset")

SCHEDULERS = {
    "DDIMScheduler": Scheduler(lambda c: ("ddim", _alpha(c, True)), "leading"),
    "DDPMScheduler": Scheduler(_just("ddpm"), "leading", fixed={"variance_type": "fixed_small"}),
    "PNDMScheduler": Scheduler(_plms, "leading"),
    "EulerDiscreteScheduler": Scheduler(lambda c: ("euler", _final(c))),
    "EulerAncestralDiscreteScheduler": Scheduler(_just("euler_a")),
    "HeunDiscreteScheduler": Scheduler(_just("heun"), betas=_FROM_SD),
    "KDPM2DiscreteScheduler": Scheduler(_just("dpm2"), betas=_FROM_SD),
    "KDPM2AncestralDiscreteScheduler": Scheduler(_just("dpm2_a"), betas=_FROM_SD),
    "LMSDiscreteScheduler": Scheduler(_just("lms")),
    "DPMSolverMultistepScheduler": Scheduler(_multistep),
    "DPMSolverSinglestepScheduler": Scheduler(_singlestep, ignored=_UNSPACED),
    "DPMSolverSDEScheduler": Scheduler(_just("dpm++sde"), betas=_FROM_SD),
    "UniPCMultistepScheduler": Scheduler(_unipc),
    "DEISMultistepScheduler": Scheduler(_deis),
    "LCMScheduler": Scheduler(_lcm, "leading", _SD, ignored=_UNSPACED),
    "TCDScheduler": Scheduler(_tcd, "leading", _SD, ignored=_UNSPACED),
}
