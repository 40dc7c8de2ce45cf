"""Lying bars, so that long names fit beside them: stacked, with error bars and limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdrt_bench.charts.axes import mark, ticks
from sdrt_bench.charts.svg import Sheet, width_of

ROW, BAR, GAP, MARGIN = 26, 15, 10, 16
HEAD = 44  # title above the legend or the bars


@dataclass(frozen=True)
class Segment:
    """A part of a bar."""

    value: float
    css: str
    name: str
    """For the legend, and under the pointer."""


@dataclass(frozen=True)
class Limit:
    """A short line across a bar: what could have been."""

    value: float
    css: str
    name: str


@dataclass(frozen=True)
class Bar:
    """One row."""

    label: str
    segments: Sequence[Segment]
    words: str
    """Stand at the bar's end."""
    whisker: tuple[float, float] | None = None
    limits: Sequence[Limit] = ()

    @property
    def total(self) -> float:
        """Where the bar ends."""
        return sum(segment.value for segment in self.segments)

    @property
    def end(self) -> float:
        """Where anything of it ends."""
        return max(self.total, *(self.whisker or ()), *(limit.value for limit in self.limits), 0.0)


@dataclass(frozen=True)
class Bars:
    """A chart of bars that begin at zero."""

    title: str
    unit: str
    """Under the axis."""
    bars: Sequence[Bar]
    has_legend: bool = True

    def to_svg(self, width: float = 860) -> str:
        """Draw it."""
        names = self._names() if self.has_legend else []
        top = HEAD + (22 if names else 0)
        bottom = top + ROW * len(self.bars) + 4
        sheet = Sheet(width, bottom + 48, self.title)
        sheet.text((MARGIN, 18), self.title, css="title")
        self._legend(sheet, names)
        left = MARGIN + GAP + max(width_of(bar.label) for bar in self.bars)
        room = max(width_of(bar.words) for bar in self.bars) + 2 * GAP
        marks = ticks(0, max(bar.end for bar in self.bars) or 1)
        scale = (width - MARGIN - room - left) / marks[-1]
        for value in marks:
            x = left + scale * value
            sheet.line([(x, top), (x, bottom)], "grid" if value else "axis")
            sheet.text((x, bottom + 13), mark(value), "middle", "faint")
        sheet.text((left + scale * marks[-1] / 2, bottom + 34), self.unit, "middle")
        for i, bar in enumerate(self.bars):
            _draw(sheet, bar, left, top + ROW * i + ROW / 2, scale)
        return sheet.to_svg()

    def _names(self) -> list[tuple[str, str, bool]]:
        """Each name once, with its class, and whether it is a limit."""
        found: dict[str, tuple[str, str, bool]] = {}
        parts = [part for bar in self.bars for part in bar.segments]
        for part in sorted(parts, key=lambda part: part.css):
            found.setdefault(part.name, (part.name, part.css, False))
        for bar in self.bars:
            for limit in bar.limits:
                found.setdefault(limit.name, (limit.name, limit.css, True))
        return list(found.values())

    def _legend(self, sheet: Sheet, names: Sequence[tuple[str, str, bool]]) -> None:
        x = float(MARGIN)
        for name, css, is_limit in names:
            if is_limit:
                sheet.line([(x + 6, HEAD - 6), (x + 6, HEAD + 8)], css)
            else:
                sheet.box((x, HEAD - 5), (12, 12), css)
            sheet.text((x + 18, HEAD + 1), name)
            x += 18 + width_of(name) + 20


def _draw(sheet: Sheet, bar: Bar, left: float, middle: float, scale: float) -> None:
    sheet.text((left - GAP, middle), bar.label, "end")
    x = left
    for part in bar.segments:
        tip = f"{bar.label}: {part.name} {part.value:.4g}"
        sheet.box((x, middle - BAR / 2), (scale * part.value, BAR), f"bar {part.css}", tip)
        x += scale * part.value
    for limit in bar.limits:
        at = left + scale * limit.value
        tip = f"{limit.name}: {limit.value:.4g}"
        sheet.line([(at, middle - BAR / 2 - 3), (at, middle + BAR / 2 + 3)], limit.css, tip)
    if bar.whisker:
        low, high = (left + scale * value for value in bar.whisker)
        sheet.line([(low, middle), (high, middle)], "whisker")
        for at in (low, high):
            sheet.line([(at, middle - 4), (at, middle + 4)], "whisker")
    sheet.text((left + scale * bar.end + GAP, middle), bar.words)
