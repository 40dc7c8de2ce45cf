"""A whole batch: what is left to make, row by row, with a record of each."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from sdrt.batch.folder import BatchFolder, Record, names_of
from sdrt.batch.keys import Keys
from sdrt.batch.maker import Made, Maker, in_good_order
from sdrt.batch.rows import Row
from sdrt.errors import CancelledError, SdrtError
from sdrt.images.png import png_bytes


@dataclass(frozen=True)
class Task:
    """A row with its key and the names of its pictures."""

    row: Row
    key: str
    names: list[str]


@dataclass(frozen=True)
class Plan:
    """What a batch has to do."""

    tasks: list[Task]
    """What is left to make, in the order in which it will be."""
    made: list[Task]
    """What was made before."""


def plan(rows: Sequence[Row], folder: BatchFolder, keys: Keys, template: str) -> Plan:
    """What of these rows is left to make in a folder, of its shard.

    Raises `UsageError` for names that are taken, and `ArtifactError` for models that are none.
    """
    part, parts = folder.shard
    chosen = [row for row in rows if row.number % parts == part - 1]
    tasks = {row.number: Task(row, keys.of(row), names_of(row, template)) for row in chosen}
    folder.check_names([(task.key, task.names) for task in tasks.values()])
    made = [task for task in tasks.values() if folder.is_made(task.key, task.names)]
    done = {task.row.number for task in made}
    left = in_good_order([row for row in chosen if row.number not in done])
    return Plan([tasks[row.number] for row in left], made)


def make_all(
    tasks: Sequence[Task], folder: BatchFolder, maker: Maker, retries: int = 0
) -> Iterator[Record]:
    """Make all tasks; yields the record of each, once it and its pictures are written.

    A row that says the same as another gets a copy of its pictures. One that fails is recorded,
    and the others go on. Raises `CancelledError` if the running one is cancelled, and `WriteError`
    for a full disk.
    """
    for task in tasks:
        twin = folder.twin(task.key)
        record = _copied(task, twin, folder) if twin else _made(task, folder, maker, retries)
        folder.add(record)
        yield record


def _made(task: Task, folder: BatchFolder, maker: Maker, retries: int) -> dict[str, Any]:
    for attempt in range(retries + 1):
        try:
            made = maker.make(task.row)
        except CancelledError:
            raise
        except Exception as error:  # whatever a row ends with, the others go on
            failure = _failure(task, error, attempt + 1)
        else:
            return _success(task, made, folder)
    return failure


def _copied(task: Task, twin: Record, folder: BatchFolder) -> dict[str, Any]:
    for name, source in zip(task.names, twin["names"], strict=True):
        folder.write(name, (folder.root / source).read_bytes())
    return {**twin, **_about(task, "done"), "copy_of": twin["names"], "seconds": 0.0}


def _about(task: Task, state: str) -> dict[str, Any]:
    row = task.row
    return {
        "key": task.key,
        "state": state,
        "number": row.number,
        "line": row.line,
        "id": row.id,
        "prompt": row.prompt,
        "names": task.names,
    }


def _success(task: Task, made: Made, folder: BatchFolder) -> dict[str, Any]:
    """Write the pictures of a task; what the record says of them."""
    result = made.result
    contents = list(map(png_bytes, result.images, result.parameters))
    for name, content in zip(task.names, contents, strict=True):
        folder.write(name, content)
    first = result.parameters[0]
    return {
        **_about(task, "done"),
        "sha256": [sha256(content).hexdigest() for content in contents],
        "seeds": result.seeds,
        "seconds": round(made.seconds, 4),
        "executed_precision": first.executed_precision,
        "backend": first.backend,
        "timings": asdict(result.timings),
        "parameters": [asdict(parameters) for parameters in result.parameters],
        "warnings": result.warnings,
    }


def _failure(task: Task, error: Exception, attempts: int) -> dict[str, Any]:
    exit_code = error.exit_code if isinstance(error, SdrtError) else 1
    return {
        **_about(task, "failed"),
        "error": {"type": type(error).__name__, "message": str(error), "exit_code": exit_code},
        "attempts": attempts,
    }
