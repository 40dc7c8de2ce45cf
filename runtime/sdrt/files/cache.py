"""The user's cache folder."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where sdrt keeps what it can do without: `$XDG_CACHE_HOME/sdrt` or `~/.cache/sdrt`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sdrt"
