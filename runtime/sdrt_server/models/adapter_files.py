"""Adapters that clients may name: the files of one folder, and nothing outside of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdrt.errors import UsageError
from sdrt.validation import known

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class AdapterFiles:
    """The LoRAs, or the textual inversions, of a folder; clients know them by their file's name."""

    what: str
    """What they are, in messages."""
    folder: Path | None = None

    def by_name(self) -> Mapping[str, Path]:
        """All files as they are now, by their names without suffix; the first of equal names."""
        if self.folder is None:
            return {}
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob(f"*{SUFFIX}")):
            if path.is_file():
                found.setdefault(path.stem, path)
        return found

    def find(self, name: str, option: str) -> Path:
        """The file of a name; raises `UsageError` for a name that is not of this folder."""
        paths = self.by_name()
        if not paths:
            raise UsageError(
                f"this server has no {self.what}s; {name[:80]!r} was asked for", option
            )
        plain = name.removesuffix(SUFFIX)
        try:
            return paths[known(self.what, plain, paths)]
        except UsageError as error:
            raise UsageError(str(error), option) from error
