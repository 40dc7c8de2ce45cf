"""Makes the pictures of rows, with as little loaded and compiled anew as their order allows."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sdrt.batch.rows import Row
from sdrt.errors import CancelledError, SdrtError
from sdrt.generation.refiner_run import START, refiner_run
from sdrt.generation.run import Run
from sdrt.images.metadata import Parameters
from sdrt.images.png import png_bytes
from sdrt.networks.run_state import Timings
from sdrt.pipeline import Pipeline

Load = Callable[[str | None], Pipeline]
"""Opens a model by its name or folder."""


@dataclass(frozen=True)
class Made:
    """What was made of a row; processes send it to each other."""

    pictures: list[bytes]
    """PNG files."""
    parameters: list[Parameters]
    timings: Timings
    warnings: list[str]
    seconds: float


@dataclass(frozen=True)
class Failed:
    """Why nothing was made of a row."""

    type: str
    message: str
    exit_code: int
    attempts: int


Outcome = Made | Failed


@dataclass
class Maker:
    """Opens the models of rows, and keeps the networks of the last one in memory."""

    load: Load
    retries: int = 0
    """How often a row that fails is tried again."""
    _running: Run | None = None
    _is_stopping: bool = False
    _pipes: dict[str | None, Pipeline] = field(default_factory=dict)
    _adapters: dict[str | None, tuple[tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=dict
    )

    def outcomes(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Outcome]]:
        """What became of each row, one after the other, until `stop`.

        Raises `CancelledError` after `cancel`.
        """
        for row in rows:
            if self._is_stopping:
                return
            yield row, self.attempt(row)

    def stop(self) -> None:
        """Begin no more rows."""
        self._is_stopping = True

    def cancel(self) -> None:
        """End the running row at once; a signal handler may call this."""
        if self._running:
            self._running.cancel()

    def attempt(self, row: Row) -> Outcome:
        """Make the pictures of a row; whatever it ends with, others can be made after it.

        Raises `CancelledError`, which is no fault of the row.
        """
        for attempt in range(1, self.retries + 2):
            try:
                return self._make(row)
            except CancelledError:
                raise
            except Exception as error:
                exit_code = error.exit_code if isinstance(error, SdrtError) else SdrtError.exit_code
                failed = Failed(type(error).__name__, str(error), exit_code, attempt)
        return failed

    def _make(self, row: Row) -> Made:
        began = time.perf_counter()
        self._running = self._start(row)
        try:
            result = self._running.result()
        finally:
            self._running = None
        return Made(
            pictures=list(map(png_bytes, result.images, result.parameters)),
            parameters=result.parameters,
            timings=result.timings,
            warnings=result.warnings,
            seconds=time.perf_counter() - began,
        )

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
