"""Decoded pictures as 8-bit images, and PNG files with their parameters."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sdrt.arrays import Floats
from sdrt.errors import UsageError
from sdrt.files.atomic import check_writable, whole_file
from sdrt.images.metadata import Parameters, Sheet, png_chunks


def to_image(decoded: Floats) -> Image.Image:
    """Turn one decoded picture, (3, height, width) in -1..1, into an RGB image."""
    pixels = ((decoded / 2 + 0.5).clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def save_png(
    image: Image.Image,
    path: Path,
    parameters: Parameters | None = None,
    sheet: Sheet | None = None,
) -> Path:
    """Write a PNG, whole or not at all, with the parameters that made it.

    `sheet` describes the pictures of a sheet. Raises `UsageError` for another suffix, `WriteError`
    for a full disk or a missing permission.
    """
    _check_suffix(path)
    with whole_file(path) as partial:
        partial.write_bytes(png_bytes(image, parameters, sheet))
    return path


def png_bytes(
    image: Image.Image, parameters: Parameters | None = None, sheet: Sheet | None = None
) -> bytes:
    """The contents of the file that `save_png` writes."""
    chunks = png_chunks(parameters, sheet) if parameters else None
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=chunks)
    return file.getvalue()


def check_target(path: Path) -> None:
    """Check before the work that its result can be written here.

    Raises `UsageError`, or `WriteError` without permission.
    """
    folder = path.absolute().parent
    _check_suffix(path)
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: there is a folder of that name")
    check_writable(path, path.parent)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise UsageError(f"cannot write {path}: pictures are written as .png")
