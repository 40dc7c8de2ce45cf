"""Hints made of photographs by plain image arithmetic: edges, scribbles, and the picture itself.

Each takes and gives pixels, (height, width, 3) of 8 bits, at the size of the run: a ControlNet was
trained on lines that are one pixel wide there. Other hints (depth, poses, segmentation) need
networks of their own, and are pictures that the user brings.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Plane = npt.NDArray[Any]  # (height, width)

WEAK, STRONG = 100.0, 200.0  # gradients, as OpenCV's users give them to its Canny
TANGENT = np.tan(np.pi / 8)  # of the angle between two of the four directions
FINE, COARSE = 0.5, 5.0  # radii of the blurs whose difference shows lines, in pixels
LINE = 16  # grey levels by which a line is darker than what is around it
WHITE = 255


def canny(pixels: Pixels) -> Pixels:
    """White edges, one pixel wide, on black (Canny 1986, DOI 10.1109/TPAMI.1986.4767851).

    As OpenCV computes it by default: Sobel's gradients of 3x3 pixels, of each pixel's strongest
    colour, their size as |x| + |y|, and the thresholds 100 and 200 that ControlNets for edges
    were trained with. There is no blur before.
    """
    x, y = _gradients(pixels)
    size = abs(x) + abs(y)
    crest = _crest(x, y, size)
    strong, weak = crest & (size > STRONG), crest & (size > WEAK)
    return _white_on_black(_connected(strong, weak))


def scribble(pixels: Pixels) -> Pixels:
    """White lines on black, where the picture is darker than around it in every colour.

    The difference of two Gaussian blurs (Winnemoeller et al. 2012, section 2), with a threshold. A
    drawing in dark lines on white becomes the same lines in white on black.
    """
    image = Image.fromarray(pixels)
    fine, coarse = (
        np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.int16)
        for radius in (FINE, COARSE)
    )
    return _white_on_black((coarse - fine).min(axis=2) > LINE)


def tile(pixels: Pixels) -> Pixels:
    """The picture as it is, for ControlNets that repaint its details."""
    return pixels


PREPROCESSORS: dict[str, Callable[[Pixels], Pixels]] = {
    "canny": canny,
    "scribble": scribble,
    "tile": tile,
}


def _gradients(pixels: Pixels) -> tuple[Plane, Plane]:
    """Sobel's gradients to the right and downwards, of the colour in which they are largest."""
    padded = np.pad(pixels.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    x = across[:-2] + 2 * across[1:-1] + across[2:]
    y = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    colour = (abs(x) + abs(y)).argmax(axis=2)[..., None]
    return np.take_along_axis(x, colour, 2)[..., 0], np.take_along_axis(y, colour, 2)[..., 0]


def _crest(x: Plane, y: Plane, size: Plane) -> Plane:
    """Where the gradient is largest along its own direction."""
    padded = np.pad(size, 1)
    height, width = size.shape

    def beside(dy: int, dx: int) -> Plane:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    flat, steep = abs(y) <= abs(x) * TANGENT, abs(x) <= abs(y) * TANGENT
    falls = x * y > 0
    # Of two equal neighbours the later one counts, so that an edge is one pixel wide.
    horizontal = (size > beside(0, -1)) & (size >= beside(0, 1))
    vertical = (size > beside(-1, 0)) & (size >= beside(1, 0))
    falling = (size > beside(-1, -1)) & (size > beside(1, 1))
    rising = (size > beside(-1, 1)) & (size > beside(1, -1))
    diagonal = np.where(falls, falling, rising)
    return np.asarray(np.where(flat, horizontal, np.where(steep, vertical, diagonal)))


def _connected(strong: Plane, weak: Plane) -> Plane:
    """The strong pixels, and the weak ones that lead to them over neighbours."""
    height, width = weak.shape
    found, left = np.pad(strong, 1), np.pad(weak, 1)
    new = np.flatnonzero(found)
    found, left = found.ravel(), left.ravel()
    row = width + 2
    steps = np.array([dy * row + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    while new.size:
        near = np.unique(new[:, None] + steps)
        new = near[left[near] & ~found[near]]
        found[new] = True
    return found.reshape(height + 2, row)[1:-1, 1:-1]


def _white_on_black(lines: Plane) -> Pixels:
    return np.repeat((lines * np.uint8(WHITE))[..., None], 3, axis=2)
