"""`sdrt styles`: the styles that `--style` knows."""

import json
from pathlib import Path

import click

from sdrt.cli.options import JSON


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
