"""Scatter plots: points with their names next to them, and curves among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator

from sdrt_bench.charts import figure as base

GAP, RADIUS = 9, 6
SMALL, PALE = 5, 0.45  # size and opacity of small dots
VEIL = 0.75  # opacity of the paper between a name and small dots
FOOT = 52  # below the frame: ticks and the label
Shape = Literal["dot", "diamond"]
MARKERS: dict[Shape, tuple[str, float]] = {"dot": ("o", 9), "diamond": ("D", 8)}


@dataclass(frozen=True)
class Dot:
    """One value with its name; an infinite `y` stands above all others."""

    x: float
    y: float
    color: str
    label: str
    """It stands next to the dot; "" leaves the dot without one."""
    shape: Shape = "dot"
    is_small: bool = False
    """Whether it is small and pale, and lies behind the others."""
    tip: str = ""
    """The name that a page shows under the pointer, by default the label."""


@dataclass(frozen=True)
class Kind:
    """Dots of one colour and shape, as a legend names them."""

    label: str
    color: str
    shape: Shape = "dot"


@dataclass(frozen=True)
class ScatterChart:
    """A chart of points, and of dashed curves through some."""

    title: str
    x_label: str
    y_label: str
    dots: Sequence[Dot]
    curve: Sequence[tuple[float, float]] = ()
    """Corners of a dashed line; their `y` may be infinite, too."""
    infinity: str = "infinite"
    """This name stands at the axis where infinite values are."""
    kinds: Sequence[Kind] = ()
    """What colours and shapes mean, for a legend."""
    are_names_left: bool = False
    """Whether names stand to the left of their dots where there is room, else to the right."""


@base.chart_settings()
def draw_scatter(chart: ScatterChart, width: float = 860, height: float = 420) -> Figure:
    """Draw a scatter plot; one dot or more has a finite `y`."""
    names = [kind.label for kind in chart.kinds]
    figure = base.new_figure(width, height, chart.title)
    legend = base.legend_height(figure, names)
    height += legend
    figure = base.new_figure(width, height, chart.title)
    rightmost = max(chart.dots, key=lambda dot: dot.x)
    room = base.text_width(figure, rightmost.label) + GAP
    box = (base.MARGIN, base.HEAD + legend, width - base.MARGIN - room, height - FOOT)
    axes = base.add_axes(figure, box)
    axes.set_xlim(0, rightmost.x)
    axes.set_xlim(0, max(axes.xaxis.get_major_locator().tick_values(0, rightmost.x)))
    top = _set_heights(axes, chart)
    base.label_axes(axes, chart.x_label, chart.y_label)
    base.fit_left(figure, axes)
    if chart.curve:
        corners = [(x, min(y, top)) for x, y in chart.curve]
        axes.plot(*zip(*corners, strict=True), color=base.FAINT, linewidth=1.5, linestyle="--")
    for dot in chart.dots:
        (shape,) = _draw_dot(axes, dot, min(dot.y, top))
        name = chart.infinity if math.isinf(dot.y) else f"{dot.y:.4g}"
        base.set_tip(shape, f"{dot.tip or dot.label}: {dot.x:.4g}, {name}")
    _label_dots(figure, axes, chart, top)
    if names:
        samples = [Line2D([], [], **_marker(kind.shape, kind.color)) for kind in chart.kinds]
        base.add_legend(figure, samples, names, base.HEAD - 10)
    return figure


def _draw_dot(axes: Axes, dot: Dot, y: float) -> list[Line2D]:
    """Draw a dot at a height; small ones lie behind the others."""
    style = _marker(dot.shape, dot.color)
    if dot.is_small:
        style |= {"markersize": SMALL, "alpha": PALE}
    return axes.plot(dot.x, y, **style, zorder=2.5 if dot.is_small else 3)


def _marker(shape: Shape, color: str) -> dict[str, Any]:
    marker, size = MARKERS[shape]
    return {
        "marker": marker,
        "markersize": size,
        "color": color,
        "markeredgewidth": 0,
        "linestyle": "",
    }


def _set_heights(axes: Axes, chart: ScatterChart) -> float:
    """Set the range and ticks of the y axis; gives the height of infinite values."""
    finite = [dot.y for dot in chart.dots if math.isfinite(dot.y)]
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 0.5, high + 0.5
    ticks = [float(tick) for tick in axes.yaxis.get_major_locator().tick_values(low, high)]
    names = [base.tick_label(tick) for tick in ticks]
    if len(finite) < len(chart.dots):
        ticks.append(ticks[-1] + ticks[1] - ticks[0])
        names.append(chart.infinity)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter(names))
    axes.set_ylim(ticks[0], ticks[-1])
    return ticks[-1]


def _label_dots(figure: Figure, axes: Axes, chart: ScatterChart, top: float) -> None:
    """Put each name beside its dot, or wherever near it covers nothing, or as little as can be."""
    frame = axes.get_window_extent()
    places = [axes.transData.transform((dot.x, min(dot.y, top))) for dot in chart.dots]
    around = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places]
    taken = [box for dot, box in zip(chart.dots, around, strict=True) if not dot.is_small]
    small = [box for dot, box in zip(chart.dots, around, strict=True) if dot.is_small]
    corners = [axes.transData.transform((x, min(y, top))) for x, y in chart.curve]
    for (x1, y1), (x2, y2) in zip(corners, corners[1:], strict=False):
        taken.append((min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))
    for dot, (x, y) in zip(chart.dots, places, strict=True):
        if not dot.label:
            continue
        wide, half = base.text_width(figure, dot.label), base.SIZE / 2 + 1
        right, left, middle = 0.0, -wide - 2 * GAP, -wide / 2 - GAP
        shifts = (left, right, middle) if chart.are_names_left else (right, left, middle)
        spots = [(shift, up) for up in (0, 14, -14, 28, -28, 42, -42) for shift in shifts]
        boxes = [
            (x + GAP + shift, y + up - half, x + GAP + shift + wide, y + up + half)
            for shift, up in spots
        ]
        inside = [
            box
            for box in boxes
            if box[0] >= frame.x0 and box[2] <= base.width_of(figure) - 4 and box[1] >= frame.y0
        ]
        box = min(inside or boxes, key=lambda box: (_covered(box, taken), _covered(box, small)))
        taken.append(box)
        axes.annotate(
            dot.label,
            (box[0], (box[1] + box[3]) / 2),
            xycoords="figure pixels",
            va="center_baseline",
            # Small dots may be so many that every place has some.
            bbox={"color": base.PAPER, "alpha": VEIL, "pad": 1, "linewidth": 0} if small else None,
        )


def _covered(box: base.Box, others: Sequence[base.Box]) -> int:
    """How many of the others a box overlaps."""
    return sum(_overlap(box, other) for other in others)


def _overlap(a: base.Box, b: base.Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
