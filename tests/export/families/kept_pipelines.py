"""Pipelines that stay open from one test to the next, as compiling takes longer than painting."""

from functools import lru_cache
from pathlib import Path

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.pipeline import Pipeline


def kept_pipeline(artifact: Artifact, backend: str = "onnxruntime") -> Pipeline:
    """Open a model in fp32, or find it open; a test must leave it as it was."""
    return _opened(artifact.root, backend)


@lru_cache(maxsize=4)
def _opened(model: Path, backend: str) -> Pipeline:
    return Pipeline(open_artifact(model), open_backend(backend, precision="fp32"))
