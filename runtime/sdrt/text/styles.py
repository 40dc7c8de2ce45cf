"""Styles: texts that a prompt is put into, under names that people know from elsewhere.

`styles.json` has the form of the lists that Fooocus and other programs share: name, prompt with
`{prompt}` where the user's goes, negative prompt. A text without that place is appended instead.
"""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from sdrt.errors import UsageError
from sdrt.manifest import Model, explain_validation_error

PLACE = "{prompt}"
MAX_BYTES = 1_000_000


class Style(Model):
    """A template for the prompt and one for the negative prompt."""

    name: Annotated[str, Field(min_length=1)]
    prompt: str
    negative_prompt: str = ""

    def apply(self, prompt: str, negative_prompt: str) -> tuple[str, str]:
        """Both prompts with the style's words; nothing in a prompt is read as a template."""
        return _filled(self.prompt, prompt), _filled(self.negative_prompt, negative_prompt)


Styles = Mapping[str, Style]
FORM = TypeAdapter(tuple[Style, ...])


@cache
def known_styles() -> Styles:
    """The styles that come with sdrt, by name."""
    return read_styles(Path(__file__).with_name("styles.json"))


def read_styles(path: Path) -> Styles:
    """Read a list of styles; raises `UsageError` that says what is wrong with the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} has more than {MAX_BYTES} bytes: this is no list of styles")
        data = json.loads(path.read_text(encoding="utf-8"))
        return _by_name(path, FORM.validate_python(data))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}") from error
    except ValidationError as error:
        raise UsageError(
            f"{path}: {explain_validation_error(error)}; expected a list of name, prompt and "
            "negative_prompt"
        ) from error


def find_style(name: str, styles: Styles | None = None) -> Style:
    """The style of a name, however it is spelled; raises `UsageError` that offers the nearest."""
    known = known_styles() if styles is None else styles
    spelled = {_plain(one): one for one in known}
    if _plain(name) in spelled:
        return known[spelled[_plain(name)]]
    near = [repr(spelled[one]) for one in get_close_matches(_plain(name), spelled, n=3)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"unknown style {name!r}; known: {', '.join(known)}{hint}")


def _by_name(path: Path, styles: Iterable[Style]) -> Styles:
    found: dict[str, Style] = {}
    for style in styles:
        if found.setdefault(_plain(style.name), style) is not style:
            raise UsageError(f"{path} has two styles of the name {style.name!r}")
    return {style.name: style for style in found.values()}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().casefold())


def _filled(template: str, text: str) -> str:
    if PLACE in template:
        return template.replace(PLACE, text)
    return ", ".join(part for part in (text.strip(), template.strip()) if part)
