"""JSON files that may be missing or broken."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The parsed content, or None if the file is missing or not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
