"""`sdrt bench`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdrt.cli.option_types import option_group
from sdrt.errors import MissingExtraError, UsageError, needs_extra
from sdrt.files.atomic import check_writable, whole_file
from sdrt_bench.bench.options import (
    AxisOptions,
    ComparisonOptions,
    MeasurementOptions,
    ModelOptions,
    OutputOptions,
    PeerOptions,
)

if TYPE_CHECKING:
    from sdrt_bench.bench.cells import Models, TableAxes
    from sdrt_bench.bench.record import Params, Record
    from sdrt_bench.bench.round_protocol import CellRunner
    from sdrt_bench.bench.session import Session, SessionSettings, Watch


@click.command()
@option_group("models", ModelOptions)
@option_group("axes", AxisOptions)
@option_group("measurement", MeasurementOptions)
@option_group("peers", PeerOptions)
@option_group("output", OutputOptions)
@option_group("comparison", ComparisonOptions)
def bench(
    models: ModelOptions,
    axes: AxisOptions,
    measurement: MeasurementOptions,
    peers: PeerOptions,
    output: OutputOptions,
    comparison: ComparisonOptions,
) -> None:
    """Measure time, memory and fidelity of a model: every precision on every engine, in one table.

    ARTIFACT is a model folder, or a folder of such: exports of one model in several precisions;
    the embedded model where none is given. Options with X,... take a list, and every combination
    becomes a cell of the table. Each round of a cell runs in its own process; cells take turns.

    \b
    sdrt bench --quick
    sdrt bench models/sd15-fp32 models/sd15-bf16 models/sd15-int8 --html report.html
    sdrt bench --preset sd15 --random --sweep size --backend openvino
    """
    if output.schema:
        _print_schema()
    elif comparison.compare:
        _compare(*comparison.compare, comparison)
    else:
        settings = measurement.session_settings(axes.sweep, output.redo_noisy)
        session = _session(models, axes.table_axes(), settings, peers, output)
        _run(session, output)


def _session(
    models: ModelOptions,
    axes: "TableAxes",
    settings: "SessionSettings",
    peers: PeerOptions,
    output: OutputOptions,
) -> "Session":
    """Check what can be checked before the work, and prepare it."""
    from sdrt_bench.bench.record import read_record
    from sdrt_bench.bench.session import Session

    resumed = read_record(output.resume) if output.resume else None
    default = Path(f"sdrt-bench-{datetime.now():%Y%m%d-%H%M%S}.json")
    target = output.output or output.resume or default
    for path in (target, output.html, output.csv):
        _check_target(path)
    if output.html:
        with needs_extra("bench"):
            import matplotlib  # noqa: F401
    opened = _open_models(models, axes, output.is_silent)
    cells, runners = _cells(opened, axes, peers)
    return Session.prepare(opened, cells, target, settings, resumed, runners)


def _run(session: "Session", output: OutputOptions) -> None:
    """Measure, and show the record; raises the first error of a cell."""
    target = session.file.path
    try:
        with _progress(session.total, output.is_silent) as session.watch:
            record = session.run()
    except KeyboardInterrupt:
        click.echo(f"sdrt: what is finished is in {target}; go on with --resume {target}", err=True)
        raise
    for warning in session.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    _write_reports(record, output)
    if output.as_json:
        click.echo(record.to_json(), nl=False)
    elif not output.quiet:
        from sdrt_bench.bench.report.table import to_text

        click.echo(f"{to_text(record)}\n\n{target}")
    session.raise_failure()


def _open_models(options: ModelOptions, axes: "TableAxes", quiet: bool) -> "Models":
    """Open the exports to measure; those of a preset are made where they do not exist."""
    from sdrt_bench.bench.models import open_models, preset_models
    from sdrt_bench.bench.runner import run_side_job

    if not options.preset:
        return open_models(options.artifacts)

    def export(name: str, is_random: bool, precision: str, path: Path) -> None:
        if not quiet:
            click.echo(f"exporting {name} in {precision}, once: {path}", err=True)
        arguments = {
            "preset": name,
            "random": is_random,
            "precision": precision,
            "path": str(path),
            "quiet": quiet,
        }
        run_side_job("export", arguments, quiet=quiet)

    return preset_models(options.preset, options.is_random, axes.precisions, export)


def _cells(
    models: "Models", axes: "TableAxes", options: PeerOptions
) -> "tuple[list[Params], Mapping[str, CellRunner]]":
    """Cells of sdrt, then those of peers, and the runners of the latter."""
    from sdrt.files.cache import cache_folder
    from sdrt_bench.bench.cells import cells

    own_cells = cells(models, axes)
    if options.peers is None:
        return own_cells, {}
    try:
        from sdrt_bench.bench.peers import catalogue
        from sdrt_bench.bench.peers.weights import Weights
    except ModuleNotFoundError as error:  # their weights are written with torch
        raise MissingExtraError(str(error.name), "all") from error
    chosen, cache = catalogue.choose_peers(options.peers), cache_folder() / "peers"
    peer_cells = catalogue.cells(chosen, own_cells)
    weights = Weights.from_source(models.first.manifest.source, options.peer_weights, cache)
    runner = catalogue.PeerRunner(weights, cache)
    return [*own_cells, *peer_cells], {peer.name: runner for peer in chosen}


def _check_target(path: Path | None) -> None:
    """Find out before the work whether a file can be written."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; give the name of a file")
    check_writable(path, path.parent)


@contextmanager
def _progress(count: int, quiet: bool) -> "Iterator[Watch]":
    """Show a bar for all the work, with the remaining time, on a terminal."""
    from tqdm import tqdm

    from sdrt.cli.progress import PROGRESS

    silent = quiet or not sys.stderr.isatty()
    with tqdm(None, "", count, leave=False, disable=silent, bar_format=PROGRESS) as bar:

        @contextmanager
        def watch(name: str, share: int) -> Iterator[None]:
            bar.set_description_str(name)
            yield
            bar.update(share)

        yield watch


def _write_reports(record: "Record", output: OutputOptions) -> None:
    texts: list[tuple[Path, str]] = []
    if output.html:
        from sdrt_bench.bench.report.html import to_html

        texts.append((output.html, to_html(record)))
    if output.csv:
        from sdrt_bench.bench.report.table import to_csv

        texts.append((output.csv, to_csv(record)))
    for path, text in texts:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _print_schema() -> None:
    from sdrt_bench.bench.record import Record

    click.echo(json.dumps(Record.model_json_schema(by_alias=True), indent=1))


def _compare(old: Path, new: Path, options: ComparisonOptions) -> None:
    from sdrt_bench.bench.record import read_record
    from sdrt_bench.bench.regression import compare, read_threshold

    threshold = read_threshold(options.threshold)
    regression = compare(read_record(old), read_record(new), threshold, options.other_machine)
    click.echo(regression.to_text())
    regression.check()
