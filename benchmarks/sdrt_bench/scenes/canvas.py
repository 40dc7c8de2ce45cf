"""A picture being drawn: shapes in unit coordinates, under the light of a time of day."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sdrt.arrays import Floats
from sdrt_bench.scenes.grammar import SIZE, Color

SUPERSAMPLING = 3
PIXELS = SIZE * SUPERSAMPLING

# Factors on red, green and blue of everything that the light falls on.
LIGHT = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.80, 0.68),
    "night": (0.60, 0.64, 0.86),
    "dawn": (0.97, 0.86, 0.90),
}

Point = tuple[float, float]


def gradient(stops: Sequence[tuple[float, Color]], rows: int) -> Floats:
    """Interpolate colours over `rows`: shape (rows, 3), 0..255."""
    at = np.linspace(0, 1, rows)
    where = [position for position, _ in stops]
    channels = [np.interp(at, where, [color[c] for _, color in stops]) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.float32)


class Canvas:
    """Coordinates run from 0 to 1 over the picture, y downwards; sizes are in the same unit."""

    def __init__(self, image: Image.Image, time: str, facing: int) -> None:
        self.image = image
        self.is_night = time == "night"
        self.facing = facing  # 1: animals and boats look to the right, -1: to the left
        self._light = LIGHT[time]
        self._draw = ImageDraw.Draw(image)

    def polygon(
        self, points: Sequence[Point], color: Color, shade: float = 1.0, lit: bool = True
    ) -> None:
        """Fill a polygon; `lit=False` for what shines by itself (sun, lamps)."""
        scaled = [(x * PIXELS, y * PIXELS) for x, y in points]
        self._draw.polygon(scaled, fill=self._paint(color, shade, lit))

    def ellipse(
        self, center: Point, radii: Point, color: Color, shade: float = 1.0, lit: bool = True
    ) -> None:
        """Fill an axis-parallel ellipse."""
        (x, y), (rx, ry) = center, radii
        box = [(x - rx) * PIXELS, (y - ry) * PIXELS, (x + rx) * PIXELS, (y + ry) * PIXELS]
        self._draw.ellipse(box, fill=self._paint(color, shade, lit))

    def rectangle(
        self,
        box: tuple[float, float, float, float],
        color: Color,
        shade: float = 1.0,
        lit: bool = True,
        radius: float = 0.0,
    ) -> None:
        """Fill a box given as (left, top, right, bottom), with rounded corners if asked."""
        left, top, right, bottom = (v * PIXELS for v in box)
        self._draw.rounded_rectangle(
            [min(left, right), top, max(left, right), bottom],
            radius=radius * PIXELS,
            fill=self._paint(color, shade, lit),
        )

    def line(
        self,
        start: Point,
        end: Point,
        width: float,
        color: Color,
        shade: float = 1.0,
        lit: bool = True,
    ) -> None:
        """Draw a line with round ends."""
        self._draw.line(
            [start[0] * PIXELS, start[1] * PIXELS, end[0] * PIXELS, end[1] * PIXELS],
            fill=self._paint(color, shade, lit),
            width=max(1, round(width * PIXELS)),
        )
        for point in (start, end):
            self.ellipse(point, (width / 2, width / 2), color, shade, lit)

    def _paint(self, color: Color, shade: float, lit: bool) -> Color:
        light = self._light if lit else (1.0, 1.0, 1.0)
        r, g, b = (int(min(255, max(0, v * shade * k))) for v, k in zip(color, light, strict=True))
        return r, g, b
