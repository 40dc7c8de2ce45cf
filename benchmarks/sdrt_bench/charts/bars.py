"""Horizontal bars that begin at zero, which leave room for long names: stacked, with error bars and
reference lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sdrt_bench.charts import figure as base

ROW, BAR, GAP = 26, 15 / 26, 10
FOOT = 48  # below the bars: ticks and the unit


@dataclass(frozen=True)
class Segment:
    """One part of a bar."""

    value: float
    color: str
    name: str
    """The legend shows it, and the page under the pointer."""
    is_pale: bool = False


@dataclass(frozen=True)
class ReferenceLine:
    """A short line across a bar: a value to compare the bar with."""

    value: float
    color: str
    name: str
    width: float = 1.4
    is_dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """One row of a chart."""

    label: str
    segments: Sequence[Segment]
    caption: str
    """This text stands at the bar's end."""
    error: tuple[float, float] | None = None
    """Both ends of the error bar."""
    lines: Sequence[ReferenceLine] = ()

    @property
    def total(self) -> float:
        """Where the bar ends."""
        return sum(segment.value for segment in self.segments)

    @property
    def end(self) -> float:
        """Where the last of bar, error bar and reference lines ends."""
        return max(self.total, *(self.error or ()), *(line.value for line in self.lines), 0.0)


@dataclass(frozen=True)
class BarChart:
    """A chart of bars."""

    title: str
    unit: str
    """This is the label of the axis of values."""
    bars: Sequence[Bar]


@base.chart_settings()
def draw_bars(chart: BarChart, width: float = 860) -> Figure:
    """Draw a chart of bars; its height follows from their number."""
    samples = _samples(chart)
    names = list(samples)
    probe = base.new_figure(width, base.HEAD, chart.title)  # to measure text
    top = base.HEAD - 6 + base.legend_height(probe, names)
    bottom = top + ROW * len(chart.bars) + 4
    figure = base.new_figure(width, bottom + FOOT, chart.title)
    left = base.MARGIN + GAP + max(base.text_width(probe, bar.label) for bar in chart.bars)
    room = max(base.text_width(probe, bar.caption) for bar in chart.bars) + 2 * GAP
    axes = base.add_axes(figure, (left, top, width - base.MARGIN - room, bottom))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=base.GRID, linewidth=1)
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0, color=base.FAINT, linewidth=1.2)
    axes.set_xlim(0, max(bar.end for bar in chart.bars) or 1)
    axes.set_xlim(0, max(axes.xaxis.get_major_locator().tick_values(*axes.get_xlim())))
    axes.set_ylim(len(chart.bars) - 0.5 + 4 / ROW, -0.5)
    axes.set_yticks(range(len(chart.bars)), [bar.label for bar in chart.bars], color=base.INK)
    base.label_axes(axes, chart.unit)
    for row, bar in enumerate(chart.bars):
        _draw_bar(axes, row, bar)
    if names:
        base.add_legend(figure, list(samples.values()), names, base.HEAD - 10)
    return figure


def _draw_bar(axes: Axes, row: int, bar: Bar) -> None:
    start = 0.0
    for part in bar.segments:
        (shape,) = axes.barh(
            row, part.value, BAR, start, color=part.color, alpha=_alpha(part), zorder=2
        )
        base.set_tip(shape, f"{bar.label}: {part.name} {part.value:.4g}")
        start += part.value
    for line in bar.lines:
        (stroke,) = axes.plot(
            [line.value] * 2,
            [row - BAR / 2 - 0.11, row + BAR / 2 + 0.11],
            color=line.color,
            linewidth=line.width,
            linestyle=_dashes(line),
            zorder=3,
        )
        base.set_tip(stroke, f"{line.name}: {line.value:.4g}")
    if bar.error:
        low, high = bar.error
        spread = [[bar.total - low], [high - bar.total]]
        axes.errorbar(
            bar.total,
            row,
            xerr=spread,
            fmt="none",
            ecolor=base.INK,
            elinewidth=1.4,
            capsize=4,
            capthick=1.4,
        )
    axes.annotate(
        bar.caption, (bar.end, row), (GAP, 0), textcoords="offset points", va="center_baseline"
    )


def _samples(chart: BarChart) -> dict[str, Artist]:
    """For the legend, a sample of each name: of segments first, then of reference lines."""
    samples: dict[str, Artist] = {}
    for part in (part for bar in chart.bars for part in bar.segments):
        samples.setdefault(part.name, Patch(color=part.color, alpha=_alpha(part), linewidth=0))
    for line in (line for bar in chart.bars for line in bar.lines):
        sample = Line2D([], [], color=line.color, linewidth=line.width, linestyle=_dashes(line))
        samples.setdefault(line.name, sample)
    return samples


def _alpha(part: Segment) -> float:
    return 0.38 if part.is_pale else 1


def _dashes(line: ReferenceLine) -> Literal["-", "--"]:
    return "--" if line.is_dashed else "-"
