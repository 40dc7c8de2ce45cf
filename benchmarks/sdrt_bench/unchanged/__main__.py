"""`python -m sdrt_bench.unchanged`: make the models, record, compare."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from sdrt_bench.unchanged.compare import Difference, compare, compare_machines
from sdrt_bench.unchanged.interpreter import Interpreter, pin_processors
from sdrt_bench.unchanged.models import make_models
from sdrt_bench.unchanged.record import RECORDING, SCHEMA, record_all
from sdrt_bench.unchanged.suite import chosen

FOLDER = click.Path(path_type=Path, file_okay=False, resolve_path=True)
PYTHON = click.option(
    "--python",
    default=sys.executable,
    metavar="PATH",
    help="The interpreter whose sdrt it is; default: this one.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def unchanged() -> None:
    """Does a change of the code change any byte of what sdrt gives?"""


@unchanged.command()
@click.argument("folder", type=FOLDER)
@PYTHON
def models(folder: Path, python: str) -> None:
    """Make the small models to record with in FOLDER: minutes, once for all recordings."""
    pin_processors()
    cache = folder / "cache"
    make_models(folder, Interpreter(python, cache), click.echo)
    shutil.rmtree(cache, ignore_errors=True)


@unchanged.command()
@click.argument("models", type=FOLDER)
@click.argument("out", type=FOLDER)
@PYTHON
@click.option(
    "--host",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
    help="A built sdrt-host of the same code; without it the host's cases are left out.",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Only these cases or groups.")
@click.option("--skip", multiple=True, metavar="PATTERN", help="All but these cases or groups.")
def record(
    models: Path, out: Path, python: str, host: Path | None, only: list[str], skip: list[str]
) -> None:
    """Run all cases with MODELS, and write what they print and leave to OUT."""
    try:
        cases = chosen(only, skip)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    path = record_all(cases, models, out, python, host, click.echo)
    click.echo(f"{path}: {len(json.loads(path.read_text())['cases'])} cases")


@unchanged.command("compare")
@click.argument("before", type=FOLDER)
@click.argument("after", type=FOLDER)
@click.option("--allow-reworded", is_flag=True, help="Sentences for people may have other words.")
def compare_recordings(before: Path, after: Path, allow_reworded: bool) -> None:
    """List what differs between the recordings BEFORE and AFTER; exit with 1 if anything does.

    Keys that were renamed on purpose, by the tables in `compare.py`, do not count.
    """
    old, new = (_read(folder) for folder in (before, after))
    for difference in compare_machines(old, new):
        click.echo(f"not recorded alike: {difference}")
    differences = compare(old, new)
    for difference in differences:
        if difference.kind != "renamed":
            click.echo(difference)
    for name, count in _renamed(differences).items():
        click.echo(f"renamed: {name}, {count} times")
    harmless = {"renamed", *(["reworded"] if allow_reworded else [])}
    bad = [difference for difference in differences if difference.kind not in harmless]
    cases = {difference.path.partition("/")[0] for difference in bad}
    click.echo(f"{len(old['cases'])} cases, {len(cases)} of them differ")
    sys.exit(1 if bad else 0)


def _renamed(differences: list[Difference]) -> Counter[str]:
    return Counter(
        f"{difference.path.rpartition('/')[2]} ({difference.before} -> {difference.after})"
        for difference in differences
        if difference.kind == "renamed"
    )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RECORDING
    if not path.is_file():
        raise click.UsageError(f"there is no recording {path}")
    content: dict[str, Any] = json.loads(path.read_text())
    if content.get("schema") != SCHEMA:
        raise click.UsageError(
            f"{path} has the schema {content.get('schema')}, expected {SCHEMA}; record it again"
        )
    return content


if __name__ == "__main__":
    unchanged(prog_name="python -m sdrt_bench.unchanged")
