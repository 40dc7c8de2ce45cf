"""Sheets show every picture whole, in order, each in a place of its own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdrt.generation.result import Result
from sdrt.images.grid import grid, titled_grid
from sdrt.images.metadata import read_png
from sdrt.networks.run_state import Timings
from tests.runtime.images.test_metadata import PARAMETERS

COLOURS = [(10 * i, 255 - 10 * i, 100) for i in range(7)]


def pictures(count: int, size: tuple[int, int] = (40, 24)) -> list[Image.Image]:
    return [Image.new("RGB", size, colour) for colour in COLOURS[:count]]


def places(sheet: Image.Image, count: int) -> list[tuple[int, int]]:
    """Left and top of each picture, which has to be whole."""
    corners = []
    for colour in COLOURS[:count]:
        rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
        top, left = int(rows.min()), int(columns.min())
        assert len(rows) == 40 * 24
        assert (rows.max() - top, columns.max() - left) == (23, 39)
        corners.append((left, top))
    return corners


@pytest.mark.parametrize(
    ("count", "columns", "rows"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 3, 2), (6, 3, 2), (7, 3, 3)],
)
def test_a_grid_is_about_square_and_reads_like_text(count: int, columns: int, rows: int) -> None:
    sheet = grid(pictures(count))
    assert sheet.size == (columns * 44 - 4, rows * 28 - 4)
    assert places(sheet, count) == [(44 * (i % columns), 28 * (i // columns)) for i in range(count)]


def test_columns_can_be_chosen() -> None:
    assert places(grid(pictures(4), columns=4), 4) == [(0, 0), (44, 0), (88, 0), (132, 0)]


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        grid([])


def test_titles_stand_above_their_columns_and_cover_no_picture() -> None:
    sheet = titled_grid(pictures(6), ["one\n1", "two\n2", "three\n3"])
    corners = places(sheet, 6)
    top = corners[0][1]
    assert corners == [(44 * (i % 3), top + 28 * (i // 3)) for i in range(6)]
    head = np.asarray(sheet)[:top]
    for left in (0, 44, 88):
        assert (head[:, left : left + 40] < 128).any()
    assert (head[:, 40:44] == 255).all()  # and stay in them


def test_a_title_that_is_too_long_is_cut() -> None:
    titles = ["a title far wider than its column", "short"]
    head = np.asarray(titled_grid(pictures(2), titles))[:-24]
    assert (head[:, :40] < 128).any()
    assert (head[:, 40:44] == 255).all()


def test_a_grid_says_what_it_shows(tmp_path: Path) -> None:
    result = Result(pictures(3), [PARAMETERS] * 3, Timings(), [])
    path = result.save_grid(tmp_path / "grid.png", columns=3)
    metadata = read_png(path)
    assert (metadata["width"], metadata["height"]) == result.grid(columns=3).size == (128, 24)
    assert metadata["sdrt"]["sheet"] == {"columns": 3, "seeds": [7, 7, 7]}
    assert metadata["sdrt"]["prompt"] == "a red boat"
    bare = result.save_grid(tmp_path / "bare.png", with_parameters=False)
    assert "sdrt" not in read_png(bare)
