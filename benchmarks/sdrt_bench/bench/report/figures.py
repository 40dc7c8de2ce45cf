"""The charts of a record; a chart without data is not drawn."""

from collections.abc import Iterable, Sequence
from math import inf, isinf
from statistics import median

from sdrt_bench.bench.record import Cell, Peak, Record, Round, ScalingFit
from sdrt_bench.bench.report.rows import (
    NOISY,
    TableBlock,
    figure,
    gigabytes,
    is_equal,
    label,
    peak_rss,
    plus_minus,
    printable,
)
from sdrt_bench.charts.bars import Bar, BarChart, ReferenceLine, Segment, draw_bars
from sdrt_bench.charts.figure import FAINT, INK, SERIES, to_svg
from sdrt_bench.charts.lines import Line, LineChart, Style, draw_lines
from sdrt_bench.charts.scatter import Dot, ScatterChart, Shape, draw_scatter
from sdrt_bench.pareto import pareto, stairs

PRECISIONS = {"fp32": SERIES[0], "bf16": SERIES[1], "int8": SERIES[2]}
OTHER = SERIES[3]
MIXED = SERIES[4]
PHASES = ("load and compile", "text encoder", "steps", "VAE decoder", "remainder")
FAR = 6  # times as long: on a linear axis the short ones would be a single line
LONG = 36  # characters of a name
SMALL = 0.01  # of a bar: a segment that is not worth drawing
LAYERS = {"gemm": "matrix product", "conv": "convolution"}
STYLES: tuple[Style, ...] = ("solid", "dashed", "dotted")
# The unit of a slope, how many of x it is, and the axis.
AXES = {
    "size": ("million pixels", 10**6, "pixels"),
    "batch": ("image", 1, "images at once"),
    "threads": ("thread", 1, "threads"),
    "steps": ("step", 1, "steps"),
}


def figures(block: TableBlock, record: Record) -> list[str]:
    """Draw everything that compares the cells of one block, as SVG."""
    cells = [row.cell for row in block.rows if row.cell.status == "ok"]
    bars = [step_times(cells), times_to_image(cells), memory(cells)]
    drawn = [draw_bars(chart) for chart in bars if chart]
    if plot := fidelity(cells):
        drawn.append(draw_scatter(plot))
    if steps := traces(cells):
        drawn.append(draw_lines(steps, 860, 360))
    if limits := roofline(cells, record.machine_info.peaks):
        drawn.append(draw_bars(limits))
    return [to_svg(figure) for figure in drawn]


def step_times(cells: Iterable[Cell]) -> BarChart | None:
    """Medians with error bars from p10 to p90."""
    bars = [
        Bar(
            _label(cell),
            [Segment(cell.stats.median, _color(cell), _precision(cell))],
            f"{plus_minus(cell.stats.median, cell.stats.mad)} s",
            (cell.stats.p10, cell.stats.p90),
        )
        for cell in cells
        if cell.stats
    ]
    title = "Time of a step by executed precision: median, p10 to p90"
    return BarChart(title, "seconds a step", bars) if bars else None


def times_to_image(cells: Iterable[Cell]) -> BarChart | None:
    """From the start of the process to an image, phase by phase."""
    bars = []
    for cell in cells:
        phases = _phases(cell)
        total = sum(phases)
        if total:
            segments = [
                Segment(seconds, color, name)
                for color, name, seconds in zip(SERIES, PHASES, phases, strict=False)
                if seconds > SMALL * total
            ]
            bars.append(Bar(_label(cell), segments, f"{figure(total)} s"))
    return BarChart("Time to an image, loading included", "seconds", bars) if bars else None


def memory(cells: Iterable[Cell]) -> BarChart | None:
    """Resident memory after the last step, and at the peak."""
    bars = []
    for cell in cells:
        peak = peak_rss(cell)
        if peak is None:
            continue
        sizes = [measured.steady_rss for measured in cell.rounds if measured.steady_rss is not None]
        steady = min(max(sizes, default=0), peak)
        segments = [Segment((peak - steady) / 1e9, SERIES[0], "at the peak", is_pale=True)]
        caption = gigabytes(peak)
        if steady:
            segments.insert(0, Segment(steady / 1e9, SERIES[0], "steady, after the last step"))
            caption = f"{caption} ({gigabytes(steady)})"
        bars.append(Bar(_label(cell), segments, caption))
    return BarChart("Resident memory of the process", "GB", bars) if bars else None


def fidelity(cells: Iterable[Cell]) -> ScatterChart | None:
    """Speed against distance to fp32, and the cells that no other beats in both."""
    compared = [
        (cell, cell.stats.median, cell.fidelity.image_psnr_db)
        for cell in cells
        if cell.stats and cell.fidelity and (is_equal(cell) or cell.fidelity.image_psnr_db)
    ]
    points = [
        (time, inf if psnr is None or is_equal(cell) else psnr) for cell, time, psnr in compared
    ]
    if len(points) < 2 or all(isinf(psnr) for _, psnr in points):
        return None
    best = pareto(points)
    return ScatterChart(
        "Speed and fidelity: up and left is better, the dashed line is the Pareto front",
        "seconds a step",
        "PSNR of the image against fp32, dB",
        [
            Dot(time, psnr, _color(cell), _label(cell), _shape(cell))
            for (cell, *_), (time, psnr) in zip(compared, points, strict=True)
        ],
        stairs(best) if len(best) > 1 else (),
        infinity="equal",
    )


