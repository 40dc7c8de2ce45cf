"""Rows are made by several processes, and whatever becomes of those, once."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from sdrt import machine
from sdrt.batch.folder import BatchFolder
from sdrt.batch.keys import Keys
from sdrt.batch.maker import Maker
from sdrt.batch.making import Makes, make_all, plan
from sdrt.batch.rows import Row, read_rows
from sdrt.batch.workers import Workers, check_memory
from sdrt.errors import CancelledError, OutOfMemoryError
from sdrt.pipeline import Pipeline, load

pytestmark = pytest.mark.slow
TEMPLATE = "{number:05}-{seed}"


def load_tiny(root: str, deadly: str, model: str | None) -> Pipeline:
    """Open the tiny model; a process that is to open the deadly one is killed."""
    if model == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return load(root, "onnxruntime", threads=1)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    jobs = [{"prompt": f"boat {i % 5}", "size": "64x64", "steps": 3, "seed": i} for i in range(8)]
    path = tmp_path / "jobs.jsonl"
    path.write_text("\n".join(map(json.dumps, jobs)))
    return read_rows(path)


def hashes(root: str, rows: list[Row], out: Path, makes: Makes) -> dict[int, list[str]]:
    """SHA-256 of the pictures of each row."""
    folder = BatchFolder(out)
    with folder.opened():
        todo = plan(rows, folder, Keys({}, root), TEMPLATE)
        records = list(make_all(todo.tasks, folder, makes))
    return {record["number"]: record.get("sha256", []) for record in records}


def test_two_processes_make_what_one_does(
    tiny_exports: dict[str, Path], rows: list[Row], tmp_path: Path
) -> None:
    root = str(tiny_exports["fp32"])
    opens = partial(load_tiny, root, "deadly")
    one = hashes(root, rows, tmp_path / "one", Maker(opens))
    two = hashes(root, rows, tmp_path / "two", Workers(2, opens))
    assert len({hash for each in one.values() for hash in each}) == 8
    assert one == two


def test_a_killed_process_costs_nothing_but_its_row_s_time(
    tiny_exports: dict[str, Path], rows: list[Row], tmp_path: Path
) -> None:
    root = str(tiny_exports["fp32"])
    opens = partial(load_tiny, root, "deadly")
    workers = Workers(1, opens)
    made = []
    for row, outcome in workers.outcomes(rows):
        made.append((row.number, getattr(outcome, "pictures", None)))
        if len(made) == 3:
            (worker,) = workers._workers
            worker.process.kill()
    assert sorted(number for number, _ in made) == list(range(8))
    assert all(pictures for _, pictures in made)


def test_a_row_that_kills_its_processes_is_left_alone(
    tiny_exports: dict[str, Path], rows: list[Row], tmp_path: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    jobs = [json.loads(line) for line in path.read_text().splitlines()[:3]]
    jobs[1]["model"] = "deadly"
    path.write_text("\n".join(map(json.dumps, jobs)))
    opens = partial(load_tiny, str(tiny_exports["fp32"]), "deadly")
    outcomes = {row.number: outcome for row, outcome in Workers(1, opens).outcomes(read_rows(path))}
    assert "2 processes ended by signal 9" in getattr(outcomes[1], "message", "")
    assert all(hasattr(outcomes[number], "pictures") for number in (0, 2))


def test_they_stop_after_their_rows_or_at_once(
    tiny_exports: dict[str, Path], rows: list[Row]
) -> None:
    opens = partial(load_tiny, str(tiny_exports["fp32"]), "deadly")
    workers = Workers(1, opens)
    made = 0
    for _ in workers.outcomes(rows):
        made += 1
        workers.stop()
    assert made in (1, 2)

    def cancelled_at_once(workers: Workers) -> None:
        for _ in workers.outcomes(rows):
            workers.cancel()

    with pytest.raises(CancelledError):
        cancelled_at_once(Workers(1, opens))


def test_processes_that_would_not_fit_together_are_refused(
    tiny_exports: dict[str, Path], rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = partial(load_tiny, str(tiny_exports["fp32"]), "deadly")
    check_memory(rows, opens, 2)
    monkeypatch.setattr(machine, "memory_bytes", lambda: (10**9, 10**8))
    with pytest.raises(OutOfMemoryError, match="50 processes need about .* 0.10 GB are available"):
        check_memory(rows, opens, 50)
