"""Runs the rounds of all cells, each in a fresh process, in turn: A B C A B C.

So the memory that is measured belongs to one cell alone, and a slow minute of the machine affects
all of them.
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
from sdrt_bench.bench.round_protocol import (
    OUTCOME,
    CellRunner,
    RoundCommand,
    RoundFailure,
    RoundResult,
    RoundSpec,
)

OURS = "sdrt"
LAST_LINES = 3  # of the output of a process that ended without a result
KILLED = -9


@dataclass(frozen=True)
class SdrtRunner:
    """Runs cells on sdrt itself."""

    models: Models
    ignore_memory: bool = False

    def command(self, params: Params) -> RoundCommand:
        """Start the worker, with this interpreter and these sources."""
        artifact = self.models.executing(params.precision)
        assert artifact is not None  # cells() makes no others
        options = {"artifact": str(artifact.root), "ignore_memory": self.ignore_memory}
        return RoundCommand(python("sdrt_bench.bench.worker"), environment(), options)


def python(module: str, *arguments: str) -> list[str]:
    """Give a command that runs a module on this interpreter."""
    return [sys.executable, "-W", "ignore", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Give this process's environment, in which Python finds the same sources."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def rounds(
    cells: Sequence[Cell],
    runners: Mapping[str, CellRunner],
    repeat: int,
    measure: Callable[[Params], int],
    folder: Path,
) -> Iterator[tuple[int, RoundResult | RoundFailure]]:
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
                runners[cell.params.tool],
                measure(cell.params),
                folder / str(index) / str(number),
            )
            if isinstance(outcome, RoundFailure):
                failed.add(index)
            yield index, outcome


def run_round(
    params: Params, runner: CellRunner, measure: int, folder: Path
) -> RoundResult | RoundFailure:
    """Run one round in its own process, whose files stay in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    name, file = cell_name(params), folder / "result.json"
    file.unlink(missing_ok=True)
    try:
        command = runner.command(params)
    except SdrtError as error:
        return RoundFailure(error=str(error), kind=type(error).__name__)
    spec = RoundSpec(
        name=name,
        params=params,
        measure=measure,
        result=file,
        folder=folder,
        options=dict(command.options),
    )
    problem = _run(command, spec.model_dump_json(), file)
    if problem is not None:
        return RoundFailure(error=problem)
    return OUTCOME.validate_json(file.read_bytes())


def run_side_job(name: str, arguments: Mapping[str, Any], quiet: bool = True) -> Any:
    """Run a job that is no round in a process of its own; raises what the job raises."""
    with TemporaryDirectory(prefix="sdrt-bench-") as folder:
        file = Path(folder) / "result.json"
        text = json.dumps({**arguments, "result": str(file)})
        command = RoundCommand(python("sdrt_bench.bench.side_jobs", name), environment())
        problem = _run(command, text, file, quiet)
        if problem is not None:
            raise SdrtError(f"{name}: {problem}")
        outcome = json.loads(file.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise error_class(outcome["kind"])(outcome["error"])
    return outcome["value"]


def error_class(name: str) -> Callable[[str], SdrtError]:
    """Give the class of an error by its name."""
    cls = getattr(sdrt.errors, name, None)
    if isinstance(cls, type) and issubclass(cls, SdrtError) and name != "MissingExtraError":
        return cls
    # Its message is complete, and its class would make another one of it.
    return sdrt.errors.UnsupportedError if name == "MissingExtraError" else SdrtError


def _run(command: RoundCommand, text: str, file: Path, quiet: bool = True) -> str | None:
    """Run a process to its end; says what happened where it left no result."""
    with subprocess.Popen(
        list(command.argv),
        env=None if command.env is None else dict(command.env),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        errors="replace",
    ) as process:
        try:
            _, output = process.communicate(text)
        except BaseException:
            process.kill()
            raise
    if file.exists():
        return None
    if process.returncode == KILLED:
        return "the process was killed, probably because the machine ran out of memory"
    lines = [line.strip() for line in (output or "").splitlines() if line.strip()][-LAST_LINES:]
    return f"the process ended with code {process.returncode} and no result: {'; '.join(lines)}"
