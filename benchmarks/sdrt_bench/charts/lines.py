"""Lines over numbers, with bands around them, single values, and a legend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from sdrt_bench.charts import figure as base

Style = Literal["solid", "dashed", "dotted", "dots"]
LINES: dict[Style, str] = {"solid": "-", "dashed": "--", "dotted": ":", "dots": "none"}
PALE = 0.18
FEW = 60  # values up to which each has a dot
FOOT = 58  # below the frame: ticks and the label
EDGE = 30  # right of the frame: half of the last tick's label


@dataclass(frozen=True)
class Line:
    """One line through (x, y); values that are not finite are gaps."""

    label: str
    """The legend shows it once, whichever number of lines has it; "" is not in the legend."""
    x: Sequence[float]
    y: Sequence[float]
    color: str
    band: tuple[Sequence[float], Sequence[float]] | None = None
    """Lower and upper bound of a shaded area, for each x."""
    band_label: str = ""
    style: Style = "solid"
    width: float = 2.4
    has_dots: bool = False
    """Whether a line of few values has a dot at each."""


@dataclass(frozen=True)
class LineChart:
    """A chart of lines that share their axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    subtitle: Sequence[str] = ()
    """These lines stand below the title."""
    empty: str = "nothing to show"
    """This text stands in the middle where no line has a finite value."""
    is_counted: bool = False
    """Whether x are whole numbers."""
    from_zero: bool = False
    """Whether both axes begin at zero, but x where it is counted."""
    is_log: bool = False
    """Whether equal heights are equal factors; all y are positive then."""


@base.chart_settings()
def draw_lines(chart: LineChart, width: float = 880, height: float = 500) -> Figure:
    """Draw a chart of lines; `height` is the height without the legend."""
    figure = base.new_figure(width, height, chart.title, chart.subtitle)
    if not any(math.isfinite(y) for line in chart.lines for y in line.y):
        figure.text(0.5, 0.5, chart.empty, fontsize=15, color=base.FAINT, ha="center", va="center")
        return figure
    labels = [label for line in chart.lines for label in (line.label, line.band_label) if label]
    names = list(dict.fromkeys(labels))
    heading = base.HEAD - 10 + (base.LINE + 2) * len(chart.subtitle)
    legend = base.legend_height(figure, names)
    figure = base.new_figure(width, height + legend, chart.title, chart.subtitle)
    top, bottom = heading + legend + 12, height + legend - FOOT
    axes = base.add_axes(figure, (base.MARGIN, top, width - EDGE, bottom))
    samples: dict[str, Artist] = {}
    for line in chart.lines:
        _draw_line(axes, line, samples)
    _set_ranges(axes, chart)
    base.label_axes(axes, chart.x_label, chart.y_label)
    base.fit_left(figure, axes)
    if names:
        base.add_legend(figure, [samples[name] for name in names], names, heading)
    return figure


def _draw_line(axes: Axes, line: Line, samples: dict[str, Artist]) -> None:
    """Draw one line and its band, and keep samples of both for the legend."""
    y = np.where(np.isfinite(line.y), line.y, np.nan)
    has_dots = line.style == "dots" or (line.has_dots and len(line.x) <= FEW)
    (stroke,) = axes.plot(
        line.x,
        y,
        color=line.color,
        linestyle=LINES[line.style],
        linewidth=line.width,
        marker="o" if has_dots else "",
        markersize=7,
        markeredgewidth=0,
        zorder=3,
    )
    base.set_tip(stroke, line.label)
    samples.setdefault(line.label, stroke)
    if line.band:
        low, high = (np.asarray(bound, np.float64) for bound in line.band)
        is_finite = np.isfinite(low) & np.isfinite(high)
        band = axes.fill_between(
            line.x, low, high, where=is_finite.tolist(), color=line.color, alpha=PALE, linewidth=0
        )
        samples.setdefault(line.band_label, band)


def _set_ranges(axes: Axes, chart: LineChart) -> None:
    """Let both axes end at round numbers; steps that are counted end where the last one is."""
    xs = [x for line in chart.lines for x in line.x]
    if chart.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(base.tick_label))
    elif chart.from_zero:
        axes.set_ylim(bottom=0)
    if chart.is_counted:
        base.use_round_ticks(axes.xaxis, is_whole=True)
        axes.set_xlim(min(xs), max(max(xs), min(xs) + 1))
    elif chart.from_zero:
        axes.set_xlim(left=0)
