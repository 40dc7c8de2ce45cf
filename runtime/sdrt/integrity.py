"""Is a file the one that export wrote? Size first, then SHA-256, remembered between runs."""

import hashlib
import os
from pathlib import Path

from sdrt.errors import ArtifactError
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
    key = f"{path.resolve()}|{found.st_mtime_ns}|{found.st_ino}|{found.st_size}|{record.sha256}"
    mark = cache_folder() / "verified" / hashlib.sha256(key.encode()).hexdigest()
    if remember and mark.exists():
        return
    digest = sha256(path)
    if digest != record.sha256:
        raise ArtifactError(
            f"{path} is corrupt: its SHA-256 is {digest[:12]}..., expected "
            f"{record.sha256[:12]}...; export or copy the model again"
        )
    _leave_mark(mark)


def sha256(path: Path) -> str:
    """Hash a file without reading it into memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where sdrt keeps what it can do without: `$XDG_CACHE_HOME/sdrt` or `~/.cache/sdrt`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sdrt"


def _leave_mark(mark: Path) -> None:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # a read-only home only costs hashing again the next time
