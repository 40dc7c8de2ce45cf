"""A chart shows its values where they belong, and says so where there are none."""

import math
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor

from sdrt.errors import MissingExtraError
from sdrt_bench.charts.bars import Bar, BarChart, ReferenceLine, Segment, draw_bars
from sdrt_bench.charts.figure import SERIES, to_image, to_svg
from sdrt_bench.charts.lines import Line, LineChart, draw_lines
from sdrt_bench.charts.scatter import Dot, Kind, ScatterChart, draw_scatter
from sdrt_bench.output_folder import check_folder

FALLING = Line("falls", [1, 2, 3], [10.0, 5.0, 0.0], SERIES[0], has_dots=True)


def inked(image: Image.Image, color: str) -> npt.NDArray[np.bool_]:
    """Where a picture has a colour, below its heading and legend: (height, width)."""
    near: npt.NDArray[np.bool_] = (
        np.abs(np.asarray(image, np.int16) - ImageColor.getrgb(color)) < 30
    ).all(axis=2)
    near[:70] = False
    return near


def chart(*lines: Line) -> Image.Image:
    return to_image(draw_lines(LineChart("title", "step", "dB", lines, is_counted=True), 600, 400))


def test_a_line_goes_from_its_first_value_to_its_last() -> None:
    shown = inked(chart(FALLING), SERIES[0])
    rows = [int(np.nonzero(column)[0].mean()) for column in shown.T if column.any()]
    assert len(rows) > 450
    assert all(a <= b + 1 for a, b in pairwise(rows))
    assert rows[-1] - rows[0] > 200


def test_equal_values_stand_where_equal_values_of_another_line_stand() -> None:
    flat = Line("flat", [1, 2, 3], [3.0, 3.0, 3.0], SERIES[0])
    rising = Line("rising", [1, 2, 3], [0.0, 3.0, 6.0], SERIES[1])
    image = chart(flat, rising)
    low, high = (np.nonzero(inked(image, color))[0] for color in SERIES[:2])
    assert low.mean() == pytest.approx((high.min() + high.max()) / 2, abs=3)


def test_values_that_are_not_finite_are_gaps() -> None:
    x = [1, 2, 3, 4, 5, 6, 7]
    whole = inked(chart(Line("a", x, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0], SERIES[0])), SERIES[0])
    gap = [1.0, 2.0, 1.0, math.inf, 1.0, math.nan, 1.0]
    broken = inked(chart(Line("a", x, gap, SERIES[0])), SERIES[0])
    assert whole[:, 290:340].any()
    assert not broken[:, 290:340].any()
    assert broken[:, :250].any()


def test_a_band_is_pale_and_around_its_line() -> None:
    band = ([0.0, 0.0], [10.0, 10.0])
    line = Line("a", [1, 2], [5.0, 5.0], SERIES[0], band=band, band_label="band")
    column = np.asarray(chart(line))[100:340, 300].astype(int)
    is_paper = column.min(axis=1) > 250
    is_line = np.abs(column - ImageColor.getrgb(SERIES[0])).max(axis=1) < 30
    assert is_line.any()
    assert not is_paper[np.nonzero(is_line)[0][0] + 10]
    assert is_paper.mean() < 0.2


def test_without_a_finite_value_the_chart_says_so() -> None:
    line = Line("a", [1, 2], [math.inf] * 2, SERIES[0])
    nothing = LineChart("title", "x", "y", [line], empty="all are equal")
    image = to_image(draw_lines(nothing, 600, 400))
    assert image.size == (600, 400)
    assert not inked(image, SERIES[0]).any()
    assert (np.asarray(image)[190:210, 250:350] < 200).any()


def test_many_lines_get_more_rows_of_legend_and_none_is_cut() -> None:
    lines = [
        Line(f"a rather long name of line {i}", [1, 2], [i, i + 1], color)
        for i, color in enumerate(SERIES)
    ]
    image = np.asarray(chart(*lines), np.int16)
    for color in SERIES:
        near = np.abs(image[:, :-24] - ImageColor.getrgb(color)) < 30
        assert near.all(axis=2)[:110].any(), "in the legend"
    assert (image[:90, -20:] == 255).all()


