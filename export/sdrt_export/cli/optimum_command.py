"""`optimum-cli export sdrt`: the same export, for users of Optimum's command line.

`export/optimum` registers it, where Optimum looks for commands of other packages.
"""

from argparse import ArgumentParser
from pathlib import Path

import click
from optimum.commands.base import BaseOptimumCLICommand

from sdrt.errors import SdrtError
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import ExportOptions


class SdrtExportCommand(BaseOptimumCLICommand):  # type: ignore[misc]
    """The main options of `sdrt export` in Optimum's form."""

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        """Declare the options, under Optimum's names where it has them."""
        parser.add_argument("-m", "--model", help="Stable Diffusion: a diffusers folder or a file.")
        parser.add_argument("--random", metavar="PRESET", help="Random weights of a geometry.")
        parser.add_argument("--preset", help="Precision, formats and defaults from a preset.")
        parser.add_argument("--dtype", help="fp32, bf16 or int8.")
        parser.add_argument("--format", help="onnx, openvino, or both with a comma.")
        parser.add_argument("output", help="Model folder to write.")

    def run(self) -> None:
        """Export with the options that were given.

        A failure is one sentence and an exit code.
        """
        args = self.args
        paths = [Path(path) for path in (args.model, args.output) if path]
        options = ExportOptions(args.random, args.preset, args.dtype, args.format)
        try:
            report = run_export(paths, options)
        except SdrtError as error:
            click.echo(f"sdrt: {error}", err=True)
            raise SystemExit(error.exit_code) from error
        click.echo(report.summary())
