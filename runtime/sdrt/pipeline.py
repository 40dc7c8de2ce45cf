"""Prompt to picture: the face of the package.

A pipeline is an open model (`sdrt.networks`) with a budget of memory; a run (`sdrt.generation`)
stands on it.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Unpack

from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import Backend, open_backend
from sdrt.errors import ArtifactError
from sdrt.files.tuned_speed import NOT_TUNED
from sdrt.generation.controls import check_controls
from sdrt.generation.hires_run import hires_run
from sdrt.generation.result import Result, Step
from sdrt.generation.run import Run
from sdrt.manifest import Precision
from sdrt.memory.budget import Budget, read_bytes
from sdrt.networks.open_model import KEPT, OpenModel
from sdrt.request.options import Options
from sdrt.request.resolve import resolve


def load(
    path_or_name: str | Path | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
    keep: Collection[str] = KEPT,
    retry_precision: bool = True,
    check_memory: bool = True,
    max_memory: int | str | None = None,
    loras: Sequence[str] = (),
    embeddings: Sequence[str] = (),
) -> "Pipeline":
    """Open a model for generation.

    Nothing given: the embedded model on the fastest installed backend. `precision` is what the
    engine should execute; by default what the artifact stores, where the engine can. Networks
    named in `keep` stay in memory between uses, the others are released after each use. With
    `retry_precision` a network that gives NaN or infinity runs again in fp32, unless it ran so.
    With `check_memory` a run that would not fit is refused before anything is loaded. `max_memory`,
    in bytes or as "4G", is what the process may have at its peak: runs are made so that they are
    expected to keep to it, or refused. `loras` are added to the weights, as `Pipeline.use_loras`
    does, and words of `embeddings` to the vocabulary, as `Pipeline.use_embeddings` does.
    Raises `ArtifactError`, `UnsupportedError`, `MissingExtraError` or `UsageError`.
    """
    artifact = open_artifact(path_or_name)
    engine = open_backend(backend, device, threads, precision)
    pipe = Pipeline(artifact, engine, keep, retry_precision, check_memory, max_memory)
    pipe.use_loras(*loras)
    pipe.use_embeddings(*embeddings)
    return pipe


class Pipeline(OpenModel):
    """An open model on a backend, ready to generate within a budget of memory."""

    def __init__(
        self,
        artifact: Artifact,
        backend: Backend,
        keep: Collection[str] = KEPT,
        retry_precision: bool = True,
        check_memory: bool = True,
        max_memory: int | str | None = None,
    ) -> None:
        """The arguments are those of `load`."""
        limit = read_bytes(max_memory) if isinstance(max_memory, str) else max_memory
        self.budget = Budget(limit, respects_machine=check_memory)
        super().__init__(artifact, backend, keep, retry_precision)

    def __call__(
        self,
        prompt: str | None = None,
        callback: Callable[[Step], object] | None = None,
        **options: Unpack[Options],
    ) -> Result:
        """Make pictures of a prompt; raises `UsageError` for options that cannot be.

        There is no prompt where `prompt_embeds` stands for it. `callback` is given each step;
        whatever it raises ends the work. With `start` you have the loop in your own hands.
        """
        run = self.start(prompt, **options)
        if callback:
            for step in run:
                callback(step)
        return run.result()

    def start(self, prompt: str | None = None, **options: Unpack[Options]) -> Run:
        """Prepare a run that the caller steps through; nothing heavy happens yet."""
        if "unet" not in self.manifest.graphs:
            raise ArtifactError(
                f"{self.artifact.root} has no unet; it has: {', '.join(self.manifest.graphs)}; a "
                "single graph is run by itself (docs/export/single-graph.md), so give the model "
                "folder that it was made from"
            )
        tuned = self.artifact.tuned_speed() if "speed" in options else NOT_TUNED
        request = resolve(self.manifest, prompt, options, tuned)
        check_controls(self, request)
        return (hires_run if request.hires else Run)(self, request, self.budget)
