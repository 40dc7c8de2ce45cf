"""JSON files that may be missing or broken."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """Parsed JSON, or None when there is no such file or it does not parse."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
