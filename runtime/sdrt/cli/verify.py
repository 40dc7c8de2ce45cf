"""`sdrt verify`: whether a model is intact, its engines agree, and what a precision costs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdrt.cli.option_types import FILE, JSON, Size, option, option_group
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.diagnostics.fidelity import Comparison
    from sdrt.manifest import Precision


@dataclass(frozen=True)
class FidelityOptions:
    """What is measured against fp32; nothing if no option was given."""

    backend: str | None = option(
        "--backend", help="Measure its networks against fp32: openvino or onnxruntime."
    )
    precision: "Precision | None" = option(
        "--precision", help="What it should execute; default: what the model stores."
    )
    timesteps: str | None = option(
        "--timesteps",
        metavar="T,...",
        help="Where to measure the U-Net; default: 1,21,250,500,701,901,981.5,999.",
    )
    size: tuple[int, int] | None = option(
        "--size", type=Size(), help="Size of the picture; default: 128x128, which is quick."
    )
    against: str | None = option(
        "--against",
        metavar="PATH",
        help="Measure against this export of the same model in fp32: needed for int8.",
    )

    def compare(self, model: str | None) -> "Comparison | None":
        """Prepare a measurement and check its options; None if no option was given."""
        from sdrt.artifact.artifact import open_artifact
        from sdrt.backends.backend import open_backend
        from sdrt.diagnostics.fidelity import SIZE, compare_with, parse_timesteps

        if self == FidelityOptions(None, None, None, None, None):
            return None
        return compare_with(
            open_artifact(model),
            open_backend(self.backend, precision=self.precision),
            None if self.timesteps is None else parse_timesteps(self.timesteps),
            self.size or SIZE,
            self.against,
        )


@click.command()
@click.argument("model", required=False)
@option_group("options", FidelityOptions)
@click.option(
    "--golden",
    type=FILE,
    metavar="FILE",
    help="Replay this file of `sdrt conformance` instead, and name the stage that is off.",
)
@JSON
def verify(model: str | None, options: FidelityOptions, golden: Path | None, as_json: bool) -> None:
    """Check every file of MODEL, and that the installed engines agree on every graph.

    With any option but --golden and --json, also measure how near each network is to the same one
    in fp32, as the engine runs it: signal to noise in dB, for the U-Net by timestep.
    """
    from sdrt.diagnostics.verify import verify_artifact

    if golden:
        _replay(model, golden, options, as_json)
        return
    comparison = options.compare(model)
    report = verify_artifact(model)
    record, text = report.to_record(), report.to_text()
    if comparison:
        fidelity = comparison.measure()
        record["fidelity"] = fidelity.to_record()
        text = f"{text}\n{fidelity.to_text()}"
    click.echo(json.dumps(record, indent=1) if as_json else text)


def _replay(model: str | None, golden: Path, options: FidelityOptions, as_json: bool) -> None:
    """Print how far each stage is off; raises `ParityError` if one is too far."""
    from sdrt.diagnostics.conformance.replay import replay
    from sdrt.pipeline import load

    for name in ("timesteps", "size", "against"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} measures a precision, and --golden does not; give one")
    pipeline = load(model, options.backend, precision=options.precision or "fp32")
    report = replay(pipeline, golden)
    click.echo(json.dumps(report.to_record(), indent=1) if as_json else report.to_text())
    report.check()
