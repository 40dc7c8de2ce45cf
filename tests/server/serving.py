"""Servers for tests: in a thread on a port of their own, and networks that wait to be told."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from sdrt.arrays import Array
from sdrt_server.app import create_app
from sdrt_server.http.gate import Access
from sdrt_server.server import address, open_port
from sdrt_server.service import Service
from tests.runtime.fakes import pretend_tiny

WAIT_S = 30.0  # for what happens at once unless something is broken


@dataclass
class Held:
    """The tiny model's networks, whose U-Net waits until it is released."""

    is_released: threading.Event = field(default_factory=threading.Event)
    is_reached: threading.Event = field(default_factory=threading.Event)
    """Set once the U-Net was called."""

    def release_later(self, seconds: float) -> None:
        """Let the U-Net go on so long after it was called."""

        def release() -> None:
            assert self.is_reached.wait(WAIT_S)
            time.sleep(seconds)
            self.is_released.set()

        threading.Thread(target=release, daemon=True).start()

    def __call__(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            self.is_reached.set()
            assert self.is_released.wait(WAIT_S)
        return pretend_tiny(name, feeds)


@contextmanager
def serving(service: Service, access: Access | None = None) -> Iterator[str]:
    """The URL of a server that runs while the block does, in a thread."""
    app: FastAPI = create_app(service, access)
    listening = open_port("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield address(listening).rstrip("/")
    finally:
        service.queue.stop()
        server.should_exit = True
        thread.join(WAIT_S)
        listening.close()
