"""Points and lines over two axes, each with its name beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from sdrt_bench.charts.axes import log_ticks, mark, ticks, whole_ticks
from sdrt_bench.charts.svg import SIZE, Point, Sheet, width_of

MARGIN, TOP, GAP, LINE = 16, 44, 9, 16
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Dot:
    """One value with its name."""

    x: float
    y: float
    css: str
    label: str
    shape: Literal["dot", "diamond"] = "dot"


@dataclass(frozen=True)
class Curve:
    """Values that belong together; those of one name have one label, at the last one's end."""

    points: Sequence[Point]
    css: str
    label: str = ""


@dataclass(frozen=True)
class Plane:
    """A chart of dots and curves that share their axes."""

    title: str
    x_label: str
    y_label: str
    dots: Sequence[Dot] = ()
    curves: Sequence[Curve] = ()
    is_counted: bool = False
    """Whether x are whole numbers."""
    y_names: dict[float, str] = field(default_factory=dict)
    """Ticks with a name instead of a number."""
    from_zero: bool = True
    is_log: bool = False
    """Whether equal heights are equal factors; all y are positive then."""

    def to_svg(self, width: float = 860, height: float = 420) -> str:
        """Draw it."""
        return _Drawing(self, width, height).to_svg()


class _Drawing:
    """A plane being drawn."""

    def __init__(self, plane: Plane, width: float, height: float) -> None:
        self.plane = plane
        self.sheet = Sheet(width, height, plane.title)
        points = [(dot.x, dot.y) for dot in plane.dots]
        points += [point for curve in plane.curves for point in curve.points]
        xs = [x for x, _ in points]
        ys = [y for _, y in points if y not in plane.y_names]
        low_x = min(xs) if plane.is_counted or not plane.from_zero else 0
        self.x_ticks = (whole_ticks if plane.is_counted else ticks)(low_x, max(xs))
        low_y = 0 if plane.from_zero else min(ys, default=0)
        marks = log_ticks if plane.is_log else ticks
        self.y_ticks = marks(min(ys) if plane.is_log else low_y, max(ys, default=1))
        self.y_range = self.y_ticks[0], max([self.y_ticks[-1], *plane.y_names])
        if len(self.x_ticks) == 1:
            self.x_ticks = [self.x_ticks[0], self.x_ticks[0] + 1]
        widest = max(width_of(self._name(value)) for value in self._y_marks())
        ends = [width_of(curve.label) + GAP + 4 for curve in plane.curves if curve.label]
        rightmost = max(plane.dots, key=lambda dot: dot.x, default=None)
        if rightmost and rightmost.label:
            ends.append(width_of(rightmost.label) + GAP)
        self.left = MARGIN + 26 + widest
        self.right = width - MARGIN - max(ends, default=26)
        self.top, self.bottom = TOP, height - 52

    def to_svg(self) -> str:
        sheet, plane = self.sheet, self.plane
        sheet.text((MARGIN, 18), plane.title, css="title")
        self._axes()
        for curve in plane.curves:
            sheet.line([self._at(*point) for point in curve.points], curve.css, curve.label)
        self._curve_labels()
        places = [self._at(dot.x, dot.y) for dot in plane.dots]
        taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
        taken += [box for curve in plane.curves for box in self._boxes(curve)]
        for dot, at in zip(plane.dots, places, strict=True):
            draw = sheet.diamond if dot.shape == "diamond" else sheet.dot
            draw(at, dot.css, f"{dot.label}: {dot.x:.4g}, {self._name(dot.y)}")
        for dot, at in zip(plane.dots, places, strict=True):
            if dot.label:
                self._dot_label(dot.label, at, taken)
        return sheet.to_svg()

    def _axes(self) -> None:
        sheet = self.sheet
        for value in self._y_marks():
            y = self._at(self.x_ticks[0], value)[1]
            sheet.line([(self.left, y), (self.right, y)], "grid")
            sheet.text((self.left - GAP, y), self._name(value), "end", "faint")
        sheet.line([(self.left, self.bottom), (self.right, self.bottom)], "axis")
        for value in self.x_ticks:
            x = self._at(value, self.y_ticks[0])[0]
            sheet.line([(x, self.bottom), (x, self.bottom + 5)], "axis")
            sheet.text((x, self.bottom + 16), mark(value), "middle", "faint")
        middle = (self.left + self.right) / 2
        sheet.text((middle, self.bottom + 38), self.plane.x_label, "middle")
        sheet.upright((MARGIN + 8, (self.top + self.bottom) / 2), self.plane.y_label)

    def _y_marks(self) -> list[float]:
        return [*self.y_ticks, *self.plane.y_names]

    def _name(self, value: float) -> str:
        return self.plane.y_names.get(value) or mark(float(f"{value:.6g}"))

    def _at(self, x: float, y: float) -> Point:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        bottom, top, y = (math.log(v) if self.plane.is_log else v for v in (*self.y_range, y))
        rise = (y - bottom) / (top - bottom)
        return (
            self.left + (x - low) / (high - low) * (self.right - self.left),
            self.bottom - rise * (self.bottom - self.top),
        )

    def _boxes(self, curve: Curve) -> list[Box]:
        """What a curve covers, where it is upright or level."""
        points = [self._at(*point) for point in curve.points]
        return [
            (min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1)
            for (a, b), (c, d) in pairwise(points)
            if a == c or b == d
        ]

    def _curve_labels(self) -> None:
        """At the ends of the curves, pushed apart where they would touch."""
        last = {curve.label: curve for curve in self.plane.curves if curve.label}
        ends = sorted(
            (self._at(*curve.points[-1])[::-1], label, curve.css) for label, curve in last.items()
        )
        places = self._spread([y for (y, _), *_ in ends])
        for ((y, x), label, css), place in zip(ends, places, strict=True):
            lead = [(x, y), (max(x, self.right), y), (self.right + GAP, place)]
            # A level line that begins inside the frame must not be read as values.
            self.sheet.line(lead, "front" if x < self.right - 1 else f"{css} thin")
            self.sheet.text((self.right + GAP + 2, place), label)

    def _spread(self, ys: Sequence[float]) -> list[float]:
        """Heights in the same order, at least a line apart, inside the frame where they fit."""
        placed: list[float] = []
        for y in ys:
            placed.append(max(y, placed[-1] + LINE) if placed else y)
        limit = self.bottom
        for i in reversed(range(len(placed))):
            placed[i] = min(placed[i], limit)
            limit = placed[i] - LINE
        return placed

    def _dot_label(self, words: str, at: Point, taken: list[Box]) -> None:
        """Right of its dot, or wherever else there is room; nowhere covers another."""
        (x, y), wide, half = at, width_of(words), SIZE / 2 + 1
        spots = [
            (x + GAP + shift_x, y + shift_y)
            for shift_y in (0, -14, 14, -28, 28, -42, 42)
            for shift_x in (0, -wide - 2 * GAP, -wide / 2 - GAP)
            if shift_y or shift_x != -wide / 2 - GAP
        ]
        boxes = [(left, mid - half, left + wide, mid + half) for left, mid in spots]
        inside = [
            box
            for box in boxes
            if box[0] >= self.left and box[2] <= self.sheet.width - 4 and box[3] <= self.bottom
        ]
        free = [box for box in inside if not any(_overlap(box, other) for other in taken)]
        box = next(iter(free or inside or boxes))
        taken.append(box)
        self.sheet.text((box[0], (box[1] + box[3]) / 2), words)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
