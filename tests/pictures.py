"""Pictures that the tests start from."""

import numpy as np
from PIL import Image


def shades() -> Image.Image:
    """64x64 pixels, each of another colour."""
    rows, columns = np.mgrid[0:64, 0:64]
    values = np.stack([rows * 4, columns * 4, 255 - rows * 2 - columns * 2], axis=2)
    return Image.fromarray(values.astype(np.uint8))


def block_mask() -> Image.Image:
    """White where 64x64 pixels are to be painted: whole blocks of 8, where masks are exact."""
    values = np.zeros((64, 64), np.uint8)
    values[16:56, 24:48] = 255
    return Image.fromarray(values)
