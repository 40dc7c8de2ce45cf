"""`sdrt info`, `doctor`, `samplers` and `styles`: commands that only print."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sdrt.cli.option_types import JSON


@click.command()
@JSON
def samplers(as_json: bool) -> None:
    """List the samplers: name, calls of the U-Net in a step, noise or none, and their options."""
    from sdrt.sampling.sampler_settings import COMMON_OPTIONS
    from sdrt.sampling.samplers.registry import SAMPLERS

    if as_json:
        records = {
            name: {
                "calls": sampler.calls,
                "is_stochastic": sampler.is_stochastic,
                "summary": sampler.summary,
                "options": {option: str(allowed) for option, allowed in sampler.options.items()},
            }
            for name, sampler in SAMPLERS.items()
        }
        click.echo(json.dumps(records, indent=1))
        return
    for name, sampler in SAMPLERS.items():
        noise = "noise" if sampler.is_stochastic else ""
        click.echo(f"{name:12} {sampler.calls}  {noise:5}  {sampler.summary}")
        if sampler.options:
            click.echo(f"{'':23}{_listed(sampler.options)}")
    click.echo(f"options of all: {_listed(COMMON_OPTIONS)}")


def _listed(options: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {allowed}" for name, allowed in options.items())


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@JSON
def styles(file: Path | None, as_json: bool) -> None:
    """List the styles that come with sdrt, or those of FILE, with the text around a prompt."""
    from sdrt.text.styles import known_styles, read_styles

    listed = known_styles() if file is None else read_styles(file)
    if as_json:
        # The form that `--styles` reads.
        records = [style.model_dump() for style in listed.values()]
        click.echo(json.dumps(records, indent=1, ensure_ascii=False))
        return
    width = max(map(len, listed), default=0)
    for name, style in listed.items():
        click.echo(f"{name:{width}}  {style.prompt}")
        if style.negative_prompt:
            click.echo(f"{'':{width}}  not: {style.negative_prompt}")


@click.command()
@click.argument("path", required=False)
@JSON
def info(path: str | None, as_json: bool) -> None:
    """Say what PATH holds: the parameters of a PNG, or a model folder (default: embedded).

    Folders that others exported open too: docs/export/other-tools.md.
    """
    from sdrt.diagnostics.info import describe_model, describe_picture

    is_picture = path is not None and Path(path).is_file()
    record, text = describe_picture(Path(path)) if is_picture and path else describe_model(path)
    click.echo(json.dumps(record, indent=1, ensure_ascii=False) if as_json else text)


@click.command()
@JSON
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
