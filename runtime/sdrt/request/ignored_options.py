"""Options without effect: an error where the model can never use them, else a warning."""

from collections.abc import Iterator, Mapping, Sequence

from sdrt.errors import UsageError
from sdrt.request.options import Options
from sdrt.request.size_conditioning import NEGATIVE
from sdrt.request.size_conditioning import OPTIONS as SIZE_OPTIONS
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.sampler_settings import SamplerSettings

GUIDANCE_OPTIONS = (
    "negative_prompt",
    "negative_prompt_embeds",
    "negative_pooled_prompt_embeds",
    *(NEGATIVE + name for name in SIZE_OPTIONS),
    "image_guidance_scale",
)
"""Options that only guided steps use."""


def check_guides_itself(name: str, guidance: Guidance) -> None:
    """Raise `UsageError` for options that a U-Net which guides itself (LCM) cannot use.

    They say how the results of two branches are combined, and such a U-Net computes one. `name` is
    the model's.
    """
    if given := _branch_options(guidance):
        raise UsageError(
            f"{given[0]} was given, and {name!r}, whose U-Net has guidance inside, makes a step of "
            f"one answer; leave {given[0]} out, its guidance_scale still counts"
        )


def warnings(
    name: str,
    options: Options,
    guidance: Guidance,
    guides_itself: bool,
    sampler_settings: SamplerSettings,
) -> tuple[str, ...]:
    """One sentence for each group of options that another option or the model `name` disables."""
    reason = _why_not_guided(name, guidance, guides_itself)
    given = [option for option in GUIDANCE_OPTIONS if _is_given(options.get(option))]
    if guidance.scale <= 1:
        given += _branch_options(guidance)
    unguided = [_sentence(given, reason)] if reason and given else []
    return (
        *unguided,
        *_sampler_warnings(options, sampler_settings),
        *_cache_warnings(options),
    )


def _why_not_guided(name: str, guidance: Guidance, guides_itself: bool) -> str | None:
    if guides_itself:
        return f"the U-Net of {name!r} has guidance inside"
    if guidance.scale <= 1:
        return f"at a guidance scale of {guidance.scale} there is no guidance"
    if guidance.start == guidance.end:
        return f"guidance starts and ends at {guidance.start}"
    return None


def _branch_options(guidance: Guidance) -> list[str]:
    """Options on combining guidance branches that differ from their defaults."""
    is_changed = {
        "guidance_rescale": guidance.rescale > 0,
        "guidance_start": guidance.start > 0,
        "guidance_end": guidance.end < 1,
        "guidance_split": guidance.is_split,
    }
    return [option for option, changed in is_changed.items() if changed]


def _sampler_warnings(options: Options, sampler_settings: SamplerSettings) -> Iterator[str]:
    value = options.get("sampler_options")
    given = value if isinstance(value, Mapping) else {}
    if options.get("spacing") is not None and sampler_settings.scheduler != "default":
        yield _sentence(
            ["spacing"], f"the scheduler {sampler_settings.scheduler!r} spaces the noise levels"
        )
    elif options.get("spacing") is not None and sampler_settings.is_distilled:
        yield _sentence(
            ["spacing"],
            f"{sampler_settings.sampler} goes through timesteps that models were distilled on",
        )
    if "rho" in given and not sampler_settings.has_rho:
        yield _sentence(["rho"], f"the scheduler {sampler_settings.scheduler!r} has none")
    if "sigma_min" in given and not sampler_settings.has_sigma_min:
        yield _sentence(
            ["sigma_min"], f"the scheduler {sampler_settings.scheduler!r} has its own levels"
        )
    if "thresholding_max" in given and not sampler_settings.options.get("thresholding"):
        yield _sentence(["thresholding_max"], "there is no thresholding")


def _cache_warnings(options: Options) -> Iterator[str]:
    if options.get("cache_depth") is not None and options.get("cache_interval", 1) == 1:
        yield _sentence(["cache_depth"], "with cache_interval 1 no features are kept")


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value)


def _sentence(names: Sequence[str], reason: str) -> str:
    return f"without effect: {', '.join(names)}, because {reason}"
