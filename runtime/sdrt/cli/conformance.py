"""`sdrt conformance`: golden vectors that any host can check itself against."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdrt.cli.option_types import FILE, JSON, Size, option, option_group
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.diagnostics.conformance.recorder import GoldenPlan
    from sdrt.manifest import Precision


@dataclass(frozen=True)
class ConformanceOptions:
    """Which pictures are recorded, and how they are computed."""

    output: Path | None = option(
        "-o", "--output", type=FILE, help="Default: conformance.safetensors."
    )
    samplers: tuple[str, ...] = option(
        "--sampler",
        multiple=True,
        help="May be given several times; default: every one that sdrt-host has.",
    )
    steps: int | None = option("--steps", type=int, help="Steps of each picture; default: 6.")
    size: tuple[int, int] | None = option(
        "--size", type=Size(), help="Default: 128x128, which is quick."
    )
    unet_steps: str | None = option(
        "--unet-steps",
        metavar="I,...",
        help="Steps whose U-Net outputs are kept; default: the first and the last.",
    )
    backend: str | None = option(
        "--backend", help="openvino or onnxruntime; default: the fastest installed."
    )
    precision: "Precision | None" = option(
        "--precision", help="What it should execute; default: fp32."
    )

    def plan(self) -> "GoldenPlan":
        """What to record; raises `UsageError`."""
        from sdrt.diagnostics.conformance.recorder import GoldenPlan

        default = GoldenPlan()
        return GoldenPlan(
            samplers=self.samplers or default.samplers,
            steps=self.steps or default.steps,
            size=self.size or default.size,
            unet_steps=_whole_numbers(self.unet_steps) if self.unet_steps else None,
        )


@click.command()
@click.argument("model", required=False)
@option_group("options", ConformanceOptions)
@JSON
def conformance(model: str | None, options: ConformanceOptions, as_json: bool) -> None:
    """Write what each stage of MODEL gives, from a prompt's ids to pixels, into one file.

    `sdrt verify MODEL --golden FILE` and other hosts replay it, stage by stage.
    """
    from sdrt.diagnostics.conformance.recorder import record
    from sdrt.pipeline import load

    plan = options.plan()
    path = options.output or Path("conformance.safetensors")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    pipeline = load(model, options.backend, precision=options.precision or "fp32")
    cases = record(pipeline, path, plan)
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
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"U-Net steps are {text!r}; expected numbers such as 0,5") from error
