"""The folder that an export publishes: written next to its destination, then moved there whole.

A reader never sees a half-written artifact, and a killed export leaves the old one or none.
"""

import ctypes
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sdrt.artifact.controlnet import ControlNetManifest
from sdrt.artifact.detect import describe
from sdrt.errors import LockedError, UsageError, WriteError
from sdrt.files.checksums import sha256
from sdrt.manifest import MANIFEST_NAME, FileRecord, Manifest

AnyManifest = TypeVar("AnyManifest", Manifest, ControlNetManifest)

_AT_CWD, _EXCHANGE = -100, 2  # of renameat2(2)


class Stage:
    """A folder being filled; `publish` writes the manifest and moves it to the destination."""

    def __init__(self, folder: Path, destination: Path) -> None:
        self.folder, self.destination = folder, destination

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def inner(self, name: str) -> "Stage":
        """A folder next to this one for intermediate work, which disappears with it."""
        folder = self.folder.with_name(f"{self.folder.name}-{name}")
        folder.mkdir()
        return Stage(folder, self.destination)

    def complete(self, manifest: AnyManifest) -> AnyManifest:
        """Write the manifest, with size and hash of every file."""
        complete = manifest.model_copy(update={"files": self._records()})
        (self.folder / MANIFEST_NAME).write_text(complete.to_json(), encoding="utf-8")
        return complete

    def publish(self, manifest: AnyManifest) -> AnyManifest:
        """Write the manifest, flush all to disk, and swap with the destination."""
        complete = self.complete(manifest)
        self.put()
        return complete

    def put(self) -> None:
        """Flush all to disk, and swap with the destination: folders for others have no manifest."""
        for path in self.folder.rglob("*"):
            _flush(path)
        _put(self.folder, self.destination)
        _flush(self.destination.parent)

    def _records(self) -> dict[str, FileRecord]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {
            path.relative_to(self.folder).as_posix(): FileRecord(
                size=path.stat().st_size, sha256=sha256(path)
            )
            for path in files
        }


@contextmanager
def staged(destination: Path, needed_bytes: int) -> Iterator[Stage]:
    """Lock a destination and yield a folder next to it, which disappears unless it is published.

    Raises `LockedError` while another process exports to the same place, `UsageError` if
    something else is there, `WriteError` for too little space or missing permissions.
    """
    destination = Path(os.path.abspath(destination))
    _check_replaceable(destination)
    prefix = f".{destination.name}.partial-"
    folder = destination.with_name(prefix + uuid4().hex[:8])
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked(destination):
            for left_behind in destination.parent.glob(prefix + "*"):
                shutil.rmtree(left_behind)  # of an export that was killed
            _check_space(destination.parent, needed_bytes)
            folder.mkdir()
            try:
                yield Stage(folder, destination)
            finally:
                for made in destination.parent.glob(folder.name + "*"):
                    shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise WriteError(
            f"cannot write {destination}: {error.strerror or error}; check the folder, its "
            "permissions and the free space"
        ) from error


def _check_replaceable(destination: Path) -> None:
    is_ours = (destination / MANIFEST_NAME).is_file()
    is_empty = destination.is_dir() and not any(destination.iterdir())
    if destination.exists() and not is_ours and not is_empty:
        raise UsageError(
            f"{destination} is {describe(destination)}; expected a new or empty folder, or an "
            "artifact to replace"
        )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WriteError(
            f"{folder} has {free / 1e9:.1f} GB free, the export needs {needed / 1e9:.1f} GB"
        )


@contextmanager
def _locked(destination: Path) -> Iterator[None]:
    path = destination.with_name(f".{destination.name}.lock")
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"another export is writing to {destination}; wait for it or choose another folder"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _put(folder: Path, destination: Path) -> None:
    """Rename, exchanging the two where something is there: at no time is there nothing."""
    if not destination.exists():
        os.rename(folder, destination)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchanged = libc.renameat2(
        _AT_CWD, os.fsencode(folder), _AT_CWD, os.fsencode(destination), _EXCHANGE
    )
    if exchanged != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
