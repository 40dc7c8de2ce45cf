"""Large pictures through the VAE in overlapping tiles of one size, their seams blended.

What a tile's network holds in memory does not depend on the picture, and one compiled form of it
serves all tiles. Near an edge that the picture does not have a network sees nothing where it should
see the neighbours: the outer part of each overlap is thrown away, the rest fades from one tile to
the next. Norms and attention look at the whole picture, though: their statistics of it are
estimated from small copies (`whole_context`), and every tile is computed with them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Floats
from sdrt.backends.tile_context import Context, extrapolated


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut; all lengths are in latents."""

    tile: int = 96
    """Side of a tile: 768 pixels."""
    overlap: int = 24
    """What two neighbours share at least."""
    margin: int = 6
    """What of that is thrown away on the side where a tile ends."""

    @classmethod
    def for_size(cls, height: int, width: int) -> "Tiling":
        """That of a picture: where it is lower or narrower than a tile, tiles are longer instead.

        A network needs memory by a tile's pixels, and the fewer tiles, the nearer to the whole.
        """
        square = cls()
        return replace(square, tile=square.tile**2 // min(height, width, square.tile))

    def starts(self, length: int) -> list[int]:
        """Where along a side the tiles begin, evenly spaced from edge to edge."""
        if length <= self.tile:
            return [0]
        count = -(-(length - self.overlap) // (self.tile - self.overlap))
        return [round(i * (length - self.tile) / (count - 1)) for i in range(count)]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of every tile of a picture of this height and width."""
        return min(height, self.tile), min(width, self.tile)

    def is_whole(self, height: int, width: int) -> bool:
        """Whether the picture is one tile."""
        return self.size(height, width) == (height, width)

    def copies(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Heights and widths of two small copies of the picture.

        One has three quarters of a tile's latents, because a network that gives its context needs
        more memory for each; the other has half as many along each side.
        """
        most = 3 * math.prod(self.size(height, width)) // 4
        scale = math.sqrt(most / (height * width))
        high = max(1, min(int(height * scale), most))
        wide = max(1, min(int(width * scale), most // high))
        high = max(1, min(int(height * scale), most // wide))
        return (high, wide), (max(1, high // 2), max(1, wide // 2))

    def weights(self, length: int, scale: int) -> list[Floats]:
        """How much each tile along a side counts, for each of its values; together 1 everywhere.

        There are `scale` values for a latent.
        """
        starts, side = self.starts(length), min(length, self.tile) * scale
        total, each = np.zeros(length * scale), []
        for start in starts:
            weight = np.ones(side)
            if start > 0:
                weight *= self._fade(side, scale)
            if start + self.tile < length:
                weight *= self._fade(side, scale)[::-1]
            total[start * scale : start * scale + side] += weight
            each.append(weight)
        return [
            (weight / total[start * scale : start * scale + side]).astype(np.float32)
            for start, weight in zip(starts, each, strict=True)
        ]

    def _fade(self, side: int, scale: int) -> npt.NDArray[np.float64]:
        """From 0 to 1 between the margins of an overlap: a smooth step."""
        distance = (np.arange(side) + 0.5) / scale - self.margin
        share = (distance / (self.overlap - 2 * self.margin)).clip(0, 1)
        smooth: npt.NDArray[np.float64] = share * share * (3 - 2 * share)
        return smooth


def in_tiles(
    compute: Callable[[Floats], Floats],
    given: Floats,
    tiling: Tiling,
    height: int,
    width: int,
) -> Floats:
    """Compute (1, channels, h, w) tile by tile, and join the results.

    Height and width are in latents; the values of `given` and of the result are that many times a
    whole number. A picture of one tile is computed as if there were no tiles.
    """
    if tiling.is_whole(height, width):
        return compute(given)
    size, taken = tiling.size(height, width), given.shape[2] // height
    places = list(product(tiling.starts(height), tiling.starts(width)))
    joined = np.zeros(0, np.float32)
    weights: list[tuple[Floats, Floats]] = []
    for number, place in enumerate(places):
        made = compute(np.ascontiguousarray(_part(given, place, size, taken)))
        scale = made.shape[2] // size[0]
        if not weights:
            joined = np.zeros((*made.shape[:2], height * scale, width * scale), np.float32)
            sides = tiling.weights(height, scale), tiling.weights(width, scale)
            weights = list(product(*sides))
        part = _part(joined, place, size, scale)
        down, across = weights[number]
        part += made * down[:, None] * across
    return joined


def whole_context(
    look: Callable[[Floats], Context],
    given: Floats,
    tiling: Tiling,
    height: int,
    width: int,
) -> Context:
    """Statistics of norms, and keys and values of attention, of the whole that `in_tiles` cuts.

    `look` computes the context of a small picture. A copy takes single values, because averages of
    several would vary less. In a copy at a scale s everything is nearer together, so that there
    is 1/s of every edge for each of its values, and statistics grow with that: two copies show how
    much, and so what they are at a scale of one.
    """
    sizes = tiling.copies(height, width)
    large, small = (look(_copy(given, size, given.shape[2] // height)) for size in sizes)
    first, second = (math.sqrt(height * width / math.prod(size)) for size in sizes)
    return extrapolated(large, small, (first - 1) / (second - first))


def _copy(given: Floats, size: tuple[int, int], scale: int) -> Floats:
    """A picture of fewer values: those nearest to the places of the new ones."""
    rows, columns = (
        ((np.arange(side * scale) + 0.5) * length / (side * scale)).astype(np.intp)
        for side, length in zip(size, given.shape[2:], strict=True)
    )
    return np.ascontiguousarray(given[:, :, rows[:, None], columns])


def _part(whole: Floats, place: tuple[int, int], size: tuple[int, int], scale: int) -> Floats:
    """The part of an array under a tile, not copied."""
    (top, left), (height, width) = place, size
    rows = slice(top * scale, (top + height) * scale)
    return whole[:, :, rows, left * scale : (left + width) * scale]
