"""Presets of speed: the settings that make a picture of a promised error in the least time.

`exact` is the model's own defaults. `balanced` is no further from the picture that many steps
converge to than 20 steps of DDIM are, which other tools make by default. `fast` is at times another
picture, and shows what the prompt says as often.
"""

from dataclasses import dataclass
from typing import cast

from sdrt import validation
from sdrt.files.tuned_speed import NOT_TUNED, TunedPreset, TunedSpeed
from sdrt.manifest import Manifest, guidance_width
from sdrt.request.options import Options, Speed
from sdrt.sampling.samplers.registry import SAMPLERS

SPEEDS: tuple[Speed, ...] = ("exact", "balanced", "fast")
SIGMA_MIN = 0.1  # lower levels change little, and few steps are better spent above
SHIPPED_STEPS: dict[Speed, int] = {"balanced": 10, "fast": 8}
"""Steps of DPM-Solver++ 2M on Karras's levels, as measured with the embedded model."""
SAMPLING = ("sampler", "scheduler", "spacing", "sampler_options", "scheduler_config")
"""Options that replace the sampler and the noise levels of a preset."""
INTERVAL = ("guidance_start", "guidance_end")
"""Options that a run without guidance does not have."""


@dataclass(frozen=True)
class SpeedPreset:
    """What a preset stands for with a model."""

    name: Speed
    """The preset that is in force: "exact" where the model has no other."""
    options: Options
    """The options that it stands for."""
    warning: str | None = None
    """Why another preset is not in force, or what is wrong with a tuned one."""

    def summary(self) -> str:
        """The same in a few words."""
        values: dict[str, object] = {**self.options}
        own = values.pop("sampler_options", {})
        assert isinstance(own, dict)
        values |= own
        return ", ".join(f"{option} {value}" for option, value in values.items()) or "as exact"


def speed_preset(manifest: Manifest, name: Speed, tuned: TunedSpeed = NOT_TUNED) -> SpeedPreset:
    """What a preset stands for with a model: its options, or a warning where it has none.

    What was tuned for the model takes the place of what is shipped.
    """
    if name == "exact":
        return SpeedPreset("exact", {})
    if found := tuned.presets.get(name):
        return SpeedPreset(name, _tuned_options(found), tuned.warning)
    if reason := _why_not(manifest, SHIPPED_STEPS[name]):
        return SpeedPreset("exact", {}, f"without effect: speed {name!r}, because {reason}")
    options: Options = {
        "num_inference_steps": SHIPPED_STEPS[name],
        "sampler": "dpm++2m",
        "scheduler": "karras",
        "sampler_options": {"sigma_min": SIGMA_MIN},
    }
    return SpeedPreset(name, options, tuned.warning)


def with_speed(
    manifest: Manifest, options: Options, tuned: TunedSpeed = NOT_TUNED
) -> tuple[SpeedPreset, Options]:
    """The preset that is asked for, and the options with all that it adds to them.

    An option that is given stays as it is; with one of `SAMPLING`, the preset's own are left out,
    and with another number of steps its interval of whole evaluations. Raises `UsageError` for an
    unknown preset.
    """
    name = validation.known("speed", options.get("speed", "exact"), SPEEDS)
    preset = speed_preset(manifest, cast(Speed, name), tuned)
    left_out: set[str] = set()
    if any(given in options for given in SAMPLING):
        left_out.update(SAMPLING)
    if "num_inference_steps" in options:
        left_out.add("cache_interval")
    if not _is_guided(manifest, options):
        left_out.update(INTERVAL)
    added = {option: value for option, value in preset.options.items() if option not in left_out}
    return preset, cast(Options, {**added, **options})


def _tuned_options(preset: TunedPreset) -> Options:
    """The options of a tuned preset, without those that say nothing."""
    values = {"sampler": preset.sampler, "scheduler": preset.scheduler}
    return cast(Options, {**values, **preset.model_dump(exclude_defaults=True)})


def _is_guided(manifest: Manifest, options: Options) -> bool:
    scale = options.get("guidance_scale", manifest.defaults.guidance_scale)
    return isinstance(scale, int | float) and scale > 1


def _why_not(manifest: Manifest, steps: int) -> str | None:
    """Why the shipped presets are not for a model; None for one that they are for."""
    defaults = manifest.defaults
    is_distilled = (
        guidance_width(manifest.graphs.get("unet")) > 0
        or SAMPLERS[defaults.sampler].grid == "distilled"
        or defaults.num_inference_steps <= steps
    )
    if is_distilled:
        return f"{manifest.name!r} is made for few steps by itself"
    if manifest.schedule.zero_terminal_snr:
        return f"{manifest.name!r} begins at pure noise, for which there is no preset yet"
    return None
