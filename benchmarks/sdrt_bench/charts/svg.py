"""Just enough SVG: a sheet on which charts put shapes and words. Colours are classes, because the
page's style sheet knows whether it is light or dark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from sdrt_bench.bench.report.rows import printable
from sdrt_bench.charts.axes import OKABE_ITO

Point = tuple[float, float]

SIZE = 13  # of words, pixels
# Of the lines and words of charts, in light and in dark.
PAPER, INK, FAINT, GRID = (
    ("#ffffff", "#16191d"),
    ("#262a30", "#e8eaed"),
    ("#5f6670", "#a4abb5"),
    ("#e4e7eb", "#333941"),
)
DARK = ("#4aa8e0", "#f0803a", "#1fbf92", "#dd97bf", "#e9ad2b", "#9ad4f5")
ADVANCE = 0.58  # of a mean sign, in sizes: nothing here can measure a browser's font


def style() -> str:
    """CSS of everything that a sheet draws."""
    dark = "\n".join(_rules(1))
    return "\n".join(
        [
            "svg { font-family: system-ui, 'DejaVu Sans', sans-serif; }",
            f"svg text {{ font-size: {SIZE}px; }}",
            "svg text.title { font-size: 16px; font-weight: 600; }",
            "svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }",
            "svg .dashed { stroke-dasharray: 6 4; }",
            "svg .thin { stroke-width: 1.2; stroke-opacity: 0.85; }",
            "svg .strong { stroke-width: 3; }",
            "svg .light { fill-opacity: 0.38; }",
            *_rules(0),
            f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}",
        ]
    )


def width_of(text: str, size: float = SIZE) -> float:
    """About how wide a text will be, pixels."""
    return len(text) * size * ADVANCE


@dataclass
class Sheet:
    """An SVG of this size being drawn; y grows downwards, lengths are pixels."""

    width: float
    height: float
    title: str
    """Read out where nobody sees it."""
    parts: list[str] = field(default_factory=list)

    def text(self, at: Point, words: str, anchor: str = "start", css: str = "ink") -> None:
        """Words beside (`start`), around (`middle`) or before (`end`) a point on their middle."""
        x, y = at
        self.parts.append(
            f'<text x="{x:.1f}" y="{y + SIZE * 0.35:.1f}" text-anchor="{anchor}" '
            f'class="{css}">{_escaped(words)}</text>'
        )

    def upright(self, at: Point, words: str) -> None:
        """Words that read from below, around a point."""
        x, y = at
        self.parts.append(
            f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)" text-anchor="middle" '
            f'class="ink">{_escaped(words)}</text>'
        )

    def box(self, corner: Point, size: Point, css: str, tip: str = "") -> None:
        """A filled rectangle; `tip` appears under the pointer."""
        (x, y), (width, height) = corner, size
        self.parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" height="{height:.2f}" '
            f'class="{css}">{_tip(tip)}</rect>'
        )

    def line(self, points: Sequence[Point], css: str, tip: str = "") -> None:
        """Straight from point to point."""
        where = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self.parts.append(f'<polyline points="{where}" class="line {css}">{_tip(tip)}</polyline>')

    def dot(self, at: Point, css: str, tip: str = "", radius: float = 4.5) -> None:
        """A filled circle."""
        x, y = at
        self.parts.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:g}" class="{css}">{_tip(tip)}</circle>'
        )

    def diamond(self, at: Point, css: str, tip: str = "", radius: float = 6) -> None:
        """A filled square on its corner."""
        x, y = at
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        where = " ".join(f"{a:.2f},{b:.2f}" for a, b in corners)
        self.parts.append(f'<polygon points="{where}" class="{css}">{_tip(tip)}</polygon>')

    def to_svg(self) -> str:
        """An element to put into a page; needs the page's style."""
        inner = "\n".join(self.parts)
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img" '
            f'width="{self.width:.0f}" height="{self.height:.0f}" '
            f'aria-label="{_escaped(self.title)}">\n{inner}\n</svg>'
        )


def _escaped(words: str) -> str:
    return escape(printable(words))


def _tip(words: str) -> str:
    return f"<title>{_escaped(words)}</title>" if words else ""


def _rules(theme: int) -> list[str]:
    colors = (OKABE_ITO, DARK)[theme]
    rules = []
    for i, color in enumerate(colors):
        rules += [f"svg .fill{i} {{ fill: {color}; }}", f"svg .stroke{i} {{ stroke: {color}; }}"]
    return [
        *rules,
        f"svg .ink {{ fill: {INK[theme]}; }}",
        f"svg .title {{ fill: {INK[theme]}; }}",
        f"svg .faint {{ fill: {FAINT[theme]}; }}",
        f"svg .grid {{ stroke: {GRID[theme]}; stroke-width: 1; }}",
        f"svg .axis {{ stroke: {FAINT[theme]}; stroke-width: 1.2; }}",
        f"svg .whisker {{ stroke: {INK[theme]}; stroke-width: 1.4; }}",
        f"svg .front {{ stroke: {FAINT[theme]}; stroke-width: 1.5; stroke-dasharray: 6 4; }}",
    ]
