"""A folder as one compressed file whose bytes depend on its content alone."""

import lzma
import tarfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> None:
    """Write the files below a folder, in order of their names, without owners and times."""
    preset = 9 | lzma.PRESET_EXTREME
    with (
        lzma.open(archive, "wb", preset=preset) as stream,
        tarfile.open(fileobj=stream, mode="w") as file,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    file.addfile(entry, content)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive below a folder."""
    with tarfile.open(archive, "r:xz") as file:
        file.extractall(folder, filter="data")
