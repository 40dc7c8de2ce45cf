"""The folder that a command writes pictures and records into."""

from collections.abc import Iterable
from pathlib import Path

from sdrt.errors import UsageError, needs_extra
from sdrt.files.atomic import check_writable


def check_folder(folder: Path, names: Iterable[str]) -> None:
    """Check before the work that files of these names can be written into a folder.

    It need not be there. Raises `UsageError`, `WriteError` without permission, or
    `MissingExtraError` without matplotlib.
    """
    with needs_extra("bench"):
        import matplotlib  # noqa: F401
    if folder.is_dir():
        for name in names:
            if (folder / name).is_dir():
                raise UsageError(f"cannot write {folder / name}: there is a folder of that name")
            check_writable(folder / name, folder)
    elif folder.exists():
        raise UsageError(f"cannot write to {folder}: it is no folder; choose another name")
    else:
        parent = folder.absolute().parent
        if not parent.is_dir():
            raise UsageError(f"cannot make the folder {folder}: there is no folder {parent}")
        check_writable(folder, parent)
