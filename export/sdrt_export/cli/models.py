"""`sdrt models`: lists the presets, the LDM configurations, and the exported models."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from sdrt.errors import ArtifactError, MissingExtraError, needs_extra

Record = dict[str, Any]
DEPTH = 3
"""How deep below a folder the search goes: FOLDER/models/sd15/int8 is found."""


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def models(folders: tuple[Path, ...], as_json: bool) -> None:
    """List presets, LDM configurations, the embedded model, and the model folders below FOLDERS.

    Without FOLDERS, those below the current one are listed.
    """
    presets, configs, missing = [], [], ""
    try:
        presets, configs = preset_records(), config_records()
    except MissingExtraError as error:
        missing = str(error)
    exported = model_records(folders or (Path(),))
    if as_json:
        record = {"presets": presets, "configs": configs, "models": exported}
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    click.echo("presets, for sdrt export --random NAME DEST and --preset NAME:")
    click.echo(f"  none: {missing}" if missing else _columns(map(_preset_cells, presets)))
    if configs:
        click.echo("LDM configurations, for sdrt export FILE DEST --config NAME:")
        click.echo(_columns(map(_config_cells, configs)))
    click.echo("models, for sdrt generate --model MODEL:")
    click.echo(_columns(map(_model_cells, exported)))


def preset_records() -> list[Record]:
    """The presets that come with sdrt; raises `MissingExtraError`."""
    with needs_extra("export"):
        from sdrt_export.presets import known_presets
    return [
        {
            "name": name,
            "summary": preset.summary,
            **({} if preset.controlnet else preset.defaults.model_dump()),
        }
        for name, preset in known_presets().items()
    ]


def config_records() -> list[Record]:
    """The LDM configurations that come with sdrt, of models that can be exported.

    Raises `MissingExtraError`.
    """
    with needs_extra("export"):
        from sdrt_export.sources.single_file.ldm_yaml import exported_configs
    return [
        {
            "name": name,
            "summary": config.summary,
            "side": config.side,
            "precision": config.precision,
        }
        for name, config in exported_configs().items()
    ]


def model_records(folders: Iterable[Path]) -> list[Record]:
    """The embedded models, and those in or below some folders.

    A broken one has an `error`. A ControlNet and a folder that another tool exported have only a
    `description`, because the rest would take reading its graphs.
    """
    from sdrt.artifact.artifact import EMBEDDED

    below = {str(path): path for folder in folders for path in _model_folders(folder, DEPTH)}
    return [_model_record(*model) for model in (*EMBEDDED.items(), *below.items())]


def _model_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Model folders, in order, without hidden folders and folders inside a model."""
    from sdrt.artifact.peer_folder import is_peer_folder
    from sdrt.manifest import MANIFEST_NAME

    if (folder / MANIFEST_NAME).is_file() or is_peer_folder(folder):
        yield folder
    elif depth and os.access(folder, os.R_OK | os.X_OK):
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.name.startswith("."):
                yield from _model_folders(inner, depth - 1)


def _model_record(shown: str, root: Path) -> Record:
    from sdrt.artifact import open_artifact
    from sdrt.artifact.controlnet import is_controlnet
    from sdrt.artifact.detect import describe
    from sdrt.manifest import MANIFEST_NAME

    if not (root / MANIFEST_NAME).is_file():
        return {"model": shown, "description": describe(root)}
    if is_controlnet(root):
        return {"model": shown, "description": "a ControlNet, for: sdrt generate --control"}
    try:
        manifest = open_artifact(root).manifest
    except ArtifactError as error:
        return {"model": shown, "error": str(error)}
    return {
        "model": shown,
        "name": manifest.name,
        "family": manifest.family,
        "precision": manifest.precision,
        "formats": sorted({name for graph in manifest.graphs.values() for name in graph.files}),
        "bytes": sum(record.size for record in manifest.files.values()),
        **manifest.defaults.model_dump(),
    }


def _preset_cells(record: Record) -> list[str]:
    return [record["name"], record["summary"], *_defaults(record)]


def _config_cells(record: Record) -> list[str]:
    side = record["side"]
    return [record["name"], record["summary"], f"{side}x{side}, {record['precision']}"]


def _model_cells(record: Record) -> list[str]:
    for alone in ("error", "description"):
        if alone in record:
            return [record["model"], record[alone]]
    formats, size = " and ".join(record["formats"]), f"{record['bytes'] / 1e6:,.0f} MB"
    what = f"{record['family']} {record['precision']}"
    return [record["model"], what, formats, size, *_defaults(record)]


def _defaults(record: Record) -> list[str]:
    if "width" not in record:
        return []  # a ControlNet has none
    size = f"{record['width']}x{record['height']}"
    steps, sampler = record["num_inference_steps"], record["sampler"]
    return [f"{size}, {steps} of {sampler}, guidance {record['guidance_scale']:g}"]


def _columns(rows: Iterable[list[str]]) -> str:
    """Rows with aligned cells; the last cell of a row may have any length."""
    rows = list(rows)
    widths = [
        max((len(row[i]) for row in rows if i < len(row) - 1), default=0)
        for i in range(max(map(len, rows), default=0))
    ]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in rows)
    return "\n".join(f"  {'  '.join(row).rstrip()}" for row in padded)
