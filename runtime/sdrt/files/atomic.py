"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sdrt.errors import WriteError


def check_writable(path: Path, folder: Path) -> None:
    """Raise `WriteError` if this user may not write `path` into a folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(
            f"cannot write {path}: Permission denied; choose another folder, or let this user "
            f"write to {folder}"
        )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new path in the same folder to write to, which replaces `path` if the block succeeds."""
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror or error}; check the folder, its permissions "
            "and the free space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
