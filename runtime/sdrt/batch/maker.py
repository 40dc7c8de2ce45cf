"""Makes the pictures of rows, with as little loaded and compiled anew as their order allows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sdrt.batch.rows import Row
from sdrt.generation.refiner_run import START, refiner_run
from sdrt.generation.result import Result
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline

Load = Callable[[str | None], Pipeline]
"""Opens a model by its name or folder."""


@dataclass(frozen=True)
class Made:
    """What was made of a row."""

    result: Result
    seconds: float


@dataclass
class Maker:
    """Opens the models of rows, and keeps the networks of the last one in memory."""

    load: Load
    running: Run | None = None
    """The run at work, for another thread or a signal handler to cancel."""
    _pipes: dict[str | None, Pipeline] = field(default_factory=dict)
    _adapters: dict[str | None, tuple[tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=dict
    )

    def make(self, row: Row) -> Made:
        """Make the pictures of a row; raises what `Pipeline.start` and a run raise."""
        began = time.perf_counter()
        self.running = self._start(row)
        try:
            result = self.running.result()
        finally:
            self.running = None
        return Made(result, time.perf_counter() - began)

    def _start(self, row: Row) -> Run:
        pipe = self._pipe(row.model)
        for model, other in self._pipes.items():
            if model not in (row.model, row.refiner):
                other.release()
        self._use_adapters(row, pipe)
        if row.refiner is None:
            return pipe.start(row.prompt, **row.options)
        start = START if row.refiner_start is None else row.refiner_start
        refiner = self._pipe(row.refiner)
        return refiner_run(pipe, refiner, start, row.prompt, row.options, pipe.budget)

    def _pipe(self, model: str | None) -> Pipeline:
        if model not in self._pipes:
            self._pipes[model] = self.load(model)
        return self._pipes[model]

    def _use_adapters(self, row: Row, pipe: Pipeline) -> None:
        loras, embeddings = self._adapters.get(row.model, ((), ()))
        if row.loras != loras:
            pipe.use_loras(*row.loras)
        if row.embeddings != embeddings:
            pipe.use_embeddings(*row.embeddings)
        self._adapters[row.model] = row.loras, row.embeddings


def in_good_order(rows: list[Row]) -> list[Row]:
    """The rows so that those of one model, its adapters and one size follow each other."""

    def group(row: Row) -> tuple[str, ...]:
        size = (row.options.get(name) for name in ("width", "height", "num_images_per_prompt"))
        return tuple(map(str, (row.model, row.refiner, row.loras, row.embeddings, *size)))

    return sorted(rows, key=group)
