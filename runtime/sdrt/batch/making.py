"""A whole batch: what is left to make, row by row, with a record of each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Protocol

from sdrt.batch.folder import BatchFolder, Record, names_of
from sdrt.batch.keys import Keys
from sdrt.batch.maker import Failed, Outcome, in_good_order
from sdrt.batch.rows import Row


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


class Makes(Protocol):
    """One process that makes rows, or several."""

    def outcomes(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Outcome]]:
        """What became of each row, in any order; raises `CancelledError`."""
        ...

    def stop(self) -> None:
        """Begin no more rows."""
        ...

    def cancel(self) -> None:
        """End at once what runs."""
        ...


def make_all(tasks: Sequence[Task], folder: BatchFolder, makes: Makes) -> Iterator[Record]:
    """Make all tasks; yields the record of each, once it and its pictures are written.

    A row that says the same as another gets a copy of its pictures. One that fails is recorded,
    and the others go on. Raises `CancelledError` if the running ones are cancelled, and
    `WriteError` for a full disk.
    """
    first: dict[str, Task] = {}
    for task in tasks:
        if not folder.twin(task.key):
            first.setdefault(task.key, task)
    originals = {task.row.number: task for task in first.values()}
    records: dict[str, Record] = {}
    for row, outcome in makes.outcomes([task.row for task in originals.values()]):
        task = originals[row.number]
        record = _record(task, outcome, folder)
        folder.add(record)
        records[task.key] = record
        yield record
    for task in tasks:
        source = folder.twin(task.key) or records.get(task.key)
        if task.row.number not in originals and source:
            record = _repeated(task, source, folder)
            folder.add(record)
            yield record


def _record(task: Task, outcome: Outcome, folder: BatchFolder) -> dict[str, Any]:
    """What the record says of a row, once its pictures are written."""
    if isinstance(outcome, Failed):
        failed = asdict(outcome)
        attempts = failed.pop("attempts")
        return {**_about(task, "failed"), "error": failed, "attempts": attempts}
    for name, content in zip(task.names, outcome.pictures, strict=True):
        folder.write(name, content)
    first = outcome.parameters[0]
    return {
        **_about(task, "done"),
        "sha256": [sha256(content).hexdigest() for content in outcome.pictures],
        "seeds": [parameters.seed for parameters in outcome.parameters],
        "seconds": round(outcome.seconds, 4),
        "executed_precision": first.executed_precision,
        "backend": first.backend,
        "timings": asdict(outcome.timings),
        "parameters": [parameters.record() for parameters in outcome.parameters],
        "warnings": outcome.warnings,
    }


def _repeated(task: Task, source: Record, folder: BatchFolder) -> dict[str, Any]:
    """The record of a row that says the same as another, with copies of its pictures."""
    if source["state"] == "failed":
        return {**source, **_about(task, "failed")}
    for name, original in zip(task.names, source["names"], strict=True):
        folder.write(name, (folder.root / original).read_bytes())
    return {**source, **_about(task, "done"), "copy_of": source["names"], "seconds": 0.0}


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
