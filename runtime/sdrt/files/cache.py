"""The user's cache: small facts about files that are remembered between runs.

A fact is a file in the cache whose name depends on everything that it depends on. It is never
needed: where the cache cannot be read or written, sdrt computes the fact again.
"""

import hashlib
import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of everything that sdrt can compute again: `$XDG_CACHE_HOME/sdrt`.

    Without that variable it is `~/.cache/sdrt`.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sdrt"


def fact_about(kind: str, path: Path, stat: os.stat_result, digest: str = "") -> Path:
    """The place of a fact about a file, which holds while its size, time and inode stay the same.

    `digest` is a hash that the fact depends on too.
    """
    key = f"{path.resolve()}|{stat.st_mtime_ns}|{stat.st_ino}|{stat.st_size}|{digest}"
    return cache_folder() / kind / hashlib.sha256(key.encode()).hexdigest()


def recall(fact: Path) -> str | None:
    """The text of a fact; None where there is none."""
    try:
        return fact.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def remember(fact: Path, text: str = "") -> None:
    """Keep a fact, if possible."""
    try:
        fact.parent.mkdir(parents=True, exist_ok=True)
        fact.write_text(text, encoding="ascii")
    except OSError:
        return  # with a read-only home it is computed again the next time
