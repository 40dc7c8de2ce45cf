"""`sdrt verify`: is a model whole, do the engines agree on it, and what does a precision cost?"""

import json
from typing import Any

import click

from sdrt.commands.generate import Size


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
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def verify(model: str | None, as_json: bool, **asked: Any) -> None:
    """Check every file of MODEL, and that the installed engines agree on every graph.

    With any option but --json, also measure how near each network is to the same one in fp32, as
    the engine runs it: signal to noise in dB, for the U-Net by timestep.
    """
    from sdrt.verify import verify_artifact

    is_asked = any(value is not None for value in asked.values())
    comparison = _comparison(model, **asked) if is_asked else None
    report = verify_artifact(model)
    record, text = report.to_record(), report.to_text()
    if comparison:
        fidelity = comparison.measure()
        record["fidelity"] = fidelity.to_record()
        text = f"{text}\n{fidelity.to_text()}"
    click.echo(json.dumps(record, indent=1) if as_json else text)


def _comparison(
    model: str | None,
    backend: str | None,
    precision: Any,
    timesteps: str | None,
    size: tuple[int, int] | None,
    against: str | None,
) -> Any:
    """What the options ask for, checked before anything is run."""
    from sdrt.artifact import open_artifact
    from sdrt.backends import open_backend
    from sdrt.fidelity import SIZE, compare_with, parse_timesteps

    return compare_with(
        open_artifact(model),
        open_backend(backend, precision=precision),
        None if timesteps is None else parse_timesteps(timesteps),
        size or SIZE,
        against,
    )
