"""Large pictures through the VAE in overlapping tiles of one size, their seams blended.

What a tile's network holds in memory does not depend on the picture, and one compiled form of it
serves all tiles. Near an edge that the picture does not have a network sees nothing where it should
see the neighbours: the outer part of each overlap is thrown away, the rest fades from one tile to
the next. Norms and attention see a tile in place of the picture, which no overlap makes good.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut; all lengths are in latents."""

    tile: int = 64
    """Side of a tile: 512 pixels, which is what Stable Diffusion's VAE was trained for."""
    overlap: int = 24
    """What two neighbours share at least."""
    margin: int = 6
    """What of that is thrown away on the side where a tile ends."""

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
    """What `compute` makes of (1, channels, h, w), made of tiles and joined again.

    Height and width are in latents; the values of `given` and of the result are that many times a
    whole number. A picture of one tile is computed as if there were no tiles.
    """
    if tiling.is_whole(height, width):
        return compute(given)
    taken = given.shape[2] // height
    tile_height, tile_width = tiling.size(height, width)
    joined: Floats | None = None
    for i, top in enumerate(tiling.starts(height)):
        for j, left in enumerate(tiling.starts(width)):
            rows = slice(top * taken, (top + tile_height) * taken)
            columns = slice(left * taken, (left + tile_width) * taken)
            made = compute(np.ascontiguousarray(given[:, :, rows, columns]))
            scale = made.shape[2] // tile_height
            if joined is None:
                shape = *made.shape[:2], height * scale, width * scale
                joined = np.zeros(shape, np.float32)
                down, across = tiling.weights(height, scale), tiling.weights(width, scale)
            made = made * down[i][:, None] * across[j]
            place = np.s_[
                :,
                :,
                top * scale : (top + tile_height) * scale,
                left * scale : (left + tile_width) * scale,
            ]
            joined[place] += made
    assert joined is not None
    return joined
