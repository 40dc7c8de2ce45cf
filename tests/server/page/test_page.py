"""Pictures are made by mouse or keyboard; a running job is shown, and outlives the page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.server.page.conftest import KEY, Opener
from tests.server.page.using import ask, newest, option, outcome, progress, row, thumbnails

pytestmark = pytest.mark.slow

LONG = 150
"""Steps of a job that lasts until it is stopped."""
RUNNING = re.compile(r"^Step \d+ of 150")


def test_the_keyboard_alone_makes_a_picture_and_shows_its_parameters(page: Page) -> None:
    keys = page.keyboard
    _tab_to(page, "prompt")
    keys.type("a red boat")
    _tab_to(page, "seed")
    keys.type("7")
    keys.press("Control+Enter")
    expect(outcome(page)).to_contain_text("seed 7 · 128 × 128")
    _tab_to(page, "", title="a red boat")
    keys.press("Enter")
    expect(row(page, "Prompt")).to_have_text("a red boat")
    expect(row(page, "Steps").first).to_have_text("20")
    expect(row(page, "Precision")).to_have_text("stored bf16, executed fp32")
    expect(row(page, "Decoder").last).to_contain_text(" s")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.title") == "a red boat"


def _tab_to(page: Page, name: str, title: str = "") -> None:
    """Press Tab until a field or button has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "({ name: document.activeElement.id, title: document.activeElement.title })"
        )
        if focus == {"name": name, "title": title}:
            return
    raise AssertionError(f"Tab does not come to {name or title}")


def test_a_running_job_shows_its_preview_and_its_progress_until_it_is_stopped(page: Page) -> None:
    ask(page, "a red boat", steps=LONG)
    preview = page.get_by_alt_text("Preview of the picture that is being made")
    expect(preview).to_be_visible()
    first = preview.get_attribute("src")
    expect(progress(page)).to_have_text(re.compile(r"^Step \d+ of 150 · .* left$"))
    expect(preview).not_to_have_attribute("src", str(first))
    expect(page).to_have_title(re.compile(r"^\d+ % - sdrt$"))
    expect(page.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"^\d+$"))
    page.get_by_role("button", name="Stop").click()
    expect(outcome(page)).to_have_text("Stopped.")
    expect(preview).to_have_count(0)
    expect(page).to_have_title("sdrt")
    expect(thumbnails(page)).to_have_count(0)


def test_escape_stops_the_running_job_but_not_while_a_dialog_is_open(page: Page) -> None:
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    ask(page, "a blue house", steps=LONG)
    expect(progress(page)).to_have_text(re.compile("^Step 1"))
    thumbnails(page).get_by_role("button").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(progress(page)).to_have_text(RUNNING)
    page.keyboard.press("Escape")
    expect(outcome(page)).to_have_text("Stopped.")


def test_jobs_wait_in_line_and_can_be_taken_out_of_it(page: Page) -> None:
    line = page.get_by_role("list", name="Waiting in line").get_by_role("listitem")
    ask(page, "a red boat", steps=LONG)
    ask(page, "a blue house")
    expect(line).to_have_text([re.compile("1 job ahead · a blue house")])
    ask(page, "a green tree")
    expect(line).to_have_count(2)
    page.get_by_role("button", name="Cancel: a blue house").click()
    expect(line).to_have_text([re.compile("1 job ahead · a green tree")])
    page.get_by_role("button", name="Stop").click()
    expect(thumbnails(page)).to_have_count(1)
    expect(line).to_have_count(0)
    assert newest(page).info["parameters"].startswith("a green tree")


def test_a_reload_keeps_the_form_and_the_gallery_and_goes_on_with_the_running_job(
    page: Page,
) -> None:
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    ask(page, "a blue house", steps=LONG)
    expect(progress(page)).to_have_text(RUNNING)
    page.reload()
    expect(progress(page)).to_have_text(RUNNING)
    expect(thumbnails(page)).to_have_count(1)
    expect(option(page, "Prompt")).to_have_value("a blue house")
    page.get_by_role("button", name="Stop").click()
    expect(outcome(page)).to_have_text("Stopped.")
    page.reload()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    assert newest(page).info["parameters"].startswith("a red boat")


def test_pictures_are_deleted_one_by_one_or_all_after_a_question(page: Page) -> None:
    for prompt in ("a red boat", "a blue house", "a green tree"):
        ask(page, prompt)
    expect(thumbnails(page)).to_have_count(3)
    thumbnails(page).first.get_by_role("button").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("1 of 2", exact=True)).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 2", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("button", name="Cancel").click()
    expect(thumbnails(page)).to_have_count(2)
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("button", name="Delete all").click()
    expect(thumbnails(page)).to_have_count(0)
    page.reload()
    expect(page.get_by_text("Pictures are kept here")).to_be_visible()


def test_a_server_with_a_key_is_asked_with_it_from_then_on(
    open_page: Opener, locked_server: str, console: list[str]
) -> None:
    page = open_page(locked_server)
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Enter the key").click()
    dialog.get_by_label("Key").fill("guessed")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("does not take this API key")
    dialog.get_by_label("Key").fill(KEY)
    dialog.get_by_role("button", name="Continue").click()
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    assert [text for text in console if "status of 401" not in text] == []
    console.clear()
    page.reload()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


@pytest.mark.parametrize("width", [390, 700, 1280])
def test_no_width_makes_the_page_scroll_sideways(
    open_page: Opener, server: str, width: int
) -> None:
    page = open_page(server, width, 844)
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    page.get_by_text("More options").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.get_by_role("button", name="Generate")).to_be_in_viewport()


def test_a_telephone_shows_a_picture_with_a_long_word_in_its_prompt(
    open_page: Opener, server: str
) -> None:
    page = open_page(server, 390, 844)
    ask(page, "a-word-that-is-longer-than-the-screen-of-any-telephone-" * 3)
    expect(thumbnails(page)).to_have_count(1)
    expect(page.locator("#stage")).to_be_in_viewport(ratio=0.9)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    thumbnails(page).get_by_role("button").click()
    assert page.get_by_role("dialog").evaluate("it => it.scrollWidth - it.clientWidth") <= 0


def test_the_routes_are_shown_to_people_who_write_programs(open_page: Opener, server: str) -> None:
    page = open_page(f"{server}/docs")
    route = page.get_by_role("group").filter(has_text="/v1/jobs Put a job into the queue")
    route.locator("summary").click()
    field = route.get_by_role("row").filter(has=page.get_by_role("rowheader", name="width"))
    expect(field.first).to_contain_text("Pixels, a multiple of 8")
