"""`sdrt batch`: a file of jobs in, a folder of pictures out."""

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from sdrt.cli.option_types import JSON, EngineOptions, option, option_group
from sdrt.errors import CancelledError, SdrtError, UsageError

if TYPE_CHECKING:
    from sdrt.batch.folder import BatchFolder, Record
    from sdrt.batch.keys import Keys
    from sdrt.batch.maker import Maker
    from sdrt.batch.making import Makes, Task
    from sdrt.batch.workers import Workers

PROGRESS = "{desc} {n}/{total} [{bar:30}] {postfix}"
PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class RowOptions:
    """Which rows are made, and how."""

    model: str | None = option(
        "-m", "--model", metavar="PATH", help="Model of rows that name none; default: embedded."
    )
    shared: tuple[str, ...] = option(
        "--set",
        metavar="NAME=VALUE",
        multiple=True,
        help="An option of every row that has none of its own, such as steps=20.",
    )
    name: str = option(
        "--name",
        default="{number:05}-{seed}",
        show_default=True,
        metavar="TEMPLATE",
        help="Names of pictures, of {number}, {line}, {id}, {seed} and {image}.",
    )
    seed: int = option(
        "-s",
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Rows without a seed get this one plus their number.",
    )
    shard: str = option(
        "--shard", default="1/1", metavar="K/N", help="Make the K-th of N parts, as 3/8."
    )
    workers: int = option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that make rows side by side; --threads are then those of each.",
    )
    retries: int = option(
        "--retries", type=click.IntRange(0), default=0, help="Try rows that fail again so often."
    )
    fail_fast: bool = option("--fail-fast", is_flag=True, help="Stop at the first row that fails.")
    quiet: bool = option("-q", "--quiet", is_flag=True, help="No progress and no summary.")

    def parts(self) -> tuple[int, int]:
        """The shard and the number of shards; raises `UsageError`."""
        part, _, parts = self.shard.partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            raise UsageError(f"--shard is {self.shard!r}; expected for example 3/8")
        return int(part), int(parts)


@dataclass(frozen=True)
class BatchOptions:
    """Everything that `sdrt batch` takes besides the jobs and the folder."""

    rows: RowOptions
    engine: EngineOptions


class Interruptions:
    """Ctrl-C: the first lets the running row end, the second cancels it."""

    def __init__(self, makes: "Makes") -> None:
        self._makes = makes
        self.is_asked = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block runs; once asked to stop, nothing interrupts the rest."""
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN if self.is_asked else before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            self._makes.cancel()
        else:
            click.echo("\nsdrt: stopping after this row; Ctrl-C again stops now", err=True)
            self._makes.stop()
        self.is_asked = True


@click.command()
@click.argument("jobs", type=PATH)
@click.argument("out", type=PATH)
@option_group("options", BatchOptions)
@JSON
def batch(jobs: Path, out: Path, options: BatchOptions, as_json: bool) -> None:
    """Make the pictures of JOBS (.jsonl, .csv, .txt, or - for standard input) in the folder OUT.

    Each row has options of `sdrt generate`. What is there already is not made again, so the same
    command goes on where it was stopped.
    """
    from sdrt.batch.folder import BatchFolder
    from sdrt.batch.making import plan
    from sdrt.batch.report import write_reports
    from sdrt.batch.rows import read_rows
    from sdrt.batch.workers import check_memory

    given = options.rows
    rows = read_rows(jobs, given.shared, given.seed)
    folder = BatchFolder(out, given.parts())
    makes = _makes(options)
    interruptions = Interruptions(makes)
    with folder.opened():
        todo = plan(rows, folder, _keys(options), given.name)
        if given.workers > 1:
            check_memory([task.row for task in todo.tasks], makes.load, given.workers)
        with interruptions.heard():
            records = _run(todo.tasks, folder, makes, given)
        tasks = [*todo.made, *todo.tasks]
        known = [folder.records.get((task.key, task.names[0])) for task in tasks]
        reports = write_reports(folder, [record for record in known if record])
    _tell(records, len(todo.made), len(todo.tasks), reports, as_json, given.quiet)
    if interruptions.is_asked:
        raise KeyboardInterrupt
    failed = sum(record["state"] == "failed" for record in records)
    if failed:
        raise SdrtError(f"{failed} of {len(records)} rows failed; {folder.results} says why")


def _makes(options: BatchOptions) -> "Maker | Workers":
    """What makes the rows: this process, or others."""
    from sdrt.batch.maker import Maker
    from sdrt.batch.workers import Workers
    from sdrt.cores import placement

    given, engine = options.rows, options.engine
    if given.workers == 1:
        return Maker(partial(engine.load_to_keep, given.model), given.retries)
    if engine.threads:
        return Workers(given.workers, partial(engine.load_to_keep, given.model), given.retries)
    shares = placement().shares(given.workers)
    # As many for each, as a picture's last bits depend on the number.
    threads = min(share.threads for share in shares)
    load = partial(replace(engine, threads=threads).load_to_keep, given.model)
    return Workers(given.workers, load, given.retries, shares)


def _keys(options: BatchOptions) -> "Keys":
    """The hashes of rows, which depend on the engine too."""
    from sdrt.backends.backend import open_backend
    from sdrt.batch.keys import Keys

    engine = options.engine
    backend = open_backend(engine.backend, engine.device, engine.threads, engine.precision)
    return Keys(
        {"backend": backend.name, "device": engine.device, "precision": engine.precision},
        options.rows.model,
    )


def _run(
    tasks: "Sequence[Task]",
    folder: "BatchFolder",
    makes: "Makes",
    options: RowOptions,
) -> "list[Record]":
    """Make what is left to make, with a bar if standard error is a terminal."""
    from tqdm import tqdm

    from sdrt.batch.making import make_all

    records: list[Record] = []
    is_silent = options.quiet or not sys.stderr.isatty()
    with tqdm(total=len(tasks), desc="row", disable=is_silent, bar_format=PROGRESS) as bar:
        try:
            for record in make_all(tasks, folder, makes):
                records.append(record)
                bar.set_postfix_str(_rate(records, len(tasks)))
                bar.update()
                is_failed = record["state"] == "failed"
                if is_failed and not options.quiet:
                    said = f"sdrt: line {record['line']}: {record['error']['message']}"
                    bar.write(said, file=sys.stderr)
                if is_failed and options.fail_fast:
                    makes.stop()
        except CancelledError:
            pass  # by Ctrl-C, as nothing else cancels a batch
    return records


def _rate(records: "Sequence[Record]", rows: int) -> str:
    """Pictures an hour, and the time that is left at that rate."""
    seconds = sum(record.get("seconds", 0.0) for record in records)
    pictures = sum(len(record["names"]) for record in records if record["state"] == "done")
    left = int(seconds / len(records) * (rows - len(records)))
    hourly = f"{3600 * pictures / seconds:.0f} pictures an hour, " if seconds else ""
    return f"{hourly}{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def _tell(
    records: "Sequence[Record]",
    made_before: int,
    rows: int,
    reports: list[Path],
    as_json: bool,
    quiet: bool,
) -> None:
    states = Counter(record["state"] for record in records)
    if as_json:
        said = {"made_before": made_before, "left": rows - len(records), **states}
        click.echo(json.dumps({**said, "reports": [str(path) for path in reports]}, indent=1))
    elif not quiet:
        parts = [f"{count} {state}" for state, count in states.items()] or ["nothing to make"]
        before = f", {made_before} there before" if made_before else ""
        left = f", {rows - len(records)} left" if rows > len(records) else ""
        click.echo(f"{', '.join(parts)}{before}{left}; see {reports[-1]}")
