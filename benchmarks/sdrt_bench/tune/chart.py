"""The chart of a search: every setting by time and PSNR, with the front."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.files.atomic import whole_file
from sdrt_bench.pareto import stairs
from sdrt_bench.tune.record import FILE, Result, TuneRecord
from sdrt_bench.tune.report import Report, Row
from sdrt_bench.tune.setting import PEERS_DEFAULT, Setting

if TYPE_CHECKING:
    from sdrt_bench.charts.scatter import ScatterChart

PNG, SVG = "frontier.png", "frontier.svg"
FILES = (FILE, PNG, SVG)
"""What a search writes into its folder, besides the converged pictures."""
LOWEST_DB = 4.0  # below the end of the front: what is lower would press the rest together
LABELS = 8  # of the front


def write_chart(report: Report, folder: Path) -> list[Path]:
    """Write the chart as PNG and SVG, or neither."""
    from sdrt_bench.charts.figure import to_image, to_svg
    from sdrt_bench.charts.scatter import draw_scatter

    figure = draw_scatter(frontier(report), 1000, 560)
    image, drawing = to_image(figure), to_svg(figure)
    with ExitStack() as files:
        image.save(files.enter_context(whole_file(folder / PNG)), format="PNG")
        # A file of its own has to say that it is SVG, which an element of a page has not.
        text = drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        files.enter_context(whole_file(folder / SVG)).write_text(text, encoding="utf-8")
    return [folder / PNG, folder / SVG]


def frontier(report: Report) -> "ScatterChart":
    """Lay out the chart: names stand at the front and at the peers' default."""
    from sdrt_bench.charts.figure import SERIES
    from sdrt_bench.charts.scatter import Dot, Kind, ScatterChart

    plain, tricky, peers = SERIES[0], SERIES[1], SERIES[2]
    record = report.record
    labels, best = _labels(report), {row.setting for row in report.front}
    dots = []
    for result in _shown(record, report):
        is_peers = bool(report.peers_default and result.setting == report.peers_default.setting)
        color = peers if is_peers else tricky if result.setting.uses_trick else plain
        dots.append(
            Dot(
                result.predicted_s,
                result.closeness(record.prompts).median,
                color,
                labels.get(result.setting, ""),
                "diamond" if is_peers else "dot",
                not is_peers and result.setting not in best,
                result.setting.label,
            )
        )
    kinds = [
        Kind("sampler, schedule and steps", plain),
        Kind("with a trick", tricky),
        Kind(PEERS_DEFAULT, peers, "diamond"),
    ]
    corners = [(row.predicted_s, row.median_db) for row in report.front]
    return ScatterChart(
        f"{record.identity.model}: up and left is better, the dashed line is the Pareto front",
        "seconds a picture",
        "median PSNR against the converged picture, dB",
        dots,
        stairs(corners) if len(corners) > 1 else (),
        infinity="equal",
        are_names_left=True,
        kinds=[kind for kind in kinds if kind.color in {dot.color for dot in dots}],
    )


def _labels(report: Report) -> dict[Setting, str]:
    """Names of the peers' default and of some of the front, evenly spaced along it.

    The model's own spacing of timesteps is left out, to be short.
    """
    own = f" {report.record.identity.spacing} "
    labels = {
        row.setting: row.setting.label.replace(own, " ")
        for row in spaced_rows(report.front, LABELS)
    }
    if peers := report.peers_default:
        labels[peers.setting] = f"{PEERS_DEFAULT}: {peers.setting.label.replace(own, ' ')}"
    return labels


def spaced_rows(front: Sequence[Row], count: int) -> list[Row]:
    """Choose the ends of a front, and some rows about evenly spaced on the way, as it is drawn."""
    finite = [row.median_db for row in front if math.isfinite(row.median_db)]
    top = max(finite, default=1.0)
    wide = max(front[-1].predicted_s - front[0].predicted_s, 1e-9)
    high = max(top - min(finite, default=0.0), 1e-9)
    places = [(row.predicted_s / wide, min(row.median_db, top) / high) for row in front]
    lengths = [0.0, *accumulate(math.dist(*pair) for pair in pairwise(places))]
    targets = [lengths[-1] * i / max(1, count - 1) for i in range(count)]
    nearest = {min(range(len(front)), key=lambda i: abs(lengths[i] - target)) for target in targets}
    return [front[i] for i in sorted(nearest)]


def _shown(record: TuneRecord, report: Report) -> list[Result]:
    """Results for as many prompts as the front, but those far below it, and the slowest."""
    ends = [row.median_db for row in report.front if math.isfinite(row.median_db)]
    lowest = min(ends, default=0.0) - LOWEST_DB
    slowest = max(row.predicted_s for row in [*report.front, *filter(None, [report.peers_default])])
    always = {row.setting for row in filter(None, [*report.front, report.peers_default])}
    return [
        result
        for result in record.results
        if len(result.psnr_db) >= record.prompts
        and (
            result.setting in always
            or (result.closeness(record.prompts).median >= lowest and result.predicted_s <= slowest)
        )
    ]