def traces(cells: Iterable[Cell]) -> LineChart | None:
    """Every step of every round, which a median hides."""
    lines = []
    for i, cell in enumerate(cells):
        color, style = SERIES[i % len(SERIES)], STYLES[i // len(SERIES) % len(STYLES)]
        for measured in cell.rounds:
            times = measured.step_s
            if len(times) > 1:
                steps = range(1, len(times) + 1)
                lines.append(Line(_label(cell), steps, times, color, style=style, width=1.4))
    if not lines:
        return None
    heights = [y for line in lines for y in line.y]
    is_log = 0 < FAR * min(heights) < max(heights)
    return LineChart(
        "Each step of each round",
        "step",
        "seconds (logarithmic)" if is_log else "seconds",
        lines,
        is_counted=True,
        from_zero=True,
        is_log=is_log,
    )


def roofline(cells: Iterable[Cell], peaks: Sequence[Peak]) -> BarChart | None:
    """How fast each cell computes, next to what single layers reached on the same engine."""
    bars = []
    for cell in cells:
        compute = cell.compute
        if compute is None or compute.achieved_gflops is None:
            continue
        lines = [
            ReferenceLine(
                peak.gflops,
                INK if peak.kind == "gemm" else FAINT,
                f"peak: {LAYERS[peak.kind]}",
                is_dashed=peak.kind == "conv",
            )
            for peak in peaks
            if (peak.backend, peak.executed) == (cell.params.backend, _precision(cell))
        ]
        if compute.peak_gflops is not None:
            lines.append(ReferenceLine(compute.peak_gflops, MIXED, "its mix of precisions", 3))
        share = compute.share_of_peak
        caption = figure(compute.achieved_gflops)
        if share is not None:
            caption += f" ({100 * share:.0f} %)"
        segment = Segment(compute.achieved_gflops, _color(cell), _precision(cell))
        bars.append(Bar(_label(cell), [segment], caption, None, lines))
    title = "Roofline: achieved, and this machine's peaks in the executed precision"
    return BarChart(title, "GFLOP/s", bars) if bars else None


def scaling(record: Record) -> list[tuple[str, list[str]]]:
    """A chart as SVG for each sweep, with the lines of all cells in it, and the lines in words."""
    labels = {cell.name: _short(label(cell.params)) for cell in record.benchmarks}
    sweeps: dict[tuple[str, str], list[ScalingFit]] = {}
    for fit in record.scaling:
        sweeps.setdefault((fit.axis, fit.y_label), []).append(fit)
    return [
        _sweep(fits, [labels.get(fit.cells[0], _short(printable(fit.cells[0]))) for fit in fits])
        for fits in sweeps.values()
    ]


def _sweep(fits: Sequence[ScalingFit], names: Sequence[str]) -> tuple[str, list[str]]:
    lines, words = [], []
    for i, (fit, name) in enumerate(zip(fits, names, strict=True)):
        color, ends = SERIES[i % len(SERIES)], (min(fit.x), max(fit.x))
        lines.append(Line("", fit.x, fit.y, color, style="dots"))
        heights = [fit.constant + fit.slope * x for x in ends]
        lines.append(Line(name, ends, heights, color, width=1.8))
        words.append(f"{name}: {_line_in_words(fit)}")
    axis, y_label = fits[0].axis, printable(fits[0].y_label)
    title = f"By {axis}: measured, and the straight line through it"
    chart = LineChart(title, AXES[axis][2], y_label, lines, from_zero=True)
    return to_svg(draw_lines(chart, 860, 380)), words


def _line_in_words(fit: ScalingFit) -> str:
    unit, count, _ = AXES[fit.axis]
    slope = f"{'-' if fit.slope < 0 else '+'} {figure(abs(fit.slope) * count)} s per {unit}"
    exponent = "" if fit.exponent is None else f", power {fit.exponent:.2f}"
    return f"{figure(fit.constant)} s {slope}{exponent}, R² {fit.r_squared:.3f}"


def _label(cell: Cell) -> str:
    return _short(label(cell.params)) + (f" {NOISY}" if cell.timing_warnings else "")


def _short(name: str) -> str:
    """A name that leaves room for the bars; the table has it whole."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def _precision(cell: Cell) -> str:
    """The executed precision, or the requested one where nobody knows what was executed."""
    if cell.precision and cell.precision.executed != "unknown":
        return printable(cell.precision.executed)
    return printable(cell.params.precision)


def _color(cell: Cell) -> str:
    return PRECISIONS.get(_precision(cell), OTHER)


def _shape(cell: Cell) -> Shape:
    return "dot" if cell.params.tool == "sdrt" else "diamond"


def _phases(cell: Cell) -> list[float]:
    """Medians over the rounds of the times of `PHASES`, in seconds.

    What a peer does not measure separately is part of the remainder.
    """
    rounds = [measured for measured in cell.rounds if measured.image_s is not None]
    columns = zip(*(_round_phases(cell, measured) for measured in rounds), strict=True)
    return [median(column) for column in columns]


def _round_phases(cell: Cell, measured: Round) -> tuple[float, ...]:
    steps = sum(measured.step_s)
    missing = cell.params.steps - len(measured.step_s)
    if measured.step_s and missing > 0:
        steps += missing * median(measured.step_s[1:] or measured.step_s)
    text, decoder = measured.text_encoder_s or 0.0, measured.vae_decoder_s or 0.0
    remainder = max((measured.image_s or 0.0) - text - steps - decoder, 0.0)
    return sum(measured.load_s.values()), text, steps, decoder, remainder
