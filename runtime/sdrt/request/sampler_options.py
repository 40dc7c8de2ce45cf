"""Reads which sampler, scheduler and timestep spacing a run uses."""

from collections.abc import Mapping

from sdrt import validation
from sdrt.errors import UsageError
from sdrt.manifest import SPACINGS, Manifest
from sdrt.request.options import Options
from sdrt.sampling.sampler_settings import SamplerSettings, check_options
from sdrt.sampling.samplers.aliases import find_sampler
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.scheduler_config import check_training, read_sampler_settings
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES

SCHEDULER_NAMES = ("default", *SIGMA_SCHEDULES)


def read_sampler_options(manifest: Manifest, options: Options) -> SamplerSettings:
    """Complete the options from a scheduler's configuration, or from the model's defaults.

    A sampler other than theirs gets none of their options. Raises `UsageError`.
    """
    base = _read_base(manifest, options)
    given = options.get("sampler", base.sampler)
    sampler, named_scheduler = find_sampler(str(given)) or (
        validation.known("sampler", given, SAMPLERS),
        None,
    )
    is_base = sampler == base.sampler
    default_scheduler = named_scheduler or (base.scheduler if is_base else "default")
    scheduler = options.get("scheduler", default_scheduler)
    validation.known("scheduler", scheduler, SCHEDULER_NAMES)
    if named_scheduler not in (None, scheduler):
        raise UsageError(
            f"sampler {given!r} names the scheduler {named_scheduler!r}, and scheduler is "
            f"{scheduler!r}; give one of them"
        )
    sampler_options = options.get("sampler_options", {})
    if not isinstance(sampler_options, Mapping):
        raise UsageError(f"sampler_options is {sampler_options!r}; expected names with values")
    return SamplerSettings(
        sampler,
        scheduler,
        validation.known("spacing", options.get("spacing", base.spacing), SPACINGS),  # type: ignore[arg-type]
        base.offset,
        check_options(sampler, {**(base.options if is_base else {}), **sampler_options}),
    )


def _read_base(manifest: Manifest, options: Options) -> SamplerSettings:
    """The settings that other options change: of a given scheduler, or the model's own."""
    if "scheduler_config" in options:
        settings = read_sampler_settings(options["scheduler_config"])
        check_training(options["scheduler_config"], manifest.schedule, manifest.prediction)
        return settings
    defaults, schedule = manifest.defaults, manifest.schedule
    return SamplerSettings(
        defaults.sampler,
        defaults.scheduler,
        schedule.spacing,
        schedule.offset,
        dict(defaults.sampler_options),
    )
