"""A chart shows its values where they belong, and says so where there are none."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sdrt_bench.charts.line_plot import COLORS, Chart, Line


def inked(image: Image.Image, color: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Where a picture has a colour, below its heading and legend: (height, width)."""
    found: npt.NDArray[np.bool_] = (np.abs(np.asarray(image, np.int16) - color) < 30).all(axis=2)
    found[:70] = False
    return found


def chart(*lines: Line) -> Image.Image:
    return Chart("title", "step", "dB", lines).draw(600, 400)


def test_a_line_goes_from_its_first_value_to_its_last() -> None:
    shown = inked(chart(Line("falls", [1, 2, 3], [10.0, 5.0, 0.0])), COLORS[0])
    rows = [int(np.nonzero(column)[0].mean()) for column in shown.T if column.any()]
    assert len(rows) > 450
    assert all(a <= b + 1 for a, b in pairwise(rows))
    assert rows[-1] - rows[0] > 200


def test_equal_values_stand_where_equal_values_of_another_line_stand() -> None:
    one, other = Line("one", [1, 2, 3], [3.0, 3.0, 3.0]), Line("other", [1, 2, 3], [0.0, 3.0, 6.0])
    image = chart(one, other)
    flat, rising = (np.nonzero(inked(image, COLORS[i])) for i in (0, 1))
    middle = (rising[0].min() + rising[0].max()) / 2
    assert flat[0].mean() == pytest.approx(middle, abs=3)


def test_values_that_are_not_finite_are_gaps() -> None:
    x = [1, 2, 3, 4, 5, 6, 7]
    whole = inked(chart(Line("a", x, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0])), COLORS[0])
    gap = [1.0, 2.0, 1.0, math.inf, 1.0, math.nan, 1.0]
    broken = inked(chart(Line("a", x, gap)), COLORS[0])
    assert whole[:, 290:340].any()
    assert not broken[:, 290:340].any()
    assert broken[:, :250].any()


def test_a_band_is_pale_and_around_its_line() -> None:
    line = Line("a", [1, 2], [5.0, 5.0], band=([0.0, 0.0], [10.0, 10.0]), band_label="band")
    column = np.asarray(chart(line))[100:340, 300].astype(int)
    is_paper = column.min(axis=1) > 250
    is_line = np.abs(column - COLORS[0]).max(axis=1) < 30
    assert is_line.any()
    assert not is_paper[np.nonzero(is_line)[0][0] + 10]
    assert is_paper.mean() < 0.2


def test_without_a_finite_value_the_chart_says_so() -> None:
    nothing = Chart("title", "x", "y", [Line("a", [1, 2], [math.inf] * 2)], empty="all are equal")
    image = nothing.draw(600, 400)
    assert image.size == (600, 400)
    assert not inked(image, COLORS[0]).any()
    assert (np.asarray(image)[190:210, 250:350] < 200).any()


def test_many_lines_get_more_rows_of_legend_and_none_is_cut() -> None:
    lines = [Line(f"a rather long name of line {i}", [1, 2], [i, i + 1]) for i in range(6)]
    image = np.asarray(chart(*lines), np.int16)
    for color in COLORS:
        assert (np.abs(image[:, :-24] - color) < 30).all(axis=2).any()
    assert (image[:, -20:] == 255).all()
