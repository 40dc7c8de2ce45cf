"""A browser, and pages of servers in it that may report no error unless a test expects it."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline
from sdrt_server.http.gate import Access
from sdrt_server.service import Service
from tests.runtime.fakes import pretend_demo
from tests.server.serving import serving

Opener = Callable[..., Page]
WAIT_MS = 20_000  # for what happens within a second or two unless something is broken
KEY = "open sesame"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium")
    assert path, "there is no chromium; install it with: apt-get install chromium"
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def unhurried(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Networks that leave the processors to the browser, and time to see a job run."""
    if name == "unet":
        time.sleep(0.03)
    if name == "vae_encoder":
        blocks = feeds["sample"][:, :, ::8, ::8]
        return {"latent_parameters": np.concatenate([blocks] * 3, axis=1)[:, :8]}
    return pretend_demo(name, feeds)


@pytest.fixture(scope="session")
def slow_pipe(demo: Artifact) -> Pipeline:
    """A model that takes its time, with the embedded model's manifest."""
    return Pipeline(demo, FakeBackend(unhurried, executes="fp32"))


@pytest.fixture(scope="session")
def server(slow_pipe: Pipeline) -> Iterator[str]:
    """The URL of a server with `slow_pipe`."""
    with serving(Service({"demo": slow_pipe})) as url:
        yield url


@pytest.fixture(scope="session")
def locked_server(slow_pipe: Pipeline) -> Iterator[str]:
    """The URL of a server that wants `KEY`."""
    with serving(Service({"demo": slow_pipe}), Access((KEY,))) as url:
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
    """The server's page, ready to be used."""
    page = open_page(server)
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    return page
