"""Lists of prompts that people write: a text file with one a line."""

from pathlib import Path

from sdrt.errors import UsageError

MAX_BYTES = 1_000_000


def read_prompts(path: Path, otherwise: str) -> tuple[str, ...]:
    """The lines that are not blank; raises `UsageError` where there are none, or no text is.

    `otherwise` is what the caller takes in place of a file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} has more than {MAX_BYTES} bytes; expected one prompt a line")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read prompts from {path}: {error.strerror}; give a text file with one prompt "
            f"a line, or {otherwise}"
        ) from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    if any(not (letter.isprintable() or letter.isspace()) for letter in text):
        raise _not_text(path)
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not prompts:
        raise UsageError(f"{path} holds no prompt; expected one a line")
    return prompts


def _not_text(path: Path) -> UsageError:
    return UsageError(f"{path} is no text in UTF-8; expected one prompt a line")
