"""The command line. Imports that cost time stand inside of the commands that need them."""

import json
import sys
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from sdrt.cli.batch import batch
from sdrt.cli.conformance import conformance
from sdrt.cli.describe import doctor, info, samplers, styles
from sdrt.cli.generate import generate
from sdrt.cli.plan import plan
from sdrt.cli.verify import verify
from sdrt.errors import OutOfMemoryError, SdrtError
from sdrt.version import __version__

INTERRUPTED = 130


class Commands(click.Group):
    """The commands of this package, and those of entry points under `sdrt.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        return sorted({*super().list_commands(ctx), *self._entry_points})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """This package's command of that name, or an entry point's."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self._entry_points:
            command = self._entry_points[cmd_name].load()
        return command

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        """By their names; finding them reads the metadata of every installed distribution."""
        return {point.name: point for point in entry_points(group="sdrt.commands")}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sdrt")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Stable Diffusion on CPUs: exported once with torch, run anywhere without it."""


for command in (batch, conformance, doctor, generate, info, plan, samplers, styles, verify):
    cli.add_command(command)


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
        sys.exit(_report("interrupted", "interrupted", INTERRUPTED))
    except MemoryError as error:
        kind = OutOfMemoryError
        text = str(error) if isinstance(error, kind) else "the machine has too little free memory"
        sys.exit(_report(kind.__name__, text, kind.exit_code))
    except SdrtError as error:
        sys.exit(_report(type(error).__name__, str(error), error.exit_code))
    sys.exit(0)


def _report(kind: str, message: str, exit_code: int) -> int:
    if "--debug" in sys.argv:
        raise
    if "--json" in sys.argv:
        record = {"type": kind, "message": message, "exit_code": exit_code}
        click.echo(json.dumps({"error": record}), err=True)
    else:
        click.echo(f"sdrt: {message}", err=True)
    return exit_code
