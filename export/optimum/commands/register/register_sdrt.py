"""Registers `optimum-cli export sdrt` with Optimum; found by its name in this namespace package."""

from optimum.commands.base import CommandInfo
from optimum.commands.export.base import ExportCommand

from sdrt_export.cli.optimum_command import SdrtExportCommand

REGISTER_COMMANDS = [
    (
        CommandInfo(
            name="sdrt",
            help="Export Stable Diffusion to ONNX and OpenVINO for the sdrt runtime.",
            subcommand_class=SdrtExportCommand,
        ),
        ExportCommand,
    )
]
