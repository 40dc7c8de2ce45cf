"""A browser, and pages of servers in it that may report no error unless a test expects it."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from sdrt.pipeline import Pipeline
from sdrt_server.http.gate import Access
from sdrt_server.service import Service
from tests.server.serving import serving

Opener = Callable[..., Page]
WAIT_MS = 20_000  # for what happens within a second or two unless something is broken
KEY = "open sesame"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(demo_server: str) -> str:
    """The URL of a server with the embedded model."""
    return demo_server


@pytest.fixture(scope="session")
def locked_server(demo_pipe: Pipeline) -> Iterator[str]:
    """The URL of a server that wants `KEY`."""
    with serving(Service({"demo": demo_pipe}), Access((KEY,))) as url:
        yield url


@pytest.fixture
def console() -> list[str]:
    """What pages reported as errors; a test takes out what it expects."""
    return []


@pytest.fixture
def open_page(browser: Browser, console: list[str]) -> Iterator[Opener]:
    """Opens a page of a server in a browser that has never seen it."""
    contexts = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            console.append(message.text)

    def opened(url: str, width: int = 1280, height: int = 800) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert console == []


@pytest.fixture
def page(open_page: Opener, server: str) -> Page:
    """The page of a server with the embedded model, ready to be used."""
    page = open_page(server)
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    return page
