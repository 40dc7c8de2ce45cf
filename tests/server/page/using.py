"""What people do on the page, and what they see."""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page


def option(page: Page, label: str) -> Locator:
    """A field of the form by its label, shown if it lies under more options."""
    field = page.locator("#form").get_by_label(label, exact=True)
    if not field.is_visible():
        page.get_by_text("More options").click()
    return field


def ask(page: Page, prompt: str, steps: int = 2) -> None:
    """Have a picture made, of so few steps that a test need not wait, or so many that it lasts."""
    option(page, "Prompt").fill(prompt)
    option(page, "Steps").fill(str(steps))
    page.get_by_role("button", name="Generate").click()


def outcome(page: Page) -> Locator:
    """What is said about the last job once it is over."""
    return page.locator("#outcome")


def progress(page: Page) -> Locator:
    """What the running job is said to do."""
    return page.locator("#progress-text")


def thumbnails(page: Page) -> Locator:
    """The pictures of the gallery."""
    return page.locator("#gallery").get_by_role("listitem")


def row(page: Page, name: str) -> Locator:
    """The value of a parameter of the picture that is shown large."""
    header = page.get_by_role("rowheader", name=name, exact=True)
    return page.get_by_role("dialog").get_by_role("row").filter(has=header).get_by_role("cell")


def newest(page: Page) -> Image.Image:
    """The newest picture of the gallery, as it is downloaded."""
    thumbnails(page).first.get_by_role("button").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    page.keyboard.press("Escape")
    return picture


def drop(page: Page, target: str, file: Path) -> None:
    """Drop a PNG file on an element."""
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            const type = "image/png";
            transfer.items.add(new File([new Uint8Array(bytes)], "picture.png", { type }));
            return transfer;
        }""",
        list(file.read_bytes()),
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(target, event, {"dataTransfer": transfer})
