"""The command line. Every import that costs time is inside the command that needs it."""

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

import click

import sdrt
from sdrt.commands.conformance import conformance
from sdrt.commands.generate import generate
from sdrt.commands.styles import styles
from sdrt.commands.verify import verify
from sdrt.errors import OutOfMemoryError, SdrtError

INTERRUPTED = 130


class Commands(click.Group):
    """Our own commands, and those that other packages offer under `sdrt.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        return sorted({*super().list_commands(ctx), *(point.name for point in _offered())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Our own command of that name, or the offered one."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = next((point.load() for point in _offered() if point.name == cmd_name), None)
        return found


def _offered() -> Iterator[Any]:
    yield from entry_points(group="sdrt.commands")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sdrt.__version__, prog_name="sdrt")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Stable Diffusion on CPUs: exported once with torch, run anywhere without it."""


cli.add_command(conformance)
cli.add_command(generate)
cli.add_command(styles)
cli.add_command(verify)


def main() -> NoReturn:
    """Run the command line; every failure is one sentence and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as finished:
        sys.exit(finished.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_failed("interrupted", "interrupted", INTERRUPTED))
    except MemoryError as error:
        kind = OutOfMemoryError
        text = str(error) if isinstance(error, kind) else "the machine has too little free memory"
        sys.exit(_failed(kind.__name__, text, kind.exit_code))
    except SdrtError as error:
        sys.exit(_failed(type(error).__name__, str(error), error.exit_code))
    sys.exit(0)


def _failed(kind: str, message: str, exit_code: int) -> int:
    if "--debug" in sys.argv:
        raise
    if "--json" in sys.argv:
        record = {"type": kind, "message": message, "exit_code": exit_code}
        click.echo(json.dumps({"error": record}), err=True)
    else:
        click.echo(f"sdrt: {message}", err=True)
    return exit_code


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def samplers(as_json: bool) -> None:
    """List the samplers: name, calls of the U-Net in a step, noise or none, and their options."""
    from sdrt.recipe import COMMON
    from sdrt.samplers import SAMPLERS

    if as_json:
        records = {
            name: {
                "calls": one.calls,
                "is_stochastic": one.is_stochastic,
                "summary": one.summary,
                "options": {option: str(allowed) for option, allowed in one.options.items()},
            }
            for name, one in SAMPLERS.items()
        }
        click.echo(json.dumps(records, indent=1))
        return
    for name, one in SAMPLERS.items():
        noise = "noise" if one.is_stochastic else ""
        click.echo(f"{name:12} {one.calls}  {noise:5}  {one.summary}")
        if one.options:
            click.echo(f"{'':23}{_listed(one.options)}")
    click.echo(f"options of all: {_listed(COMMON)}")


def _listed(options: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {allowed}" for name, allowed in options.items())


@cli.command()
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def info(path: str | None, as_json: bool) -> None:
    """Say what PATH holds: the parameters of a PNG, or a model folder (default: embedded).

    Folders that others exported open too: docs/compatibility.md.
    """
    from sdrt.info import describe_model, describe_picture

    is_picture = path is not None and Path(path).is_file()
    record, text = describe_picture(Path(path)) if is_picture and path else describe_model(path)
    click.echo(json.dumps(record, indent=1, ensure_ascii=False) if as_json else text)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def doctor(as_json: bool) -> None:
    """Describe this machine and its engines: a list to paste into a bug report."""
    from sdrt.doctor import examine

    report = examine()
    click.echo(json.dumps(report, indent=1) if as_json else _as_list(report))


def _as_list(report: dict[str, Any]) -> str:
    lines = []
    for title, entries in report.items():
        lines.append(f"{title}:")
        lines += [f"  {name}: {value}" for name, value in entries.items()]
    return "\n".join(lines)
