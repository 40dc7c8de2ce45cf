"""Several processes that make rows side by side, each with models of its own."""

import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from sdrt.batch.maker import Failed, Load, Maker, Outcome
from sdrt.batch.rows import Row
from sdrt.cores import Placement
from sdrt.errors import CancelledError, SdrtError
from sdrt.memory.estimate import MemoryPlan

DEATHS = 2  # of processes at one row, after which it is the row's fault
PATIENCE_S = 10.0  # for processes to end by themselves


def check_memory(rows: Iterable[Row], load: Load, count: int) -> None:
    """Raise `OutOfMemoryError` if so many processes cannot make the largest rows at once.

    Loads no network. Rows that cannot be are left to fail when their turn comes.
    """
    largest: dict[str | None, tuple[int, Row]] = {}
    for row in rows:
        sides = (row.options.get(name, 0) for name in ("width", "height"))
        pixels = prod(side if isinstance(side, int) else 0 for side in sides)
        if pixels > largest.get(row.model, (-1, row))[0]:
            largest[row.model] = pixels, row
    for _, row in largest.values():
        pipe = load(row.model)
        try:
            run = pipe.start(row.prompt, **row.options)
        except SdrtError:
            continue
        pipe.budget.check_side_by_side(MemoryPlan.for_request(pipe, run.request), count)


@dataclass(eq=False)
class Worker:
    """A process, and what it is at work on."""

    process: SpawnProcess
    connection: Connection
    slot: int
    """Its number among the processes that there are to be; one that replaces it has the same."""
    row: Row | None = None


@dataclass
class Workers:
    """A number of processes; one that dies is replaced, and its row made again."""

    count: int
    load: Load
    """Opens a model; other processes have to be able to import it."""
    retries: int = 0
    placements: Sequence[Placement] = ()
    """The cores of each process; none for those that the system chooses."""
    _workers: list[Worker] = field(default_factory=list)
    _is_stopping: bool = False
    _is_cancelled: bool = False

    def outcomes(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Outcome]]:
        """What became of each row, as they are done; see `Maker.outcomes`."""
        waiting = deque(rows)
        deaths: dict[int, int] = {}
        try:
            while (waiting and not self._is_stopping) or self._busy:
                self._hand_out(waiting)
                for worker in self._ready():
                    row = worker.row
                    assert row is not None
                    outcome = self._received(worker)
                    if outcome is not None:
                        yield row, outcome
                        continue
                    deaths[row.number] = deaths.get(row.number, 0) + 1
                    if deaths[row.number] < DEATHS:
                        waiting.appendleft(row)
                    else:
                        yield row, _killed(worker, deaths[row.number])
        finally:
            self._end()

    def stop(self) -> None:
        """Begin no more rows; what runs goes on to its end."""
        self._is_stopping = True

    def cancel(self) -> None:
        """End all processes at once; a signal handler may call this."""
        self._is_cancelled = True
        for worker in self._workers:
            worker.process.terminate()

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.row is not None]

    def _hand_out(self, waiting: deque[Row]) -> None:
        """Give a row to each process that has none; start as many as there are to be."""
        while waiting and not self._is_stopping:
            idle = next((worker for worker in self._workers if worker.row is None), None)
            if idle is None:
                if len(self._workers) == self.count:
                    return
                idle = self._started()
            idle.row = waiting.popleft()
            try:
                idle.connection.send(idle.row)
            except OSError:
                pass  # it has died, which the other end of the connection says next

    def _started(self) -> Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        slot = min(set(range(self.count)).difference(worker.slot for worker in self._workers))
        placement = self.placements[slot] if self.placements else None
        process = context.Process(
            target=_work,
            args=(theirs, self.load, self.retries, placement),
            name="sdrt-batch",
            daemon=True,
        )
        process.start()
        theirs.close()
        worker = Worker(process, ours, slot)
        self._workers.append(worker)
        return worker

    def _ready(self) -> list[Worker]:
        """The processes that are done with their row, or that have died."""
        busy = self._busy
        ready = wait([worker.connection for worker in busy])
        return [worker for worker in busy if worker.connection in ready]

    def _received(self, worker: Worker) -> Outcome | None:
        """What a process made of its row; None if it died of it, and is no more one of ours.

        Raises `CancelledError` after `cancel`.
        """
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, OSError):
            if self._is_cancelled:
                raise CancelledError("the batch was cancelled") from None
            worker.process.join(PATIENCE_S)
            self._workers.remove(worker)
            worker.connection.close()
            return None
        worker.row = None
        return outcome

    def _end(self) -> None:
        for worker in self._workers:
            worker.connection.close()  # a process without its other end ends
        for worker in self._workers:
            worker.process.join(0 if worker.row else PATIENCE_S)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join(PATIENCE_S)
        self._workers.clear()


def _killed(worker: Worker, deaths: int) -> Failed:
    code = worker.process.exitcode or 0
    how = f"by signal {-code}" if code < 0 else f"with the exit code {code}"
    message = f"{deaths} processes ended {how} while they made this row; it may need more memory"
    return Failed("WorkerDied", message, SdrtError.exit_code, deaths)


def _work(connection: Connection, load: Load, retries: int, placement: Placement | None) -> None:
    """The life of a process: rows in, outcomes out, until there is nobody to send them."""
    if placement:
        placement.take()  # before an engine starts its threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    maker = Maker(load, retries)
    try:
        while True:
            connection.send(maker.attempt(connection.recv()))
    except (EOFError, OSError):
        return
