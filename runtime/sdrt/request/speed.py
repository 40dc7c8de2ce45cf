"""Presets of speed: the settings that make a picture of a promised error in the least time.

`exact` is the model's own defaults. `balanced` is no further from the picture that many steps
converge to than 20 steps of DDIM are, which other tools make by default. `fast` is at times another
picture, and shows what the prompt says as often.
"""

from dataclasses import dataclass
from typing import cast

from sdrt import validation
from sdrt.manifest import Manifest, guidance_width
from sdrt.request.options import Options, Speed
from sdrt.sampling.samplers.registry import SAMPLERS

SPEEDS: tuple[Speed, ...] = ("exact", "balanced", "fast")
SIGMA_MIN = 0.1  # lower levels change little, and few steps are better spent above
SHIPPED_STEPS: dict[Speed, int] = {"balanced": 10, "fast": 8}
"""Steps of DPM-Solver++ 2M on Karras's levels, as measured with the embedded model."""
SAMPLING = ("sampler", "scheduler", "spacing", "sampler_options", "scheduler_config")
"""Options that replace the sampler and the noise levels of a preset."""


@dataclass(frozen=True)
class SpeedPreset:
    """What a preset stands for with a model."""

    name: Speed
    """The preset that is in force: "exact" where the model has no other."""
    options: Options
    """The options that it stands for."""
    warning: str | None = None
    """Why another preset is not in force, if one was asked for."""

    def summary(self) -> str:
        """The same in a few words."""
        options = self.options
        if not options:
            return "as exact"
        levels = ", ".join(f"{key} {value}" for key, value in options["sampler_options"].items())
        return (
            f"{options['num_inference_steps']} steps, {options['sampler']}, "
            f"{options['scheduler']} ({levels})"
        )


def speed_preset(manifest: Manifest, name: Speed) -> SpeedPreset:
    """What a preset stands for with a model: its options, or a warning where it has none."""
    if name == "exact":
        return SpeedPreset("exact", {})
    if reason := _why_not(manifest, SHIPPED_STEPS[name]):
        return SpeedPreset("exact", {}, f"without effect: speed {name!r}, because {reason}")
    options: Options = {
        "sampler": "dpm++2m",
        "scheduler": "karras",
        "sampler_options": {"sigma_min": SIGMA_MIN},
        "num_inference_steps": SHIPPED_STEPS[name],
    }
    return SpeedPreset(name, options)


def with_speed(manifest: Manifest, options: Options) -> tuple[SpeedPreset, Options]:
    """The preset that is asked for, and the options with all that it adds to them.

    An option that is given stays as it is; with one of `SAMPLING`, only the preset's number of
    steps is added. Raises `UsageError` for an unknown preset.
    """
    name = validation.known("speed", options.get("speed", "exact"), SPEEDS)
    preset = speed_preset(manifest, cast(Speed, name))
    is_own = any(given in options for given in SAMPLING)
    added = {
        option: value
        for option, value in preset.options.items()
        if not (is_own and option in SAMPLING)
    }
    return preset, cast(Options, {**added, **options})


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
