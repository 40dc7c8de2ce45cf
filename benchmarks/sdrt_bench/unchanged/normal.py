"""Takes out of a recording what differs between two runs of the same code, and nothing else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIME, MEMORY, MEASURED = "<time>", "<memory>", "<measured>"

TIMES = re.compile(r"seconds$|_s$|_ms$")
"""Keys whose numbers are times."""
MEMORIES = frozenset({"memory", "peak_bytes", "limit_bytes", "predicted_bytes"})
"""Keys whose numbers are memory that a process had, has or is expected to need."""
SENTENCES = frozenset({"message", "warnings"})
"""Keys of sentences, whose numbers may be times or memory."""
MEASURED_KEYS = frozenset({"parity_db"})
"""Keys of figures that an export measures on torch, whose sums depend on the machine's load."""

TIME_IN_TEXT = re.compile(r"\b\d+(\.\d+)?(e[-+]?\d+)?(?= ?(s|ms|seconds)\b)")
MEMORY_IN_TEXT = re.compile(r"\b\d+(\.\d+)?(?= ?[kMG]i?B\b)")


@dataclass(frozen=True)
class Normal:
    """Replaces times, memory figures and absolute paths."""

    paths: Mapping[str, str]
    """What stands for each path; longer paths that begin with another one come first."""

    def text(self, text: str) -> str:
        """A text with its paths replaced."""
        for path, name in self.paths.items():
            text = text.replace(path, name)
        return text

    def prose(self, text: str) -> list[str]:
        """Lines of a text that people read, with times and memory figures replaced too."""
        return self._sentence(text).splitlines()

    def values(self, value: Any, key: str = "") -> Any:
        """The same for JSON values, by their key."""
        if isinstance(value, str):
            return self._sentence(value) if key in SENTENCES else self.text(value)
        replaced = _replaced(key)
        if replaced:
            return _without_numbers(value, replaced)
        if isinstance(value, Mapping):
            return {self.text(name): self.values(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.values(inner, key) for inner in value]
        return value

    def _sentence(self, text: str) -> str:
        return MEMORY_IN_TEXT.sub(MEMORY, TIME_IN_TEXT.sub(TIME, self.text(text)))


def _replaced(key: str) -> str | None:
    if TIMES.search(key):
        return TIME
    if key in MEMORIES:
        return MEMORY
    return MEASURED if key in MEASURED_KEYS else None


def _without_numbers(value: Any, name: str) -> Any:
    """The same structure with a name in place of each number."""
    if isinstance(value, Mapping):
        return {key: _without_numbers(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_numbers(inner, name) for inner in value]
    return name if isinstance(value, int | float) and not isinstance(value, bool) else value
