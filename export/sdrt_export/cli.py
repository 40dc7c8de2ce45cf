"""`sdrt export`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from sdrt.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from sdrt.manifest import Format
    from sdrt_export.checkpoint import Checkpoint
    from sdrt_export.config import Preset
    from sdrt_export.exporter import Report


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[SOURCE] DEST")
@click.option("--random", metavar="PRESET", help="Random weights of a preset's geometry.")
@click.option("--preset", metavar="PRESET", help="Precision, formats and defaults from a preset.")
@click.option("--precision", help="How weights are stored: fp32 or bf16.")
@click.option(
    "--format", "formats", metavar="FORMATS", help="onnx, openvino, or both with a comma."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def export(
    paths: tuple[Path, ...],
    random: str | None,
    preset: str | None,
    precision: str | None,
    formats: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export SOURCE, a diffusers folder of Stable Diffusion 1.x, to the model folder DEST.

    A PRESET is the name of one that comes with sdrt (sd15, tiny, demo) or a YAML file. Nothing is
    published unless every exported graph computes what torch computes, on both engines.
    """
    report = run_export(paths, random, preset, precision, formats, quiet=quiet or as_json)
    click.echo(json.dumps(record(report), indent=1) if as_json else summary(report))


def run_export(
    paths: Sequence[Path],
    random: str | None,
    preset: str | None,
    precision: str | None,
    formats: str | None,
    quiet: bool,
) -> "Report":
    """Export as the options say; also what `optimum-cli export sdrt` calls."""
    source, destination = _source_and_destination(paths, random, preset)
    if not quiet:
        _show_progress()
    try:
        _silence_libraries()
        from sdrt_export import config
        from sdrt_export.exporter import export
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
    asked = random or preset
    name, chosen = config.read_preset(asked) if asked else ("", None)
    return export(
        _checkpoint(name, chosen, is_random=random is not None) if source is None else source,
        destination,
        precision or (chosen.precision if chosen else "fp32"),  # type: ignore[arg-type]
        _formats(formats, chosen),
        chosen.defaults if chosen else None,
    )


def record(report: "Report") -> dict[str, Any]:
    """A report as plain values."""
    graphs = report.manifest.graphs.items()
    return {
        "path": str(report.path),
        "precision": report.manifest.precision,
        "bytes": sum(file.size for file in report.manifest.files.values()),
        "parity_db": {name: graph.parity_db for name, graph in graphs},
        "seconds": round(report.seconds, 1),
        "peak_bytes": report.peak_bytes,
    }


def summary(report: "Report") -> str:
    """A report as a line."""
    size = sum(file.size for file in report.manifest.files.values())
    return (
        f"{report.path}: {report.manifest.precision}, {size / 1e6:.1f} MB, "
        f"in {report.seconds:.0f} s with at most {report.peak_bytes / 1e9:.2f} GB of memory"
    )


def _source_and_destination(
    paths: Sequence[Path], random: str | None, preset: str | None
) -> tuple[Path | None, Path]:
    if random and preset:
        raise UsageError("both --random and --preset were given; give one of them")
    wanted = 1 if random else 2
    if len(paths) == wanted or (preset and len(paths) == 1):
        return (None if len(paths) == 1 else paths[0]), paths[-1]
    usage = "--random PRESET DEST" if random else "SOURCE DEST"
    raise UsageError(f"{len(paths)} paths were given; expected: sdrt export {usage}")


def _checkpoint(name: str, preset: "Preset | None", is_random: bool) -> "Path | Checkpoint":
    from sdrt_export.checkpoint import RandomCheckpoint

    assert preset is not None
    if preset.source is not None:
        return Path(preset.source)
    if not is_random:
        raise UsageError(
            f"preset {name!r} names no source; give SOURCE, or --random {name} for random weights"
        )
    return RandomCheckpoint.of(name, preset)


def _formats(given: str | None, preset: "Preset | None") -> "Sequence[Format]":
    if given is not None:
        return cast("Sequence[Format]", given.split(","))  # export() checks them
    return preset.formats if preset else ("onnx", "openvino")


def _show_progress() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("sdrt_export")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _silence_libraries() -> None:
    """Keep what torch and the Hugging Face libraries say about themselves off the screen."""
    warnings.simplefilter("ignore")
    for name in ("transformers", "diffusers", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import transformers

    transformers.logging.set_verbosity_error()
