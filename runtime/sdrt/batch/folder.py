"""The folder of a batch: its pictures, and a record of each row that was made or failed."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from sdrt.batch.rows import Row
from sdrt.errors import LockedError, UsageError, WriteError
from sdrt.files.atomic import check_writable, whole_file
from sdrt.files.checksums import sha256

SCHEMA = 1
DEFAULT_NAME = "{number:05}-{seed}"
PLACE = re.compile(r"\{(\w+)(?::(0?\d))?\}")
PLACES = ("number", "line", "id", "seed", "image")

Record = Mapping[str, Any]
"""A line of results.jsonl."""


def seeds_of(row: Row) -> list[int]:
    """The seed of each picture of a row, as far as a row can be wrong here."""
    seed, count = row.options.get("seed"), row.options.get("num_images_per_prompt", 1)
    if isinstance(seed, Sequence):
        return list(seed)
    first, number = (value if isinstance(value, int) else 0 for value in (seed, count))
    return [first + image for image in range(max(1, min(number, 64)))]


def names_of(row: Row, template: str) -> list[str]:
    """The file names of a row's pictures; raises `UsageError` for a template that gives none.

    Several pictures of one name get their number before the suffix.
    """
    names = []
    for image, seed in enumerate(seeds_of(row)):
        values = {"number": row.number, "line": row.line, "id": row.id, "seed": seed}
        names.append(_filled(template, values | {"image": image}))
    if len(set(names)) < len(names):
        names = [f"{name}-{image + 1}" for image, name in enumerate(names)]
    for name in names:
        path = PurePosixPath(name)
        parts = path.parts
        is_inside = bool(parts) and not path.is_absolute() and ".." not in parts
        if not is_inside or "\0" in name or any(len(part.encode()) > 200 for part in parts):
            raise UsageError(
                f"line {row.line}: {name[:80]!r} is no name for a picture in the folder; change "
                "--name, or the row's id"
            )
    return [f"{name.removesuffix('.png')}.png" for name in names]


def _filled(template: str, values: Mapping[str, object]) -> str:
    def value(match: re.Match[str]) -> str:
        name, width = match[1], match[2]
        if name not in values:
            known = ", ".join(f"{{{place}}}" for place in PLACES)
            raise UsageError(f"--name {template}: unknown {match[0]}; known: {known}")
        return format(values[name], width) if width and name != "id" else str(values[name])

    return PLACE.sub(value, template)


@dataclass
class BatchFolder:
    """The pictures and the record of a batch, or of one shard of it; one process writes it."""

    root: Path
    shard: tuple[int, int] = (1, 1)
    """Which part this is, and of how many."""
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    """The last record of each row, by its key and the name of its first picture."""
    _done: dict[str, Record] = field(default_factory=dict)
    """A record by the key of what was made."""
    _file: TextIO | None = None

    @property
    def results(self) -> Path:
        """The file of records."""
        part, parts = self.shard
        return self.root / ("results.jsonl" if parts == 1 else f"results-{part}-of-{parts}.jsonl")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Read what was made before, and keep the record open for more.

        Raises `UsageError` for a folder with something else in it, `LockedError` while another
        process writes it, `WriteError` without permission.
        """
        self._check()
        try:
            self.root.mkdir(exist_ok=True)
            with self.results.open("a+", encoding="utf-8") as file:
                _lock(file, self.results)
                self._read(file)
                self._file = file
                yield
        except OSError as error:
            raise WriteError(f"cannot write {self.results}: {error.strerror or error}") from error
        finally:
            self._file = None

    def _check(self) -> None:
        parent = self.root.absolute().parent
        if self.root.is_dir():
            is_ours = any(self.root.glob("results*.jsonl"))
            if not is_ours and any(self.root.iterdir()):
                raise UsageError(
                    f"{self.root} has files in it that are no batch's; choose a new folder"
                )
            check_writable(self.results, self.root)
        elif self.root.exists():
            raise UsageError(f"{self.root} is no folder; choose another name")
        elif not parent.is_dir():
            raise UsageError(f"cannot make the folder {self.root}: there is no folder {parent}")
        else:
            check_writable(self.root, parent)

    def _read(self, file: TextIO) -> None:
        """Read the records; what a process that was killed left half written is cut off."""
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            file.truncate(len(whole.encode()))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._keep(json.loads(line))
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                raise UsageError(
                    f"{self.results}, line {number} is no record of a batch; choose a new folder"
                ) from error

    def _keep(self, record: Record) -> None:
        self.records[record["key"], record["names"][0]] = record
        if record["state"] == "done":
            self._done[record["key"]] = record

    def check_names(self, rows: Sequence[tuple[str, list[str]]]) -> None:
        """Raise `UsageError` if rows would overwrite each other's pictures, or another batch's.

        Each row is its key with the names of its pictures.
        """
        owners: dict[str, str] = {}
        for key, names in rows:
            for name in names:
                if name in owners:
                    raise UsageError(
                        f"two rows would both write {name}; give --name something that tells them "
                        "apart, such as {number}"
                    )
                owners[name] = key
        for record in self._done.values():
            for name in record["names"]:
                if owners.get(name, record["key"]) != record["key"]:
                    raise UsageError(
                        f"{self.root / name} was made by another row, or with other options; "
                        "choose a new folder"
                    )

    def is_made(self, key: str, names: list[str]) -> bool:
        """Whether a row's pictures are there, as they were written."""
        record = self.records.get((key, names[0]))
        return bool(record and record["state"] == "done" and self._is_there(record))

    def twin(self, key: str) -> Record | None:
        """The record of a row that made the same pictures, if they are there."""
        record = self._done.get(key)
        return record if record and self._is_there(record) else None

    def _is_there(self, record: Record) -> bool:
        paths = [self.root / name for name in record["names"]]
        hashes = [sha256(path) if path.is_file() else None for path in paths]
        return bool(hashes == record["sha256"])

    def write(self, name: str, contents: bytes) -> None:
        """Write a picture, whole or not at all."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(contents)

    def add(self, record: dict[str, Any]) -> None:
        """Write a record, after the pictures that it names."""
        assert self._file
        record = {"schema": SCHEMA, **record}
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._keep(record)


def _lock(file: TextIO, path: Path) -> None:
    """Hold a lock for as long as the file is open; none where the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockedError(f"another process is writing {path}; wait for it, or stop it") from error
