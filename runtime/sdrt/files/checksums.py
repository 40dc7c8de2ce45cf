"""Is a file the one that export wrote? Size first, then SHA-256, remembered between runs."""

import hashlib
import os
import re
from pathlib import Path

from sdrt.errors import ArtifactError
from sdrt.files.cache import cache_folder
from sdrt.manifest import FileRecord

CHUNK_BYTES = 1 << 22


def check_file(path: Path, record: FileRecord, remember: bool = True) -> None:
    """Raise `ArtifactError` unless the file has the recorded size and hash.

    A file that passed before is not hashed again while its size, time and inode stay the same,
    unless `remember` is false.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise ArtifactError(
            f"{path} is missing ({error.strerror}); export the model again"
        ) from error
    if found.st_size != record.size:
        raise ArtifactError(
            f"{path} has {found.st_size} bytes, expected {record.size}: the file is truncated or "
            "was replaced; export or copy the model again"
        )
    mark = _mark("verified", path, found, record.sha256)
    if remember and mark.exists():
        return
    digest = sha256(path)
    if digest != record.sha256:
        raise ArtifactError(
            f"{path} is corrupt: its SHA-256 is {digest[:12]}..., expected "
            f"{record.sha256[:12]}...; export or copy the model again"
        )
    _leave_mark(mark)


def recorded(path: Path) -> FileRecord:
    """Size and hash of a file as it is now, for files that came without a record.

    The hash is remembered while the file's size, time and inode stay the same. Raises
    `ArtifactError` for a file that cannot be read.
    """
    try:
        found = path.stat()
        mark = _mark("hashes", path, found)
        digest = _remembered(mark) or sha256(path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    _leave_mark(mark, digest)
    _leave_mark(_mark("verified", path, found, digest))
    return FileRecord(size=found.st_size, sha256=digest)


def sha256(path: Path) -> str:
    """Hash a file without reading it into memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _mark(kind: str, path: Path, found: os.stat_result, digest: str = "") -> Path:
    """A file whose name says all that must not have changed for what it says to hold."""
    key = f"{path.resolve()}|{found.st_mtime_ns}|{found.st_ino}|{found.st_size}|{digest}"
    return cache_folder() / kind / hashlib.sha256(key.encode()).hexdigest()


def _remembered(mark: Path) -> str | None:
    """A hash that was left there; None where nothing is, or half of it."""
    try:
        text = mark.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _leave_mark(mark: Path, text: str = "") -> None:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(text, encoding="ascii")
    except OSError:
        return  # a read-only home only costs hashing again the next time
