"""A sampler with its options and noise levels: everything that leads from noise to latents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdrt import validation
from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.manifest import Spacing
from sdrt.sampling.guidance import Clipping
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.samplers.sampler import (
    SHARE,
    Allowed,
    Choice,
    Denoise,
    Draw,
    NumberRange,
    Option,
    Trajectory,
)
from sdrt.sampling.schedule import Steps, TrainingNoise, distilled_timesteps, spaced_timesteps
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES, WITH_RHO, WITH_SIGMA_MIN

Options = Mapping[str, Option]

COMMON_OPTIONS: dict[str, Allowed] = {
    "final": Choice(("zero", "min")),  # the last level: zero, or the lowest of training
    "rho": NumberRange(0.1, 100.0),  # of the schedulers karras and polyexponential
    "sigma_min": NumberRange(
        0.001, 10.0
    ),  # of schedulers without a table: the level before the last
    "clip": NumberRange(0.0, 1e6),  # largest magnitude of clean latents; 0: no limit
    "thresholding": SHARE,  # share of the clean latents to keep unclipped; 0: all
    "thresholding_max": NumberRange(1.0, 1e6),  # largest magnitude that thresholding leaves
}
"""Options of every sampler; each has more of its own (`Sampler.options`)."""
SCHEDULE_OPTIONS = {"final", "rho", "sigma_min", "original_steps"}
"""Options that decide the noise levels."""
DENOISER_OPTIONS = {"clip", "thresholding", "thresholding_max", "timestep_scaling"}
"""Options of the denoiser, which the sampler does not see."""
RUNGE_KUTTA_STEPS = 4


@dataclass(frozen=True)
class SamplerSettings:
    """A sampler, its options, and everything that decides its noise levels."""

    sampler: str
    """A name in `SAMPLERS`."""
    scheduler: str = "default"
    """A name in `SIGMA_SCHEDULES`, or "default" for evenly spaced timesteps."""
    spacing: Spacing = "leading"
    """The spacing of these timesteps."""
    offset: int = 0
    """The offset of these timesteps, with the spacing "leading"."""
    options: Options = field(default_factory=dict)

    @property
    def is_distilled(self) -> bool:
        """Whether its timesteps are those that a model was distilled on."""
        return self.scheduler == "default" and SAMPLERS[self.sampler].grid == "distilled"

    def steps(self, noise: TrainingNoise, count: int, share: float = 1.0) -> Steps:
        """The noise levels of a run; raises `UsageError` for an impossible count.

        With a distilled model they all lie in the lowest `share` of its timesteps.
        """
        validation.whole("steps", count, 1, noise.steps)
        if self.options.get("runge_kutta") and count < RUNGE_KUTTA_STEPS:
            raise UsageError(
                f"steps is {count}; {self.sampler} with runge_kutta takes at least "
                f"{RUNGE_KUTTA_STEPS}"
            )
        last = self._last(noise)
        if self.scheduler != "default":
            rho = {"rho": self.options["rho"]} if self.has_rho else {}
            schedule = SIGMA_SCHEDULES[self.scheduler]
            levels = schedule(float(noise.sigmas[-1]), self._lowest_level(noise), count, **rho)
            return Steps.at_levels(noise, levels, 0.0 if last >= levels[-1] else last)
        if self.is_distilled:
            original = int(self.options.get("original_steps", 50))
            timesteps = distilled_timesteps(noise.steps, count, original, share)
        else:
            grid = SAMPLERS[self.sampler].grid
            timesteps = spaced_timesteps(noise.steps, count, self.spacing, self.offset, grid)
        steps = Steps.at_timesteps(noise, timesteps, last)
        # After the lowest level of training, only zero is left.
        return steps if last < steps.sigmas[-2] else Steps.at_timesteps(noise, timesteps)

    def trajectory(self, denoise: Denoise, x: Latents, steps: Steps, draw: Draw) -> Trajectory:
        """Go from `x`, noisy latents at the first level, through all levels."""
        sampler = SAMPLERS[self.sampler]
        options: dict[str, Any] = {
            name: value
            for name, value in self.options.items()
            if name in sampler.options and name not in SCHEDULE_OPTIONS | DENOISER_OPTIONS
        }
        if sampler.uses_time:
            options["between"] = steps.between
        return sampler.method(denoise, x, [float(sigma) for sigma in steps.sigmas], draw, **options)

    @property
    def clipping(self) -> Clipping:
        """The clipping of clean latents that its options ask for."""
        get = self.options.get
        return Clipping(
            limit=float(get("clip", 0.0)),
            share=float(get("thresholding", 0.0)),
            most=float(get("thresholding_max", 1.0)),
        )

    @property
    def timestep_scaling(self) -> float | None:
        """The factor of timesteps in a consistency model's boundary condition, if it is one."""
        if not SAMPLERS[self.sampler].is_consistent:
            return None
        return float(self.options.get("timestep_scaling", 10.0))

    @property
    def has_rho(self) -> bool:
        """Whether its scheduler takes the option `rho`, and it was given."""
        return self.scheduler in WITH_RHO and "rho" in self.options

    @property
    def has_sigma_min(self) -> bool:
        """Whether its scheduler takes the option `sigma_min`, and it was given."""
        return self.scheduler in WITH_SIGMA_MIN and "sigma_min" in self.options

    def _lowest_level(self, noise: TrainingNoise) -> float:
        """The level that the last step begins at; raises `UsageError` for one outside training."""
        lowest, highest = float(noise.sigmas[0]), float(noise.sigmas[-1])
        if not self.has_sigma_min:
            return lowest
        level = float(self.options["sigma_min"])
        if not lowest <= level < highest:
            raise UsageError(
                f"sigma_min is {level:g}; the model was trained on levels from {lowest:g} to "
                f"{highest:g}, so expected one of these below the highest"
            )
        return level

    def _last(self, noise: TrainingNoise) -> float:
        ends_at_zero = SAMPLERS[self.sampler].ends_at_zero
        final = self.options.get("final", "zero" if ends_at_zero else "min")
        return 0.0 if final == "zero" else float(noise.sigmas[0])


def check_options(sampler: str, options: Mapping[str, object]) -> dict[str, Option]:
    """The same options; raises `UsageError` for one that the sampler lacks, or a wrong value."""
    allowed = {**SAMPLERS[sampler].options, **COMMON_OPTIONS}
    checked: dict[str, Option] = {}
    for name, value in options.items():
        if name not in allowed:
            raise UsageError(
                f"sampler {sampler} has no option {name!r}; it has: {', '.join(allowed)}"
                f"{validation.hint(name, allowed)}"
            )
        if value not in allowed[name]:
            raise UsageError(f"{name} of {sampler} is {value!r}; expected {allowed[name]}")
        checked[name] = value  # type: ignore[assignment]
    return checked


def parse_option(text: str) -> tuple[str, Option]:
    """Read NAME=VALUE from the command line: a number, yes or no, or a word."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{text!r} is no option of a sampler; expected for example eta=0.5")
    return name.strip().replace("-", "_"), _value(value.strip())


def _value(text: str) -> Option:
    words = {"true": True, "yes": True, "false": False, "no": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
