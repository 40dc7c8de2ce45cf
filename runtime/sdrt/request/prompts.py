"""Reads prompts, their style, and the embeddings that may replace them.

Readers of several fields of a request return them as a dictionary by the fields' names.
"""

from typing import TypedDict

from sdrt.arrays import Embeddings
from sdrt.errors import UsageError
from sdrt.manifest import Manifest
from sdrt.request.options import Options
from sdrt.request.request import POOLED_EMBEDDINGS
from sdrt.text.prompt_embeddings import checked_embeddings, checked_pooled
from sdrt.text.styles import Style, find_style


class Prompts(TypedDict):
    """The fields of a request that hold text."""

    prompt: str
    negative_prompt: str
    style: str | None


class PromptEmbeddings(TypedDict):
    """The fields of a request that hold embeddings; see `request.EMBEDDINGS`."""

    prompt_embeds: Embeddings | None
    negative_prompt_embeds: Embeddings | None
    pooled_prompt_embeds: Embeddings | None
    negative_pooled_prompt_embeds: Embeddings | None


def read_prompts(prompt: object, options: Options) -> Prompts:
    """Read the prompt and the negative prompt, with the style's words around them.

    A prompt is empty where embeddings replace it. Raises `UsageError`.
    """
    style = _read_style(options)
    negative_prompt = options.get("negative_prompt", "")
    texts = (
        _read_text("prompt", prompt, options.get("prompt_embeds")),
        _read_text("negative_prompt", negative_prompt, options.get("negative_prompt_embeds")),
    )
    if style:
        texts = style.apply(*texts)
    return Prompts(prompt=texts[0], negative_prompt=texts[1], style=style.name if style else None)


def _read_style(options: Options) -> Style | None:
    given = options.get("style")
    if given is None or isinstance(given, Style):
        style = given
    elif isinstance(given, str):
        style = find_style(given)
    else:
        raise UsageError(f"style is {given!r}; expected a name, see: sdrt styles")
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        if style and options.get(name) is not None:
            raise UsageError(
                f"style {style.name!r} puts words around a prompt, and {name} was given "
                "instead of one; give one of them"
            )
    return style


def _read_text(name: str, value: object, embeddings: object) -> str:
    if value is None and embeddings is not None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}; expected a text, or {name}_embeds", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{name} has {value[error.start]!r}, which is half of a character or none; expected "
            "valid Unicode (UTF-8 on the command line)",
            name,
        ) from error
    if value and embeddings is not None:
        raise UsageError(f"both {name} and {name}_embeds were given; give one of them")
    return value


def read_embeddings(manifest: Manifest, options: Options, images: int) -> PromptEmbeddings:
    """Read embeddings that replace prompts: one for all images, or one for each.

    SDXL takes the embeddings of a prompt only together with its pooled embedding. Raises
    `UsageError`.
    """
    positive, negative = (
        _read_states(name, manifest, options, images)
        for name in ("prompt_embeds", "negative_prompt_embeds")
    )
    pooled, negative_pooled = (
        _read_pooled(name, manifest, options, images) for name in POOLED_EMBEDDINGS
    )
    return PromptEmbeddings(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=negative_pooled,
    )


def _read_states(name: str, manifest: Manifest, options: Options, images: int) -> Embeddings | None:
    value = options.get(name)
    return None if value is None else checked_embeddings(name, value, manifest.text_width, images)


def _read_pooled(name: str, manifest: Manifest, options: Options, images: int) -> Embeddings | None:
    given, partner, width = options.get(name), POOLED_EMBEDDINGS[name], manifest.pooled_width
    has_partner = options.get(partner) is not None
    if given is None and (width is None or not has_partner):
        return None
    if width is None:
        raise UsageError(f"{name} is for models of Stable Diffusion XL, not for {manifest.name!r}")
    if given is None or not has_partner:
        present, missing = (partner, name) if has_partner else (name, partner)
        raise UsageError(f"{present} was given without {missing}; {manifest.name!r} takes both")
    return checked_pooled(name, given, width, images)
