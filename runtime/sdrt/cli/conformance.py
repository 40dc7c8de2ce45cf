"""`sdrt conformance`: golden vectors that any host can check itself against."""

import json
from pathlib import Path
from typing import Any

import click

from sdrt.cli.option_types import FILE, Size
from sdrt.errors import UsageError


@click.command()
@click.argument("model", required=False)
@click.option("-o", "--output", type=FILE, help="Default: conformance.safetensors.")
@click.option(
    "--sampler",
    "samplers",
    multiple=True,
    help="May be given several times; default: every one that sdrt-host has.",
)
@click.option("--steps", type=int, help="Of each picture; default: 6.")
@click.option("--size", type=Size(), help="Default: 128x128, which is quick.")
@click.option(
    "--unet-steps", metavar="I,...", help="Where to keep the U-Net's answers; default: both ends."
)
@click.option("--backend", help="openvino or onnxruntime; default: the fastest installed.")
@click.option("--precision", help="What it should execute; default: fp32.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def conformance(
    model: str | None,
    output: Path | None,
    backend: str | None,
    precision: Any,
    as_json: bool,
    **asked: Any,
) -> None:
    """Write what each stage of MODEL gives, from a prompt's ids to pixels, into one file.

    `sdrt verify MODEL --golden FILE` and other hosts replay it, stage by stage.
    """
    from sdrt.diagnostics.conformance.recorder import GoldenPlan, record
    from sdrt.pipeline import load

    given = {name: value for name, value in asked.items() if value}
    if "unet_steps" in given:
        given["unet_steps"] = _whole_numbers(given["unet_steps"])
    path = output or Path("conformance.safetensors")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    pipeline = load(model, backend, precision=precision or "fp32")
    cases = record(pipeline, path, GoldenPlan(**given))
    size = path.stat().st_size
    if as_json:
        names = [case.name for case in cases]
        click.echo(json.dumps({"file": str(path), "bytes": size, "cases": names}, indent=1))
    else:
        click.echo(f"{path}: {len(cases)} cases, {size / 1e6:.1f} MB")
        for case in cases:
            click.echo(f"  {case.name}: {case.sampler}, {case.scheduler}, {case.steps} steps")


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"U-Net steps are {text!r}; expected numbers such as 0,5") from error
