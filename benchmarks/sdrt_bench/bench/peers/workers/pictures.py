"""The files of a round: latents and the image; every peer has numpy and pillow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from harness import Outcome, RoundSpec
from PIL import Image

Array = np.ndarray[Any, Any]


def keep(spec: RoundSpec, latents: Sequence[Array], pixels: Array) -> Outcome:
    """Write latents (channels, h/8, w/8) of each step, and pixels (h, w, 3) as PNG."""
    picture = spec.folder / "picture.png"
    Image.fromarray(pixels).save(picture)
    if not latents:
        return {"picture": str(picture)}
    path = spec.folder / "latents.npz"
    np.savez(path, latents=np.stack(latents))
    return {"latents": str(path), "picture": str(picture)}
