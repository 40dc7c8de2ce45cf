"""Hints that are made of photographs."""

import numpy as np
from PIL import Image, ImageDraw

from sdrt.request.preprocessors import canny, scribble, tile

WHITE = 255


def block(background: tuple[int, int, int], colour: tuple[int, int, int]) -> np.ndarray:
    picture = np.empty((40, 50, 3), np.uint8)
    picture[:] = background
    picture[10:30, 15:35] = colour
    return picture


def lines(hint: np.ndarray) -> np.ndarray:
    """Where a hint is white; it is black elsewhere, in all colours alike."""
    assert set(np.unique(hint)) <= {0, WHITE}
    assert (hint == hint[..., :1]).all()
    return np.asarray(hint[..., 0] == WHITE)


def test_an_edge_is_one_pixel_wide_and_goes_around() -> None:
    found = lines(canny(block((0, 0, 0), (255, 255, 255))))
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max()) in ((9, 29), (10, 30), (9, 30))
    assert (columns.min(), columns.max()) in ((14, 34), (15, 35), (14, 35))
    assert (found[15:25].sum(axis=1) == 2).all()
    assert (found[:, 20:30].sum(axis=0) == 2).all()
    assert not found[12:28, 17:33].any()


def test_an_edge_between_colours_of_one_brightness_is_found() -> None:
    assert lines(canny(block((255, 0, 0), (0, 130, 0)))).any()
    assert not lines(canny(block((100, 100, 100), (110, 110, 110)))).any()


def test_a_weak_edge_counts_where_it_leads_to_a_strong_one() -> None:
    """Between the thresholds of 100 and 200, which four times a step of grey is compared with."""
    picture = np.zeros((30, 60, 3), np.uint8)
    picture[15:] = 40  # 4 * 40 lies between
    assert not lines(canny(picture)).any()
    picture[15:, :10] = 80  # 4 * 80 is above
    found = lines(canny(picture))
    assert found[13:17, :8].any(axis=0).all()
    assert found[13:17, 12:].any(axis=0).all()


def test_a_slanting_edge_has_no_gaps() -> None:
    image = Image.new("RGB", (64, 64))
    ImageDraw.Draw(image).polygon([(8, 8), (56, 30), (20, 56)], fill="white")
    found = lines(canny(np.asarray(image)))
    assert 100 < found.sum() < 220  # about as many pixels as the outline is long
    for row, column in zip(*np.nonzero(found), strict=True):
        near = found[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert near.sum() > 1


def test_a_drawing_becomes_white_lines_on_black() -> None:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).line([(10, 32), (54, 32)], fill="black", width=2)
    found = lines(scribble(np.asarray(image)))
    assert found[31:34, 14:50].any(axis=0).all()
    assert not found[:24].any()
    assert not found[42:].any()
    assert not lines(scribble(np.full((16, 16, 3), 200, np.uint8))).any()


def test_a_tile_is_the_picture() -> None:
    picture = block((1, 2, 3), (4, 5, 6))
    assert (tile(picture) == picture).all()
