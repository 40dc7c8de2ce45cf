"""Which charts a record gives; one without data is not drawn."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal

from sdrt_bench.bench.record import Cell, Growth, Peak, Record, Round
from sdrt_bench.bench.report.rows import (
    NOISY,
    Block,
    figure,
    gigabytes,
    is_equal,
    label,
    peak_rss,
    plus_minus,
)
from sdrt_bench.charts.axes import ticks
from sdrt_bench.charts.bars import Bar, Bars, Limit, Segment
from sdrt_bench.charts.scatter import Curve, Dot, Plane

PRECISIONS = {"fp32": 0, "bf16": 1, "int8": 2}
OTHER = 3
PARTS = ("load and compile", "text encoder", "steps", "VAE decoder", "the rest")
FAR = 6  # times as long: on one straight axis the short ones would be one line
LONG = 36  # signs of a name
SMALL = 0.01  # of a bar: a part that is not worth drawing
PROBES = {"gemm": ("matrix product", "whisker"), "conv": ("convolution", "front")}
# The unit of a slope, how many of x it is, and the axis.
GROWN = {
    "size": ("million pixels", 10**6, "pixels"),
    "batch": ("picture", 1, "pictures at once"),
    "threads": ("thread", 1, "threads"),
    "steps": ("step", 1, "steps"),
}


def figures(block: Block, record: Record) -> list[str]:
    """SVG of everything that compares the cells of one block."""
    cells = [row.cell for row in block.rows if row.cell.status == "ok"]
    charts = [
        step_times(cells),
        times_to_image(cells),
        memory(cells),
        fidelity(cells),
        traces(cells),
        roofline(cells, record.machine_info.peaks),
    ]
    return [chart.to_svg() for chart in charts if chart is not None]


def step_times(cells: Iterable[Cell]) -> Bars | None:
    """Medians with error bars from p10 to p90."""
    bars = [
        Bar(
            _label(cell),
            [Segment(cell.stats.median, f"fill{_color(cell)}", _precision(cell))],
            f"{plus_minus(cell.stats.median, cell.stats.mad)} s",
            (cell.stats.p10, cell.stats.p90),
        )
        for cell in cells
        if cell.stats
    ]
    title = "Time of a step by executed precision: median, p10 to p90"
    return Bars(title, "seconds a step", bars) if bars else None


def times_to_image(cells: Iterable[Cell]) -> Bars | None:
    """From nothing to a picture, part by part."""
    bars = []
    for cell in cells:
        parts = _parts(cell)
        total = sum(parts)
        if total:
            segments = [
                Segment(value, f"fill{i}", name)
                for i, (name, value) in enumerate(zip(PARTS, parts, strict=True))
                if value > SMALL * total
            ]
            bars.append(Bar(_label(cell), segments, f"{figure(total)} s"))
    return Bars("Time to an image, loading included", "seconds", bars) if bars else None


def memory(cells: Iterable[Cell]) -> Bars | None:
    """Resident after the last step, and at the peak."""
    bars = []
    for cell in cells:
        peak = peak_rss(cell)
        if peak is None:
            continue
        known = [one.steady_rss for one in cell.rounds if one.steady_rss is not None]
        steady = min(max(known, default=0), peak)
        segments = [Segment((peak - steady) / 1e9, "fill0 light", "at the peak")]
        words = gigabytes(peak)
        if steady:
            segments.insert(0, Segment(steady / 1e9, "fill0", "steady, after the last step"))
            words = f"{words} ({gigabytes(steady)})"
        bars.append(Bar(_label(cell), segments, words))
    return Bars("Resident memory of the process", "GB", bars) if bars else None


def fidelity(cells: Iterable[Cell]) -> Plane | None:
    """Speed against distance to fp32, and the cells that no other beats in both."""
    known = [
        (cell, cell.stats.median, cell.fidelity.image_psnr_db)
        for cell in cells
        if cell.stats and cell.fidelity and (is_equal(cell) or cell.fidelity.image_psnr_db)
    ]
    finite = [psnr for cell, _, psnr in known if psnr is not None and not is_equal(cell)]
    if len(known) < 2 or not finite:
        return None
    marks = ticks(min(finite), max(finite))
    equal = marks[-1] + (marks[1] - marks[0])
    points = [
        (time, equal if psnr is None or is_equal(cell) else psnr) for cell, time, psnr in known
    ]
    best = pareto(points)
    dots = [
        Dot(x, y, f"fill{_color(cell)}", _label(cell), _shape(cell))
        for (cell, *_), (x, y) in zip(known, points, strict=True)
    ]
    return Plane(
        "Speed and fidelity: up and left is better, the dashed line is the Pareto front",
        "seconds a step",
        "PSNR of the picture against fp32, dB",
        dots,
        [Curve(_stairs(best), "front")] if len(best) > 1 else [],
        y_names={equal: "equal"} if any(y == equal for _, y in points) else {},
        from_zero=False,
    )


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (cost, worth) those that no other beats or equals in both, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, worth in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or worth > front[-1][1]:
            front.append((cost, worth))
    return front


def traces(cells: Iterable[Cell]) -> Plane | None:
    """Every step of every round: what a median hides."""
    curves = []
    for i, cell in enumerate(cells):
        css = f"thin stroke{i % 6}" + (" dashed" if i >= 6 else "")
        for one in cell.rounds:
            if len(one.step_s) > 1:
                curves.append(Curve(list(enumerate(one.step_s, 1)), css, _label(cell)))
    if not curves:
        return None
    times = [y for curve in curves for _, y in curve.points]
    is_log = 0 < FAR * min(times) < max(times)
    label_y = "seconds (logarithmic)" if is_log else "seconds"
    title = "Each step of each round"
    return Plane(title, "step", label_y, (), curves, is_counted=True, is_log=is_log)


def roofline(cells: Iterable[Cell], peaks: Sequence[Peak]) -> Bars | None:
    """How fast each cell computes, beside what the probe reached on the same engine."""
    bars = []
    for cell in cells:
        work = cell.work
        if work is None or work.achieved_gflops is None:
            continue
        limits = [
            Limit(peak.gflops, PROBES[peak.kind][1], f"probe: {PROBES[peak.kind][0]}")
            for peak in peaks
            if (peak.backend, peak.executed) == (cell.params.backend, _precision(cell))
        ]
        if work.peak_gflops is not None:
            limits.append(Limit(work.peak_gflops, "stroke4 strong", "its mix of precisions"))
        share = f" ({100 * work.share_of_peak:.0f} %)" if work.share_of_peak is not None else ""
        color = f"fill{_color(cell)}"
        bars.append(
            Bar(
                _label(cell),
                [Segment(work.achieved_gflops, color, _precision(cell))],
                f"{figure(work.achieved_gflops)}{share}",
                None,
                limits,
            )
        )
    title = "Roofline: achieved, and the peaks of this machine's probe in the executed precision"
    return Bars(title, "GFLOP/s", bars) if bars else None


def scaling(record: Record) -> list[tuple[Plane, list[str]]]:
    """A chart for each sweep, with the lines of all cells in it, and those lines in words."""
    labels = {cell.name: _short(label(cell.params)) for cell in record.benchmarks}
    sweeps: dict[tuple[str, str], list[Growth]] = {}
    for growth in record.growth:
        sweeps.setdefault((growth.over, growth.y_label), []).append(growth)
    return [
        _sweep(growths, [labels.get(growth.cells[0], growth.cells[0]) for growth in growths])
        for growths in sweeps.values()
    ]


def _sweep(growths: Sequence[Growth], names: Sequence[str]) -> tuple[Plane, list[str]]:
    dots, curves, words = [], [], []
    for i, (growth, name) in enumerate(zip(growths, names, strict=True)):
        points = zip(growth.x, growth.y, strict=True)
        dots += [Dot(x, y, f"fill{i % 6}", "") for x, y in points]
        ends = [(x, growth.constant + growth.slope * x) for x in (min(growth.x), max(growth.x))]
        curves.append(Curve(ends, f"stroke{i % 6}", name))
        words.append(f"{name}: {_line_in_words(growth)}")
    first = growths[0]
    title = f"By {first.over}: measured, and the straight line through it"
    return Plane(title, GROWN[first.over][2], first.y_label, dots, curves), words


def _line_in_words(growth: Growth) -> str:
    unit, count, _ = GROWN[growth.over]
    slope = f"{'-' if growth.slope < 0 else '+'} {figure(abs(growth.slope) * count)} s per {unit}"
    exponent = "" if growth.exponent is None else f", power {growth.exponent:.2f}"
    return f"{figure(growth.constant)} s {slope}{exponent}, R² {growth.r_squared:.3f}"


def _label(cell: Cell) -> str:
    return _short(label(cell.params)) + (f" {NOISY}" if cell.noisy else "")


def _short(name: str) -> str:
    """A name that leaves room for the bars; the table has it whole."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def _precision(cell: Cell) -> str:
    """What ran, or where nobody knows what was asked for."""
    if cell.precision and cell.precision.executed != "unknown":
        return cell.precision.executed
    return cell.params.precision


