"""How far a cell's latents and picture are from those of the fp32 cell that did the same work."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sdrt_bench.bench.cells import group_name
from sdrt_bench.bench.record import Cell, Fidelity
from sdrt_bench.similarity import Pixels, latent_psnr_db, psnr_db, ssim

REFERENCE = "fp32"


def reference_of(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The first of our cells in fp32 that paints the same picture; may be the cell itself.

    How many threads it ran on changes nothing in what it is to compute.
    """
    fitting = (
        one
        for one in cells
        if one.params.tool == "sdrt"
        and one.params.precision == REFERENCE
        and group_name(one.params) == group_name(cell.params)
        and one.params.seed == cell.params.seed
        and one.params.prompt == cell.params.prompt
    )
    return next(fitting, None)


def distance(cell: Cell, reference: Cell, ours: Path | None, theirs: Path | None) -> Fidelity:
    """Of latents in npz files, where there are any, and of pictures."""
    of_pictures: dict[str, float | None] = {}
    if reference.picture and cell.picture:
        expected, found = decoded(reference.picture), decoded(cell.picture)
        if expected.shape == found.shape:
            of_pictures["image_psnr_db"] = _finite(psnr_db(expected, found))
            of_pictures["image_ssim"] = min(1.0, ssim(expected, found))
    return Fidelity(reference=reference.name, latent_psnr_db=_latents(theirs, ours), **of_pictures)


def _latents(expected: Path | None, found: Path | None) -> tuple[float | None, ...]:
    if not (expected and found and expected.exists() and found.exists()):
        return ()
    ours, theirs = (np.load(path)["latents"] for path in (expected, found))
    if ours.shape[1:] != theirs.shape[1:]:
        return ()
    both = zip(ours, theirs, strict=False)
    return tuple(_finite(latent_psnr_db(*pair)) for pair in both)


def encoded(picture: Path) -> str:
    """A file in base64."""
    return base64.b64encode(picture.read_bytes()).decode()


def decoded(picture: str) -> Pixels:
    """Pixels of a PNG in base64."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image.convert("RGB"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
