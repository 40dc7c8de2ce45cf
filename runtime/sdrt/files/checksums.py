"""Checksums: size and SHA-256 of files against their records, remembered between runs."""

import hashlib
import re
from pathlib import Path

from sdrt.errors import ArtifactError
from sdrt.files.cache import fact_about, recall, remember
from sdrt.manifest import FileRecord

CHUNK_BYTES = 1 << 22


def check_file(path: Path, record: FileRecord, use_cache: bool = True) -> None:
    """Raise `ArtifactError` unless the file has the recorded size and hash.

    A file that passed before is not hashed again while its size, time and inode stay the same,
    unless `use_cache` is false.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise ArtifactError(
            f"{path} is missing ({error.strerror}); export the model again"
        ) from error
    if stat.st_size != record.size:
        raise ArtifactError(
            f"{path} has {stat.st_size} bytes, expected {record.size}: the file is truncated or "
            "was replaced; export or copy the model again"
        )
    verified = fact_about("verified", path, stat, record.sha256)
    if use_cache and verified.exists():
        return
    digest = sha256(path)
    if digest != record.sha256:
        raise ArtifactError(
            f"{path} is corrupt: its SHA-256 is {digest[:12]}..., expected "
            f"{record.sha256[:12]}...; export or copy the model again"
        )
    remember(verified)


def recorded(path: Path) -> FileRecord:
    """Size and hash of a file as it is now, for files without a record.

    The hash is remembered while the file's size, time and inode stay the same. Raises
    `ArtifactError` for a file that cannot be read.
    """
    try:
        stat = path.stat()
        known = fact_about("hashes", path, stat)
        digest = recall(known) or ""
        if not re.fullmatch("[0-9a-f]{64}", digest):  # none there, or half of it
            digest = sha256(path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    remember(known, digest)
    remember(fact_about("verified", path, stat, digest))
    return FileRecord(size=stat.st_size, sha256=digest)


def sha256(path: Path) -> str:
    """Hash a file without reading it into memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
