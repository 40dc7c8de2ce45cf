"""Options that a run cannot heed: an error where the model never could, else a warning."""

from collections.abc import Iterator, Mapping, Sequence

from sdrt.errors import UsageError
from sdrt.request.size_conditioning import NEGATIVE
from sdrt.request.size_conditioning import OPTIONS as FRAMING
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.sampler_settings import SamplerSettings

OF_GUIDANCE = (
    "negative_prompt",
    "negative_prompt_embeds",
    "negative_pooled_prompt_embeds",
    *(NEGATIVE + name for name in FRAMING),
    "image_guidance_scale",
)
"""What only a guided step is told."""


def check_guides_itself(name: str, guidance: Guidance) -> None:
    """Raise `UsageError` for what a U-Net with guidance inside, of the model `name`, has not.

    All of it says how two of a U-Net's answers become one.
    """
    if said := _of_two_answers(guidance):
        raise UsageError(
            f"{said[0]} was given, and {name!r}, whose U-Net has guidance inside, makes a step of "
            f"one answer; leave {said[0]} out, its guidance_scale still counts"
        )


def warnings(
    name: str,
    options: Mapping[str, object],
    guidance: Guidance,
    guides_itself: bool,
    sampler_settings: SamplerSettings,
) -> tuple[str, ...]:
    """What was asked of the model `name`, and something else that was asked for leaves unheeded."""
    off = _why_not_guided(name, guidance, guides_itself)
    told = [one for one in OF_GUIDANCE if _is_given(options.get(one))]
    if guidance.scale <= 1:
        told += _of_two_answers(guidance)
    found = [_sentence(told, off)] if off and told else []
    return *found, *_of_recipe(options, sampler_settings)


def _why_not_guided(name: str, guidance: Guidance, guides_itself: bool) -> str | None:
    if guides_itself:
        return f"the U-Net of {name!r} has guidance inside"
    if guidance.scale <= 1:
        return f"at a guidance scale of {guidance.scale} there is no guidance"
    if guidance.start == guidance.end:
        return f"guidance starts and ends at {guidance.start}"
    return None


def _of_two_answers(guidance: Guidance) -> list[str]:
    """Options that say how two answers become one, where they say anything."""
    said = {
        "guidance_rescale": guidance.rescale > 0,
        "guidance_start": guidance.start > 0,
        "guidance_end": guidance.end < 1,
        "guidance_split": guidance.is_split,
    }
    return [option for option, is_said in said.items() if is_said]


def _of_recipe(options: Mapping[str, object], sampler_settings: SamplerSettings) -> Iterator[str]:
    given = options.get("sampler_options")
    own = given if isinstance(given, Mapping) else {}
    if options.get("spacing") is not None and sampler_settings.scheduler != "default":
        yield _sentence(
            ["spacing"], f"the scheduler {sampler_settings.scheduler!r} spaces the noise levels"
        )
    elif options.get("spacing") is not None and sampler_settings.is_distilled:
        yield _sentence(
            ["spacing"],
            f"{sampler_settings.sampler} goes through timesteps that models were distilled on",
        )
    if "rho" in own and not sampler_settings.has_rho:
        yield _sentence(["rho"], f"the scheduler {sampler_settings.scheduler!r} has none")
    if "thresholding_max" in own and not sampler_settings.options.get("thresholding"):
        yield _sentence(["thresholding_max"], "there is no thresholding")


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value)


def _sentence(names: Sequence[str], reason: str) -> str:
    return f"without effect: {', '.join(names)}, because {reason}"
