"""Prompt files: text files with one prompt per line."""

from pathlib import Path

from sdrt.errors import UsageError
from sdrt.files.text_file import read_text


def read_prompts(path: Path, otherwise: str) -> tuple[str, ...]:
    """The lines that are not blank; raises `UsageError` for a file without any, or not of text.

    `otherwise` says in messages what a caller may give in place of a file.
    """
    try:
        text = read_text(path, "a list of prompts").removeprefix("\ufeff")
    except UsageError as error:
        raise UsageError(
            f"{error}; give a text file with one prompt a line, or {otherwise}"
        ) from error
    if any(not (letter.isprintable() or letter.isspace()) for letter in text):
        raise UsageError(f"{path} is not text; expected one prompt a line")
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not prompts:
        raise UsageError(f"{path} holds no prompt; expected one a line")
    return prompts