def test_labels_of_dots_do_not_cover_each_other_and_infinite_values_stand_on_top() -> None:
    dots = [Dot(2 + i / 50, 40 + i / 9, SERIES[0], f"openvino number {i}") for i in range(4)]
    dots.append(Dot(3.0, math.inf, SERIES[1], "reference"))
    drawn = draw_scatter(ScatterChart("title", "seconds", "PSNR, dB", dots, infinity="equal"))
    texts = {text.get_text(): text for text in drawn.axes[0].texts}
    boxes = [text.get_window_extent() for text in texts.values()]
    assert len(boxes) == 5
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    heights = {name: text.get_window_extent().y0 for name, text in texts.items()}
    assert max(heights, key=lambda name: heights[name]) == "reference"
    assert "equal" in [label.get_text() for label in drawn.axes[0].get_yticklabels()]


def test_small_dots_are_pale_and_need_no_label_and_the_legend_names_colours() -> None:
    dots = [
        Dot(1.0, 10.0, SERIES[0], "large"),
        Dot(1.5, 15.0, SERIES[0], "", is_small=True, tip="hidden name"),
        Dot(2.0, 20.0, SERIES[1], "diamond", "diamond"),
    ]
    kinds = [Kind("one kind", SERIES[0]), Kind("another", SERIES[1], "diamond")]
    drawn = draw_scatter(ScatterChart("title", "seconds", "dB", dots, kinds=kinds))
    assert {text.get_text() for text in drawn.axes[0].texts} == {"large", "diamond"}
    large, small, _ = drawn.axes[0].get_lines()
    assert small.get_markersize() < large.get_markersize()
    assert small.get_alpha() == pytest.approx(0.45)
    assert small.get_zorder() < large.get_zorder()
    svg = ElementTree.fromstring(to_svg(drawn))
    assert {text.text for text in svg.iter("text")} >= {"one kind", "another"}
    assert "hidden name: 1.5, 15" in [title.text for title in svg.iter("title")]
    plain = draw_scatter(ScatterChart("title", "seconds", "dB", dots))
    assert drawn.get_figheight() > plain.get_figheight()


def test_names_stand_on_the_side_that_was_asked_for() -> None:
    dots = [Dot(1.0, 10.0, SERIES[0], "a"), Dot(2.0, 20.0, SERIES[0], "b")]
    sides = []
    for are_names_left in (False, True):
        drawn = draw_scatter(
            ScatterChart("title", "seconds", "dB", dots, are_names_left=are_names_left)
        )
        (axes,) = drawn.axes
        name = next(text for text in axes.texts if text.get_text() == "b")
        sides.append(name.get_window_extent().x0 - axes.transData.transform((2.0, 20.0))[0])
    assert sides[0] > 0 > sides[1]


def test_an_svg_is_well_formed_and_keeps_what_is_drawn_under_hostile_names() -> None:
    hostile = '<script>&"$x^2$'
    bar = Bar(hostile, [Segment(2.0, SERIES[0], hostile)], hostile, (1.5, 2.5))
    line = ReferenceLine(3.0, SERIES[1], hostile)
    made = draw_bars(BarChart(hostile, "s", [bar, Bar("b", [], "", None, [line])]))
    svg = ElementTree.fromstring(to_svg(made))
    assert svg.attrib["aria-label"] == hostile
    assert [text.text for text in svg.iter("text")].count(hostile) >= 3
    assert f"{hostile}: {hostile} 2" in [title.text for title in svg.iter("title")]


def test_drawing_leaves_settings_of_matplotlib_alone() -> None:
    before = dict(matplotlib.rcParams)
    to_svg(draw_bars(BarChart("title", "s", [Bar("a", [Segment(1.0, SERIES[0], "n")], "1 s")])))
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"sdrt\[bench\]"):
        check_folder(tmp_path, ())
