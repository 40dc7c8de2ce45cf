"""Pictures are made from a start picture, or from a part of it that a mask selects."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.server.page.using import ask, drop, newest, option, row, thumbnails

pytestmark = pytest.mark.slow

SIDE = 128


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """A grey picture of the model's size."""
    path = tmp_path / "grey.png"
    Image.new("RGB", (SIDE, SIDE), (120, 130, 140)).save(path)
    return path


def start_from(page: Page, file: Path | FilePayload) -> None:
    page.get_by_label("Choose a picture").set_input_files(file)
    expect(page.get_by_role("button", name="Paint a mask")).to_be_visible()


def repainted(page: Page) -> npt.NDArray[np.bool_]:
    """Which pixels of the newest picture are no longer grey."""
    values = np.asarray(newest(page).convert("RGB"))
    return np.asarray((values != (120, 130, 140)).any(axis=2))


def open_mask(page: Page) -> None:
    page.get_by_role("button", name="Paint a mask").click()
    expect(page.get_by_role("application")).to_be_focused()


def paint(page: Page, *points: tuple[int, int]) -> None:
    """Drag the brush through points, in pixels of the picture."""
    box = page.locator("#mask-canvas").bounding_box()
    assert box
    scale = box["width"] / SIDE
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_start_picture_is_sent_with_its_strength_until_it_is_removed(
    page: Page, grey: Path
) -> None:
    start_from(page, grey)
    option(page, "Strength").fill("0.5")
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    thumbnails(page).get_by_role("button").click()
    expect(row(page, "Strength")).to_have_text("0.5")
    expect(row(page, "Start picture")).to_have_text("Another picture")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove", exact=True).click()
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(2)
    thumbnails(page).first.get_by_role("button").click()
    expect(row(page, "Strength")).to_have_count(0)


def test_only_what_was_painted_of_the_mask_is_painted_anew(page: Page, grey: Path) -> None:
    start_from(page, grey)
    open_mask(page)
    paint(page, (24, 32), (100, 32))
    page.get_by_role("button", name="Use this mask").click()
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    changed = repainted(page)
    assert changed[28:36, 24:100].mean() > 0.9
    assert not changed[48:].any()
    assert not changed[:16].any()


def test_a_mask_can_be_erased_undone_inverted_and_changed_later(page: Page, grey: Path) -> None:
    start_from(page, grey)
    open_mask(page)
    paint(page, (24, 32), (100, 32))
    page.get_by_text("Erase").click()
    paint(page, (64, 16), (64, 48))
    page.get_by_role("button", name="Use this mask").click()
    page.get_by_role("button", name="Change the mask").click()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Invert").click()
    page.get_by_role("button", name="Use this mask").click()
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    changed = repainted(page)
    assert changed[64:].mean() > 0.9
    assert changed[28:36, 62:66].mean() > 0.9
    assert not changed[30:34, 26:50].any()
    assert not changed[30:34, 80:98].any()


def test_the_keyboard_paints_a_mask(page: Page, grey: Path) -> None:
    start_from(page, grey)
    open_mask(page)
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#mask-spoken")).to_have_text("1 percent of the picture will be repainted.")
    page.get_by_role("button", name="Use this mask").press("Enter")
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    rows, columns = repainted(page).nonzero()
    assert abs(rows.mean() - SIDE / 2) < 4
    assert columns.min() > 0.75 * SIDE


def test_a_mask_that_is_cancelled_is_not_sent(page: Page, grey: Path) -> None:
    start_from(page, grey)
    open_mask(page)
    paint(page, (24, 32), (100, 32))
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Paint a mask")).to_be_visible()
    expect(page.get_by_role("button", name="Remove the mask")).to_be_hidden()


def test_a_picture_dropped_on_its_place_is_started_from(page: Page, grey: Path) -> None:
    drop(page, "#start", grey)
    expect(page.get_by_alt_text("The start picture").first).to_be_visible()
    expect(option(page, "Width")).to_have_attribute("placeholder", str(SIDE))


def test_what_is_no_picture_is_refused_beside_its_place(page: Page) -> None:
    broken = FilePayload(name="a.png", mimeType="image/png", buffer=b"no picture")
    page.get_by_label("Choose a picture").set_input_files(broken)
    expect(page.get_by_role("group", name="Start picture")).to_contain_text("is no picture")
