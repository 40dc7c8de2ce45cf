"""Small text and JSON files that people or other programs wrote."""

import json
from pathlib import Path
from typing import Any

from sdrt.errors import SdrtError, UsageError

MAX_BYTES = 1_000_000


def read_text(
    path: Path, what: str, max_bytes: int = MAX_BYTES, error: type[SdrtError] = UsageError
) -> str:
    """The text of a UTF-8 file of at most that many bytes.

    `what` names what the file should hold, as in "a list of styles". Raises `error` for a file that
    cannot be read, is not UTF-8, or is larger; of such a file no more than the limit is read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise error(f"{path} has more than {max_bytes} bytes: this is not {what}")
        return data.decode("utf-8")
    except OSError as cause:
        raise error(f"cannot read {path}: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"cannot read {path}: it is not text in UTF-8") from cause


def read_json(path: Path) -> Any:
    """The parsed content, or None if the file is missing or not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
