"""The settings that a search tries: the coarse ones, and the neighbours of a good one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import SPACINGS, Manifest, Spacing
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.speed import SPEEDS, speed_preset
from sdrt.sampling.sigma_schedules import WITH_SIGMA_MIN
from sdrt_bench.tune.setting import PEERS_STEPS, PLAIN, Setting

SAMPLER_NAMES = ("dpm++2m", "unipc", "deis", "dpm-solver", "ddim", "euler", "plms", "heun")
SCHEDULER_NAMES = ("default", "karras", "exponential", "beta", "ays")
STEPS = (10, 20, 6, 16, 8, 12)
"""The first number of steps decides which samplers and schedulers are tried with the others."""
PLAIN_STEPS = (4, 5, 6, 8, 10, 12, 16, 20, 25)
"""More than a search needs, so that every trick has a plain setting of the same time."""
RHO = (3.5, 5.0, 7.0, 10.0)
SIGMA_MIN = (0.05, 0.1, 0.15, 0.2, 0.3)
GUIDANCE_START = (0.0, 0.1, 0.2)
GUIDANCE_END = (1.0, 0.9, 0.8, 0.7)
CACHE_INTERVALS = (1, 2, 3, 5)
LEAST_STEPS = 2
TRICKS = ("sigma_min", "cache_interval")
"""Tricks that not every model takes."""


@dataclass(frozen=True)
class Space:
    """What can be tried with one model."""

    spacing: Spacing
    """The model's own spacing of timesteps."""
    is_guided: bool
    """Whether guidance can be left out of some steps."""
    tricks: frozenset[str]
    """Those of `TRICKS` that the model takes."""
    samplers: Sequence[str] = SAMPLER_NAMES
    schedulers: Sequence[str] = SCHEDULER_NAMES
    steps: Sequence[int] = STEPS
    plain_steps: Sequence[int] = PLAIN_STEPS
    shipped: Sequence[Setting] = ()
    """What the presets of speed are where nothing was tuned."""

    @classmethod
    def of(cls, models: Sequence[Pipeline], options: Options) -> "Space":
        """The space of the first model, with the tricks that all of them take.

        `options` are those of every run, such as guidance.
        """
        request = models[0].start("", **options).request
        # "ays" are the levels for Stable Diffusion 1.x.
        ays = "ays-sdxl" if models[0].manifest.family == "sdxl" else "ays"
        return cls(
            spacing=request.sampler_settings.spacing,
            is_guided=request.is_guided,
            tricks=frozenset(
                trick
                for trick in TRICKS
                if all(_accepts(model, options, trick) for model in models)
            ),
            schedulers=[ays if name == "ays" else name for name in SCHEDULER_NAMES],
            shipped=list(_shipped(models[0].manifest)),
        )

    def families(self) -> list[Setting]:
        """Every sampler with every spacing of noise levels, at the first number of steps."""
        return [
            Setting(sampler=sampler, steps=self.steps[0], scheduler=scheduler, spacing=spacing)
            for sampler in self.samplers
            for scheduler in self.schedulers
            for spacing in self._spacings(sampler, scheduler)
        ]

    def plain(self) -> list[Setting]:
        """The plain settings, which tricks are compared with."""
        return [
            Setting(sampler=PLAIN, steps=steps, spacing=self.spacing) for steps in self.plain_steps
        ]

    @property
    def peers_default(self) -> Setting:
        """What other tools do unless they are told otherwise."""
        return Setting(sampler="ddim", steps=PEERS_STEPS, spacing=self.spacing)

    def neighbours(self, setting: Setting) -> list[Setting]:
        """The settings that differ from this one in one value."""
        return [
            each
            for each in self._changed(setting)
            if each != setting and each.cache_interval <= each.steps
        ]

    def _spacings(self, sampler: str, scheduler: str) -> Sequence[Spacing | None]:
        if scheduler != "default":
            # Euler and DDIM differ in their timesteps, and take the same way through given levels.
            return () if sampler == "euler" and "ddim" in self.samplers else (None,)
        return SPACINGS

    def _changed(self, setting: Setting) -> Iterator[Setting]:
        def changed(**values: object) -> Setting:
            return setting.model_copy(update=values)

        # What changes most comes first, for searches that end before everything is tried.
        for steps in (setting.steps - 1, setting.steps + 1):
            if LEAST_STEPS <= steps <= max(self.plain_steps):
                yield changed(steps=steps)
        if "cache_interval" in self.tricks:
            yield from (changed(cache_interval=value) for value in CACHE_INTERVALS)
        if "sigma_min" in self.tricks and setting.scheduler in WITH_SIGMA_MIN:
            yield from (changed(sigma_min=value) for value in (None, *SIGMA_MIN))
        if setting.scheduler == "karras":
            # 7 is the default: left out, so that one setting has one name.
            yield from (changed(rho=None if value == 7.0 else value) for value in RHO)
        if self.is_guided:
            yield from (changed(guidance_end=value) for value in GUIDANCE_END)
            yield from (changed(guidance_start=value) for value in GUIDANCE_START)


def _shipped(manifest: Manifest) -> Iterator[Setting]:
    """The presets that come with sdrt, where they are for a model."""
    for name in SPEEDS:
        given = speed_preset(manifest, name).options
        if given:
            yield Setting(
                sampler=given["sampler"],
                steps=given["num_inference_steps"],
                scheduler=given["scheduler"],
                **given["sampler_options"],
            )


def _accepts(model: Pipeline, options: Options, trick: str) -> bool:
    """Whether a model takes a trick; loads nothing."""
    values = {"sigma_min": SIGMA_MIN[0], "cache_interval": CACHE_INTERVALS[1]}
    setting = Setting(sampler=PLAIN, steps=STEPS[0], scheduler="karras")
    tricky = setting.model_copy(update={trick: values[trick]})
    tried: Options = {**options, **tricky.options}
    try:
        model.start("", **tried)
    except (UsageError, UnsupportedError):
        return False
    return True
