"""Styles: named templates for prompts, as Fooocus and other programs share them.

`styles.json` is a list in their format: name, prompt and negative prompt. The user's prompt stands
where the template has `{prompt}`; a template without that is appended to the prompt.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from sdrt.errors import UsageError
from sdrt.files.text_file import read_text
from sdrt.manifest import Model, explain_validation_error
from sdrt.validation import hint

PLACE = "{prompt}"


class Style(Model):
    """A template for the prompt and one for the negative prompt."""

    name: Annotated[str, Field(min_length=1)]
    prompt: str
    negative_prompt: str = ""

    def apply(self, prompt: str, negative_prompt: str) -> tuple[str, str]:
        """Both prompts in their templates; a prompt itself is never read as a template."""
        return _filled(self.prompt, prompt), _filled(self.negative_prompt, negative_prompt)


Styles = Mapping[str, Style]
FORMAT = TypeAdapter(tuple[Style, ...])


@cache
def known_styles() -> Styles:
    """The styles that are part of sdrt, by name."""
    return read_styles(Path(__file__).with_name("styles.json"))


def read_styles(path: Path) -> Styles:
    """Read a file of styles; raises `UsageError` that says what is wrong with it."""
    text = read_text(path, "a list of styles")
    try:
        return _by_name(path, FORMAT.validate_python(json.loads(text)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}") from error
    except ValidationError as error:
        raise UsageError(
            f"{path}: {explain_validation_error(error)}; expected a list of name, prompt and "
            "negative_prompt"
        ) from error


def find_style(name: str, styles: Styles | None = None) -> Style:
    """The style of that name in any case, with spaces, dashes or underscores.

    Raises `UsageError` that offers the nearest name.
    """
    known = known_styles() if styles is None else styles
    by_plain_name = {_plain(style.name): style for style in known.values()}
    style = by_plain_name.get(_plain(name))
    if style is None:
        near = hint(_plain(name), by_plain_name)
        raise UsageError(f"unknown style {name!r}; known: {', '.join(known)}{near}")
    return style


def _by_name(path: Path, styles: Iterable[Style]) -> Styles:
    by_plain_name: dict[str, Style] = {}
    for style in styles:
        if by_plain_name.setdefault(_plain(style.name), style) is not style:
            raise UsageError(f"{path} has two styles of the name {style.name!r}")
    return {style.name: style for style in by_plain_name.values()}


def _plain(name: str) -> str:
    """The name in lower case with dashes between its words."""
    return re.sub(r"[\s_-]+", "-", name.strip().casefold())


def _filled(template: str, text: str) -> str:
    if PLACE in template:
        return template.replace(PLACE, text)
    return ", ".join(part for part in (text.strip(), template.strip()) if part)
