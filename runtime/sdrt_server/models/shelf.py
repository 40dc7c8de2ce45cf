"""The models of a server: opened at its start, in memory as far as there is room."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from sdrt import machine
from sdrt.generation.run import Run
from sdrt.manifest import TINY_DECODER
from sdrt.pipeline import Pipeline
from sdrt.validation import hint
from sdrt_server.errors import UnknownModelError
from sdrt_server.jobs.job import Order


@dataclass(eq=False)
class ServedModel:
    """A model under the name that clients know it by."""

    name: str
    pipe: Pipeline
    loras: tuple[str, ...] = ()
    """The LoRAs in use."""
    embeddings: tuple[str, ...] = ()
    """The textual inversions in use."""
    last_use: int = 0
    """A number that grows with each use of any model."""
    decoding_s: float | None = None
    """Seconds that a pixel took to decode the last time; None before the first."""

    @property
    def previews(self) -> tuple[str, ...]:
        """The ways in which steps can be shown without decoding them in full."""
        manifest = self.pipe.manifest
        tiny = ("tae",) if TINY_DECODER in manifest.graphs else ()
        return (*(("proj",) if manifest.latent.preview else ()), *tiny)


@dataclass(eq=False)
class Shelf:
    """All models of a server by their names; the first one is for jobs that name none."""

    models: Mapping[str, ServedModel]
    empty_bytes: int = field(default_factory=machine.resident_bytes)
    """What the process has in memory without any network."""
    _uses: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def default(self) -> str:
        """The name of the model that is used where none is named."""
        return next(iter(self.models))

    def find(self, name: str | None) -> ServedModel:
        """The model of a name, or the default; raises `UnknownModelError`."""
        found = self.models.get(self.default if name is None else name)
        if found is None:
            near = hint(name, self.models)
            raise UnknownModelError(
                f"unknown model {str(name)[:80]!r}; known: {', '.join(self.models)}{near}", "model"
            )
        return found

    def prepare(self, served: ServedModel, order: Order, run: Run) -> None:
        """Put the adapters of a job in use, and make room for its run.

        Networks of other models leave memory, those of the model that was used least recently
        first; then the model's own of earlier runs, of which it may need fewer. Call it only
        between two runs.
        """
        if order.loras != served.loras:
            served.pipe.use_loras(*order.loras)
            served.loras = order.loras
        if order.embeddings != served.embeddings:
            served.pipe.use_embeddings(*order.embeddings)
            served.embeddings = order.embeddings
        served.last_use = next(self._uses)
        loaded = [model for model in self.models.values() if model.pipe.loaded]
        for model in sorted(loaded, key=lambda model: model.last_use):
            if run.fits:
                return
            model.pipe.release()
            machine.give_back_memory()
