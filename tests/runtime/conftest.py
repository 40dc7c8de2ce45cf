"""The tiny model on networks that are computed by numpy."""

import pytest

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import pretend_tiny


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend(pretend_tiny)


@pytest.fixture
def pipe(tiny: Artifact, fake: FakeBackend) -> Pipeline:
    return Pipeline(tiny, fake)
