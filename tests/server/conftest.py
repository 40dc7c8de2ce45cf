"""Servers with the tiny model: on networks that numpy computes, and on its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline, load
from sdrt_server.app import create_app
from sdrt_server.limits import Limits
from sdrt_server.service import Service
from tests.runtime.fakes import pretend_tiny
from tests.server.serving import Held, serving

HERE = "http://localhost"


@pytest.fixture
def pipe(tiny: Artifact) -> Pipeline:
    """The tiny model on networks that numpy computes."""
    return Pipeline(tiny, FakeBackend(pretend_tiny))


@pytest.fixture
def service(pipe: Pipeline) -> Iterator[Service]:
    """A service with the tiny model only."""
    service = Service({"tiny": pipe})
    yield service
    service.queue.stop()


@pytest.fixture
def client(service: Service) -> TestClient:
    """A client of `service`."""
    return TestClient(create_app(service), HERE)


@pytest.fixture
def held(tiny: Artifact) -> Iterator[Held]:
    """Networks whose U-Net waits until the test lets it go on."""
    held = Held()
    yield held
    held.is_released.set()


@pytest.fixture
def held_service(tiny: Artifact, held: Held) -> Iterator[Callable[[Limits], Service]]:
    """Makes services whose jobs do not end before the test says so."""
    made: list[Service] = []

    def make(limits: Limits) -> Service:
        made.append(Service({"tiny": Pipeline(tiny, FakeBackend(held))}, limits, patience_s=0.02))
        return made[-1]

    yield make
    held.is_released.set()
    for service in made:
        service.queue.stop()


@pytest.fixture(scope="session")
def real_pipe(tiny_exports: dict[str, Path]) -> Pipeline:
    """The tiny model, on the engine that needs no time for a new size."""
    return load(tiny_exports["fp32"], "onnxruntime")


@pytest.fixture(scope="session")
def real_server(real_pipe: Pipeline) -> Iterator[str]:
    """The URL of a server with `real_pipe`."""
    with serving(Service({"tiny": real_pipe})) as url:
        yield url
