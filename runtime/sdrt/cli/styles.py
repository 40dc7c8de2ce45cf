"""`sdrt styles`: what `--style` knows."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def styles(file: Path | None, as_json: bool) -> None:
    """List the styles that come with sdrt, or those of FILE, with the text around a prompt."""
    from sdrt.text.styles import known_styles, read_styles

    found = known_styles() if file is None else read_styles(file)
    if as_json:
        # The form that `--styles` reads.
        records = [style.model_dump() for style in found.values()]
        click.echo(json.dumps(records, indent=1, ensure_ascii=False))
        return
    width = max(map(len, found), default=0)
    for name, style in found.items():
        click.echo(f"{name:{width}}  {style.prompt}")
        if style.negative_prompt:
            click.echo(f"{'':{width}}  not: {style.negative_prompt}")
