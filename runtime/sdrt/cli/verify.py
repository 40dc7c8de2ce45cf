"""`sdrt verify`: is a model whole, do the engines agree on it, and what does a precision cost?"""

import json
from pathlib import Path
from typing import Any

import click

from sdrt.cli.option_types import FILE, Size
from sdrt.errors import UsageError


@click.command()
@click.argument("model", required=False)
@click.option("--backend", help="Measure its networks against fp32: openvino or onnxruntime.")
@click.option("--precision", help="What it should execute; default: what the model stores.")
@click.option(
    "--timesteps",
    metavar="T,...",
    help="Where to measure the U-Net; default: 1,21,250,500,701,901,981.5,999.",
)
@click.option("--size", type=Size(), help="Of the picture; default: 128x128, which is quick.")
@click.option(
    "--against",
    metavar="PATH",
    help="Measure against this export of the same model in fp32: needed for int8.",
)
@click.option(
    "--golden",
    type=FILE,
    metavar="FILE",
    help="Instead replay this file, written by: sdrt conformance; name the stage that is off.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def verify(model: str | None, as_json: bool, golden: Path | None, **asked: Any) -> None:
    """Check every file of MODEL, and that the installed engines agree on every graph.

    With any option but --golden and --json, also measure how near each network is to the same one
    in fp32, as the engine runs it: signal to noise in dB, for the U-Net by timestep.
    """
    from sdrt.diagnostics.verify import verify_artifact

    if golden:
        _replay(model, golden, as_json, **asked)
        return
    is_asked = any(value is not None for value in asked.values())
    comparison = _comparison(model, **asked) if is_asked else None
    report = verify_artifact(model)
    record, text = report.to_record(), report.to_text()
    if comparison:
        fidelity = comparison.measure()
        record["fidelity"] = fidelity.to_record()
        text = f"{text}\n{fidelity.to_text()}"
    click.echo(json.dumps(record, indent=1) if as_json else text)


def _replay(
    model: str | None,
    golden: Path,
    as_json: bool,
    backend: str | None,
    precision: Any,
    **others: Any,
) -> None:
    """Print how far each stage is off; raises `ParityError` if one is too far."""
    from sdrt.diagnostics.conformance.replay import replay
    from sdrt.pipeline import load

    for name, value in others.items():
        if value is not None:
            raise UsageError(f"--{name} measures a precision, and --golden does not; give one")
    report = replay(load(model, backend, precision=precision or "fp32"), golden)
    click.echo(json.dumps(report.to_record(), indent=1) if as_json else report.to_text())
    report.check()


def _comparison(
    model: str | None,
    backend: str | None,
    precision: Any,
    timesteps: str | None,
    size: tuple[int, int] | None,
    against: str | None,
) -> Any:
    """What the options ask for, checked before anything is run."""
    from sdrt.artifact.artifact import open_artifact
    from sdrt.backends.backend import open_backend
    from sdrt.diagnostics.fidelity import SIZE, compare_with, parse_timesteps

    return compare_with(
        open_artifact(model),
        open_backend(backend, precision=precision),
        None if timesteps is None else parse_timesteps(timesteps),
        size or SIZE,
        against,
    )
