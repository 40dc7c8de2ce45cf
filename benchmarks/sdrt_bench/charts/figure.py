"""The figure under every chart: colours, fonts, heading, axes, legend, and output as SVG or pixels.

Figures are built without pyplot, and settings hold only while a chart is drawn or written, so that
nothing global changes. Lengths are pixels, y grows downwards, as in a page.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""

# Okabe and Ito 2008, without yellow and black, which readers with any kind of colour vision can
# distinguish: blue, vermilion, green, purple, orange, sky blue.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, FAINT, GRID, PAPER = "#262a30", "#5f6670", "#e4e7eb", "#ffffff"
# The same colours for a page that the reader's system shows dark.
DARK = {
    **dict(
        zip(SERIES, ("#4aa8e0", "#f0803a", "#1fbf92", "#dd97bf", "#e9ad2b", "#9ad4f5"), strict=True)
    ),
    INK: "#e8eaed",
    FAINT: "#a4abb5",
    GRID: "#333941",
    PAPER: "#16191d",
}
MARGIN, SIZE, TITLE_SIZE, LINE = 16, 13, 16, 20
HEAD = 44  # height of a title without subtitles
LEGEND_SAMPLE = 60  # width of a legend's sample and of the distances around it
DPI = 72  # a point is a pixel
TIP = "tip:"
SETTINGS: Any = {  # the type of its keys is a list of all settings
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": SIZE,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "axes.autolimit_mode": "round_numbers",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sdrt",  # the same chart has the same bytes
}


@contextmanager
def chart_settings() -> Iterator[None]:
    """Hold the settings of all charts; also a decorator for functions that draw."""
    # The stubs name every setting there is in every version.
    settings: Any = SETTINGS
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A browser may have the letters of a model's name that this font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def new_figure(width: float, height: float, title: str, subtitles: Sequence[str] = ()) -> Figure:
    """Make an empty figure with a heading."""
    figure = Figure((width / DPI, height / DPI), DPI)
    FigureCanvasAgg(figure)
    figure.set_label(title)
    add_text(figure, (MARGIN, 18), title, size=TITLE_SIZE)
    for i, line in enumerate(subtitles):
        add_text(figure, (MARGIN, HEAD + LINE * i), line, color=FAINT)
    return figure


def add_text(
    figure: Figure, at: tuple[float, float], words: str, size: float = SIZE, color: str = INK
) -> None:
    """Put a line of text to the right of a point."""
    x, y = at[0] / width_of(figure), 1 - at[1] / height_of(figure)
    weight = "bold" if size > SIZE else "normal"
    figure.text(x, y, words, fontsize=size, color=color, weight=weight, va="center")


def width_of(figure: Figure) -> float:
    """Width of a figure."""
    return float(figure.get_figwidth() * DPI)


def height_of(figure: Figure) -> float:
    """Height of a figure."""
    return float(figure.get_figheight() * DPI)


def text_width(figure: Figure, words: str, size: float = SIZE) -> float:
    """Width of a line of text."""
    text = figure.text(0, 0, words, fontsize=size)
    width = float(text.get_window_extent().width)
    text.remove()
    return width


def add_axes(figure: Figure, box: Box) -> Axes:
    """Add axes with round ticks and pale lines from those of the y axis."""
    (left, top, right, bottom), width, height = box, width_of(figure), height_of(figure)
    axes = figure.add_axes(
        (left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height)
    )
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(FAINT)
    axes.tick_params(colors=FAINT, labelsize=SIZE)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, linewidth=1)
    for axis in (axes.xaxis, axes.yaxis):
        use_round_ticks(axis)
    return axes


def use_round_ticks(axis: Axis, is_whole: bool = False) -> None:
    """Mark an axis with a few round numbers, or with whole ones."""
    count = 10 if is_whole else 7
    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], integer=is_whole))
    axis.set_major_formatter(FuncFormatter(tick_label))


def tick_label(value: float, position: int | None = None) -> str:
    """A number as it stands at an axis: up to six figures, and commas between thousands."""
    return f"{float(f'{value:.6g}'):,.10g}"


def label_axes(axes: Axes, x_label: str, y_label: str = "") -> None:
    """Name both axes, with their units."""
    axes.set_xlabel(x_label, color=INK, labelpad=8)
    axes.set_ylabel(y_label, color=INK, labelpad=10)


def fit_left(figure: Figure, axes: Axes) -> None:
    """Move the left end of the axes so that the labels there end at the margin."""
    box = axes.get_position()
    extent = axes.yaxis.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    left = MARGIN / width_of(figure)
    if extent is not None:
        left += box.x0 - extent.x0 / width_of(figure)
    axes.set_position((left, box.y0, box.x1 - left, box.height))


def legend_columns(figure: Figure, labels: Sequence[str]) -> int:
    """How many entries of a legend stand side by side."""
    widest = max(text_width(figure, label) for label in labels) + LEGEND_SAMPLE
    return int(max(1, min(len(labels), (width_of(figure) - 2 * MARGIN) // widest)))


def legend_height(figure: Figure, labels: Sequence[str]) -> float:
    """Height of a legend with these labels; 0 without any."""
    return LINE * -(-len(labels) // legend_columns(figure, labels)) + 6 if labels else 0


def add_legend(figure: Figure, samples: Sequence[Artist], labels: Sequence[str], y: float) -> None:
    """Put a legend below the height `y`, with a sample for each label."""
    figure.legend(
        list(samples),
        list(labels),
        loc="upper left",
        bbox_to_anchor=((MARGIN - 2) / width_of(figure), 1 - y / height_of(figure)),
        ncols=legend_columns(figure, labels),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        labelspacing=0.3,
        handlelength=1.8,
    )


def set_tip(artist: Artist, words: str) -> None:
    """Give a shape a text that a page shows under the pointer."""
    artist.set_gid(TIP + words.encode().hex())  # which needs no escapes


def to_image(figure: Figure) -> Image.Image:
    """Pixels of a figure on white paper."""
    _unclip(figure)
    with chart_settings():
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def to_svg(figure: Figure) -> str:
    """An element to put into a page; colours follow the page's `chart_css`.

    It is well-formed XML, refers to nothing outside itself, and has the same bytes each time.
    """
    _unclip(figure)
    nobody = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with chart_settings(), io.StringIO() as file:
        figure.savefig(file, format="svg", transparent=True, metadata=nobody)
        drawn = file.getvalue()
    shapes = re.sub(r"<style[^>]*>.*?</style>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    shapes = shapes.partition(">")[2].replace("xlink:href", "href").strip()
    shapes = re.sub(rf'<g id="{TIP}(\w*)">', _title, shapes)
    used = set(re.findall(r'="#([^"]+)"', shapes))
    shapes = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", shapes)
    for color in DARK:
        shapes = shapes.replace(color, f"var(--c{color[1:]}, {color})")
    width, height = width_of(figure), height_of(figure)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" aria-label="{escape(str(figure.get_label()))}">\n{shapes}'
    )


def _unclip(figure: Figure) -> None:
    """Let shapes at the edge of the axes be whole; none lies outside them."""
    for artist in figure.findobj():
        artist.set_clip_on(False)


def _title(match: re.Match[str]) -> str:
    return f"<g><title>{escape(bytes.fromhex(match[1]).decode())}</title>"


def chart_css() -> str:
    """CSS of a page with charts: matplotlib's line joins, and the colours of a dark page."""
    dark = " ".join(f"--c{light[1:]}: {color};" for light, color in DARK.items())
    return (
        "svg * { stroke-linejoin: round; stroke-linecap: butt; }\n"
        "svg text { font-family: 'DejaVu Sans', Verdana, sans-serif !important; }\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n:root {{ {dark} }}\n}}"
    )
