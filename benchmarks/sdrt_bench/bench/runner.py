"""Runs the rounds of all cells, each in a fresh process, in turn: A B C A B C.

So memory belongs to one cell alone, and a slow minute of the machine hits all of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sdrt.errors
from sdrt.errors import SdrtError
from sdrt_bench.bench.cells import Models, cell_name
from sdrt_bench.bench.record import Cell, Params
from sdrt_bench.bench.round_protocol import OUTCOME, Failure, Result, Source, Spec, Start

OURS = "sdrt"
LAST_LINES = 3  # of what a process said that ended without a result
KILLED = -9


@dataclass(frozen=True)
class OwnSource:
    """Runs cells on sdrt itself."""

    models: Models
    ignore_memory: bool = False

    def start(self, params: Params) -> Start:
        """The worker, with this interpreter and these sources."""
        artifact = self.models.executing(params.precision)
        assert artifact is not None  # cells() saw to it
        options = {"artifact": str(artifact.root), "ignore_memory": self.ignore_memory}
        return Start(python("sdrt_bench.bench.worker"), environment(), options)


def python(module: str, *arguments: str) -> list[str]:
    """A command that runs a module on this interpreter."""
    return [sys.executable, "-W", "ignore", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's own, in which Python finds the same sources."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def rounds(
    cells: Sequence[Cell],
    sources: Mapping[str, Source],
    repeat: int,
    measure: Callable[[Params], int],
    folder: Path,
) -> Iterator[tuple[int, Result | Failure]]:
    """Run what is missing of `repeat` rounds; yields the cell's index and its outcome.

    `measure` says how many steps to run. A cell that failed or was skipped is not run again. Files
    of a cell's first round stay in `folder` under its index.
    """
    failed: set[int] = set()
    for number in range(repeat):
        for index, cell in enumerate(cells):
            if index in failed or cell.status != "ok" or len(cell.rounds) > number:
                continue
            outcome = run_round(
                cell.params,
                sources[cell.params.tool],
                measure(cell.params),
                folder / str(index) / str(number),
            )
            if isinstance(outcome, Failure):
                failed.add(index)
            yield index, outcome


def run_round(params: Params, source: Source, measure: int, folder: Path) -> Result | Failure:
    """One round in its own process, whose files stay in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    name, file = cell_name(params), folder / "result.json"
    file.unlink(missing_ok=True)
    try:
        start = source.start(params)
    except SdrtError as error:
        return Failure(error=str(error), kind=type(error).__name__)
    spec = Spec(
        name=name,
        params=params,
        measure=measure,
        result=file,
        folder=folder,
        options=dict(start.options),
    )
    said = _run(start, spec.model_dump_json(), file)
    return OUTCOME.validate_json(file.read_bytes()) if said is None else Failure(error=said)


def run_aside(name: str, arguments: Mapping[str, Any], quiet: bool = True) -> Any:
    """Do something beside the rounds in a process of its own; raises what it raises."""
    with TemporaryDirectory(prefix="sdrt-bench-") as folder:
        file = Path(folder) / "result.json"
        text = json.dumps({**arguments, "result": str(file)})
        start = Start(python("sdrt_bench.bench.side_jobs", name), environment())
        said = _run(start, text, file, quiet)
        if said is not None:
            raise SdrtError(f"{name}: {said}")
        outcome = json.loads(file.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise error_of(outcome["kind"])(outcome["error"])
    return outcome["value"]


def error_of(kind: str) -> Callable[[str], SdrtError]:
    """The class of an error by its name."""
    found = getattr(sdrt.errors, kind, None)
    if isinstance(found, type) and issubclass(found, SdrtError) and kind != "MissingExtraError":
        return found
    # Its message is whole already.
    return sdrt.errors.UnsupportedError if kind == "MissingExtraError" else SdrtError


def _run(start: Start, text: str, file: Path, quiet: bool = True) -> str | None:
    """Run a process to its end; says what happened where it left no result."""
    with subprocess.Popen(
        list(start.argv),
        env=None if start.env is None else dict(start.env),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        errors="replace",
    ) as process:
        try:
            _, said = process.communicate(text)
        except BaseException:
            process.kill()
            raise
    if file.exists():
        return None
    if process.returncode == KILLED:
        return "the process was killed, probably because the machine ran out of memory"
    lines = [line.strip() for line in (said or "").splitlines() if line.strip()][-LAST_LINES:]
    return f"the process ended with code {process.returncode} and no result: {'; '.join(lines)}"
