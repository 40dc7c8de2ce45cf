"""`sdrt info`, `sdrt doctor` and `sdrt samplers`: commands that only print."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def samplers(as_json: bool) -> None:
    """List the samplers: name, calls of the U-Net in a step, noise or none, and their options."""
    from sdrt.sampling.sampler_settings import COMMON_OPTIONS
    from sdrt.sampling.samplers.registry import SAMPLERS

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
    click.echo(f"options of all: {_listed(COMMON_OPTIONS)}")


def _listed(options: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {allowed}" for name, allowed in options.items())


@click.command()
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def info(path: str | None, as_json: bool) -> None:
    """Say what PATH holds: the parameters of a PNG, or a model folder (default: embedded).

    Folders that others exported open too: docs/export/other-tools.md.
    """
    from sdrt.diagnostics.info import describe_model, describe_picture

    is_picture = path is not None and Path(path).is_file()
    record, text = describe_picture(Path(path)) if is_picture and path else describe_model(path)
    click.echo(json.dumps(record, indent=1, ensure_ascii=False) if as_json else text)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def doctor(as_json: bool) -> None:
    """Describe this machine and its engines: a list to paste into a bug report."""
    from sdrt.diagnostics.doctor import examine

    report = examine()
    click.echo(json.dumps(report, indent=1) if as_json else _as_list(report))


def _as_list(report: dict[str, Any]) -> str:
    lines = []
    for title, entries in report.items():
        lines.append(f"{title}:")
        lines += [f"  {name}: {value}" for name, value in entries.items()]
    return "\n".join(lines)
