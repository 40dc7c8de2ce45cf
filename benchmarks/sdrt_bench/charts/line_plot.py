"""Lines over numbers as a picture: axes, ticks, labels and a legend, drawn with Pillow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from sdrt_bench.charts.axes import OKABE_ITO, mark, ticks, whole_ticks

Color = tuple[int, int, int]
Point = tuple[float, float]

PAPER, INK, FAINT, GRID = (255, 255, 255), (38, 42, 48), (104, 110, 120), (228, 231, 235)
# Told apart by readers with any kind of colour vision.
COLORS: tuple[Color, ...] = tuple(
    (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)) for code in OKABE_ITO
)
SAMPLE = 56  # width of a legend's sample with its distances
SHADE = 46  # of 255: how dense a band is
SMOOTH = 3  # drawn so many times larger: Pillow's lines are jagged
MARGIN, LINE = 24, 20


@dataclass(frozen=True)
class Line:
    """One line through (x, y), with its name in the legend; values that are not finite are gaps."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    """Lower and upper bound of a shaded area, for each x."""
    band_label: str | None = None
    is_dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure of lines that share their axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    subtitle: str = ""
    """One line or more under the title."""
    empty: str = "nothing to show"
    """Stands in the middle where no line has a finite value."""

    def draw(self, width: int = 880, height: int = 500) -> Image.Image:
        """Paint it, in pixels."""
        return _Sheet(self, width, height).painted()


@dataclass(frozen=True)
class _Entry:
    """One sample in the legend: of a line, or of its band."""

    label: str
    line: Line
    color: Color
    is_band: bool


class _Sheet:
    """A chart being painted. Lengths are pixels of the finished picture."""

    def __init__(self, chart: Chart, width: int, height: int) -> None:
        self.chart, self.width, self.height = chart, width, height
        self.image = Image.new("RGB", (width * SMOOTH, height * SMOOTH), PAPER)
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        xs, ys = _extent(chart.lines)
        self.is_empty = not ys
        marks = whole_ticks if all(float(x).is_integer() for x in xs) else ticks
        self.x_ticks = marks(min(xs), max(xs)) if xs else []
        self.y_ticks = ticks(min(ys), max(ys)) if ys else []
        widest = max((self._width(mark(value), 13) for value in self.y_ticks), default=0)
        self.left, self.right, self.bottom = MARGIN + 30 + widest, width - MARGIN, height - 62
        self.subtitles = chart.subtitle.splitlines()
        self.heading = MARGIN + 24 + LINE * len(self.subtitles)
        self.rows = self._legend_rows()
        self.top = self.heading + LINE * len(self.rows) + 18

    def painted(self) -> Image.Image:
        """Everything, from the back to the front."""
        self._heading()
        if self.is_empty:
            self._text(self.chart.empty, (self.width / 2, self.height / 2), 15, "mm", FAINT)
            return self._finished()
        self._axes()
        for line, color in self._colored():
            if line.band:
                self._band(line, color)
        for line, color in self._colored():
            self._line(line, color)
        self._legend()
        return self._finished()

    def _finished(self) -> Image.Image:
        return self.image.resize((self.width, self.height), Image.Resampling.BOX)

    def _colored(self) -> list[tuple[Line, Color]]:
        return [(line, COLORS[i % len(COLORS)]) for i, line in enumerate(self.chart.lines)]

    def _heading(self) -> None:
        self._text(self.chart.title, (MARGIN, MARGIN), 17, "lm", INK)
        for i, line in enumerate(self.subtitles):
            self._text(line, (MARGIN, MARGIN + 24 + LINE * i), 13, "lm", FAINT)

    def _axes(self) -> None:
        for value in self.y_ticks:
            y = self._at(0, value)[1]
            self._stroke([(self.left, y), (self.right, y)], GRID, 1)
            self._text(mark(value), (self.left - 10, y), 13, "rm", FAINT)
        self._stroke([(self.left, self.bottom), (self.right, self.bottom)], FAINT, 1.3)
        for value in self.x_ticks:
            x = self._at(value, 0)[0]
            self._stroke([(x, self.bottom), (x, self.bottom + 5)], FAINT, 1.3)
            self._text(mark(value), (x, self.bottom + 10), 13, "mt", FAINT)
        middle = (self.left + self.right) / 2
        self._text(self.chart.x_label, (middle, self.height - 16), 14, "mb", INK)
        self._upright(self.chart.y_label, 14)

    def _band(self, line: Line, color: Color) -> None:
        assert line.band is not None
        rows = list(zip(line.x, *line.band, strict=True))
        for is_whole, part in groupby(rows, lambda row: all(map(math.isfinite, row))):
            if is_whole:
                known = list(part)
                lower = [self._at(x, low) for x, low, _ in known]
                upper = [self._at(x, high) for x, _, high in known]
                outline = [self._scaled(point) for point in [*lower, *reversed(upper)]]
                if len(known) > 1:
                    self.pen.polygon(outline, (*color, SHADE))

    def _line(self, line: Line, color: Color) -> None:
        rows = list(zip(line.x, line.y, strict=True))
        for is_whole, part in groupby(rows, lambda row: all(map(math.isfinite, row))):
            if is_whole:
                points = [self._at(x, y) for x, y in part]
                self._stroke(points, color, 2.4, line.is_dashed)
                if not line.is_dashed and len(rows) <= 60:
                    for point in points:
                        self._dot(point, color)

    def _legend_rows(self) -> list[list[_Entry]]:
        """Samples with their labels, in as many rows as they need."""
        rows: list[list[_Entry]] = [[]]
        used = 0.0
        for line, color in self._colored():
            entries = [_Entry(line.label, line, color, is_band=False)]
            if line.band and line.band_label:
                entries.append(_Entry(line.band_label, line, color, is_band=True))
            for entry in entries:
                used += self._width(entry.label, 13) + SAMPLE
                if used > self.right - MARGIN and rows[-1]:
                    rows.append([])
                    used = self._width(entry.label, 13) + SAMPLE
                rows[-1].append(entry)
        return rows

    def _legend(self) -> None:
        for i, row in enumerate(self.rows):
            left, y = float(MARGIN), self.heading + LINE * i + 4
            for entry in row:
                if entry.is_band:
                    box = [*self._scaled((left, y - 6)), *self._scaled((left + 26, y + 6))]
                    self.pen.rectangle(box, (*entry.color, SHADE))
                else:
                    self._stroke(
                        [(left, y), (left + 26, y)], entry.color, 2.4, entry.line.is_dashed
                    )
                    if not entry.line.is_dashed:
                        self._dot((left + 13, y), entry.color)
                self._text(entry.label, (left + 34, y), 13, "lm", INK)
                left += self._width(entry.label, 13) + SAMPLE

    def _at(self, x: float, y: float) -> Point:
        """Where a value stands; the first and last x keep a little distance to the frame."""
        low, high = self.x_ticks[0], self.x_ticks[-1]
        share = (x - low) / (high - low) if high > low else 0.5
        inner = self.left + 14, self.right - 14
        bottom, top = self.y_ticks[0], self.y_ticks[-1]
        rise = (y - bottom) / (top - bottom)
        return (
            inner[0] + share * (inner[1] - inner[0]),
            self.bottom - rise * (self.bottom - self.top),
        )

    def _scaled(self, point: Point) -> Point:
        return point[0] * SMOOTH, point[1] * SMOOTH

    def _stroke(
        self, points: Sequence[Point], color: Color, width: float, is_dashed: bool = False
    ) -> None:
        if len(points) < 2:
            return
        for part in _dashes(points) if is_dashed else [points]:
            scaled = [self._scaled(point) for point in part]
            self.pen.line(scaled, color, round(width * SMOOTH), joint="curve")

    def _dot(self, point: Point, color: Color, radius: float = 3.4) -> None:
        x, y = self._scaled(point)
        r = radius * SMOOTH
        self.pen.ellipse((x - r, y - r, x + r, y + r), color)

    def _text(self, text: str, at: Point, size: int, anchor: str, color: Color) -> None:
        self.pen.text(self._scaled(at), text, color, _font(size), anchor)

    def _upright(self, text: str, size: int) -> None:
        """A label that reads from below, left of the axis."""
        paper = Image.new(
            "RGB", (round(self._width(text, size) + 2) * SMOOTH, LINE * SMOOTH), PAPER
        )
        at = paper.width / 2, paper.height / 2
        ImageDraw.Draw(paper).text(at, text, INK, _font(size), "mm")
        turned = paper.transpose(Image.Transpose.ROTATE_90)
        middle = (self.top + self.bottom) / 2 * SMOOTH
        self.image.paste(turned, (16 * SMOOTH, round(middle - turned.height / 2)))

    def _width(self, text: str, size: int) -> float:
        return self.pen.textlength(text, _font(size)) / SMOOTH


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SMOOTH)


def _extent(lines: Sequence[Line]) -> tuple[list[float], list[float]]:
    """All x, and all y that are finite, bands among them."""
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in (*line.y, *(b for band in line.band or () for b in band))]
    return xs, [y for y in ys if math.isfinite(y)]


def _dashes(points: Sequence[Point], on: float = 7, off: float = 5) -> list[list[Point]]:
    """Cut a line into dashes that go on around its corners."""
    parts: list[list[Point]] = []
    left, is_on = on, True
    here = points[0]
    part = [here]
    for target in points[1:]:
        while (distance := math.dist(here, target)) > left:
            share = left / distance
            here = (
                here[0] + share * (target[0] - here[0]),
                here[1] + share * (target[1] - here[1]),
            )
            if is_on:
                parts.append([*part, here])
            is_on = not is_on
            left, part = (on if is_on else off), [here]
        left -= distance
        here = target
        part.append(here)
    return [*parts, part] if is_on and len(part) > 1 else parts
