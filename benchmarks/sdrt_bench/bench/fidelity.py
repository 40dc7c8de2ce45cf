"""Fidelity of a cell: its latents and image against those of the fp32 cell with the same work."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sdrt_bench.bench.cells import group_name
from sdrt_bench.bench.record import Cell, CellFidelity
from sdrt_bench.similarity import Pixels, latent_psnr_db, psnr_db, ssim

REFERENCE = "fp32"


def reference_of(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """Give the first cell of sdrt in fp32 that makes the same image; it may be the cell itself.

    The number of threads changes nothing in the image that is expected.
    """
    candidates = (
        candidate
        for candidate in cells
        if candidate.params.tool == "sdrt"
        and candidate.params.precision == REFERENCE
        and group_name(candidate.params) == group_name(cell.params)
        and candidate.params.seed == cell.params.seed
        and candidate.params.prompt == cell.params.prompt
    )
    return next(candidates, None)


def compare_cells(
    cell: Cell, reference: Cell, ours: Path | None, theirs: Path | None
) -> CellFidelity:
    """Compare latents in npz files, where there are any, and images."""
    figures: dict[str, float | None] = {}
    if reference.image and cell.image:
        expected, measured = decoded(reference.image), decoded(cell.image)
        if expected.shape == measured.shape:
            figures["image_psnr_db"] = _finite(psnr_db(expected, measured))
            figures["image_ssim"] = min(1.0, ssim(expected, measured))
    return CellFidelity(reference=reference.name, latent_psnr_db=_latents(theirs, ours), **figures)


def _latents(expected: Path | None, measured: Path | None) -> tuple[float | None, ...]:
    if not (expected and measured and expected.exists() and measured.exists()):
        return ()
    ours, theirs = (np.load(path)["latents"] for path in (expected, measured))
    if ours.shape[1:] != theirs.shape[1:]:
        return ()
    both = zip(ours, theirs, strict=False)
    return tuple(_finite(latent_psnr_db(*pair)) for pair in both)


def encoded(picture: Path) -> str:
    """Read a file as base64."""
    return base64.b64encode(picture.read_bytes()).decode()


def decoded(picture: str) -> Pixels:
    """Read the pixels of a PNG in base64."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image.convert("RGB"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
