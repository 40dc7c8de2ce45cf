"""Large pictures through the VAE in overlapping tiles of one size, their seams blended.

What a tile's network holds in memory does not depend on the picture, and one compiled form of it
serves all tiles. Near an edge that the picture does not have a network sees nothing where it should
see the neighbours: the outer part of each overlap is thrown away, the rest fades from one tile to
the next. Norms and attention see a tile in place of the picture, which shifts the colours of each
tile. What two tiles make of the same place tells how far, and the shifts are taken out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut; all lengths are in latents."""

    tile: int = 96
    """Side of a tile: 768 pixels. With 512 tiles are farther from the whole by 6 dB."""
    overlap: int = 24
    """What two neighbours share at least."""
    margin: int = 6
    """What of that is thrown away on the side where a tile ends."""

    @classmethod
    def of(cls, height: int, width: int) -> "Tiling":
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

    def shared(self, one: int, other: int, length: int) -> range:
        """The latents along a side that tiles which begin there share, without their margins."""
        begins = [start + (self.margin if start > 0 else 0) for start in (one, other)]
        ends = [min(start + self.tile, length) for start in (one, other)]
        ends = [end - (self.margin if end < length else 0) for end in ends]
        return range(max(begins), min(ends))

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
    size, taken = tiling.size(height, width), given.shape[2] // height
    places = list(product(tiling.starts(height), tiling.starts(width)))
    joined, looks = np.zeros(0, np.float32), []
    weights: list[tuple[Floats, Floats]] = []
    for place in places:
        made = compute(np.ascontiguousarray(_part(given, place, size, taken)))
        scale = made.shape[2] // size[0]
        if not weights:
            joined = np.zeros((*made.shape[:2], height * scale, width * scale), np.float32)
            sides = tiling.weights(height, scale), tiling.weights(width, scale)
            weights = list(product(*sides))
        looks.append(made[0].reshape(-1, size[0], scale, size[1], scale).mean(axis=(2, 4)))
        part = _part(joined, place, size, scale)
        down, across = weights[len(looks) - 1]
        part += made * down[:, None] * across
    shifts = _shifts(looks, places, tiling, (height, width))
    for place, (down, across), shift in zip(places, weights, shifts, strict=True):
        part = _part(joined, place, size, scale)
        part += shift[:, None, None] * down[:, None] * across
    return joined


def _part(whole: Floats, place: tuple[int, int], size: tuple[int, int], scale: int) -> Floats:
    """The part of an array under a tile, not copied."""
    (top, left), (height, width) = place, size
    rows = slice(top * scale, (top + height) * scale)
    return whole[:, :, rows, left * scale : (left + width) * scale]


def _shifts(
    looks: list[Floats],
    places: list[tuple[int, int]],
    tiling: Tiling,
    lengths: tuple[int, int],
) -> Floats:
    """What to add to each tile, (tiles, channels), so that all agree where they overlap.

    `looks` are the tiles with one value for a latent. Least squares over all overlaps, which leave
    one shift of the whole picture open. It is such that all shifts together are none: norms of the
    whole see the average of what those of the tiles see.
    """
    rows, differences = [], []
    for one, other in combinations(range(len(places)), 2):
        spans = [
            tiling.shared(a, b, length)
            for a, b, length in zip(places[one], places[other], lengths, strict=True)
        ]
        if not all(spans):
            continue
        ours, theirs = (
            looks[i][
                (slice(None), *(_within(*both) for both in zip(spans, places[i], strict=True)))
            ]
            for i in (one, other)
        )
        row = np.zeros(len(places))
        row[one], row[other] = 1, -1
        certainty = math.sqrt(len(spans[0]) * len(spans[1]))
        rows.append(row * certainty)
        differences.append((theirs - ours).mean(axis=(1, 2)) * certainty)
    # Of all solutions this gives the smallest, which has no part that is common to all tiles.
    solved = np.linalg.lstsq(np.array(rows), np.array(differences), rcond=None)[0]
    shifts: Floats = solved.astype(np.float32)
    return shifts


def _within(span: range, start: int) -> slice:
    """A span of the picture's latents in a tile that begins there."""
    return slice(span.start - start, span.stop - start)