def _color(cell: Cell) -> int:
    return PRECISIONS.get(_precision(cell), OTHER)


def _shape(cell: Cell) -> Literal["dot", "diamond"]:
    return "dot" if cell.params.tool == "sdrt" else "diamond"


def _stairs(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Between two points of the front the better one is not to be had yet."""
    corners = [front[0]]
    for (_, worth), (cost, better) in zip(front, front[1:], strict=False):
        corners += [(cost, worth), (cost, better)]
    return corners


def _parts(cell: Cell) -> list[float]:
    """Medians over the rounds of `PARTS`, seconds; what a peer does not tell apart is the rest."""
    rounds = [one for one in cell.rounds if one.image_s is not None]
    return [median(column) for column in zip(*(_round_parts(cell, r) for r in rounds), strict=True)]


def _round_parts(cell: Cell, one: Round) -> tuple[float, ...]:
    steps = sum(one.step_s)
    missing = cell.params.steps - len(one.step_s)
    if one.step_s and missing > 0:
        steps += missing * median(one.step_s[1:] or one.step_s)
    text, decoder = one.text_encoder_s or 0.0, one.vae_decoder_s or 0.0
    rest = max((one.image_s or 0.0) - text - steps - decoder, 0.0)
    return sum(one.load_s.values()), text, steps, decoder, rest
