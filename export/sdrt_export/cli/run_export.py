"""An export as the command line asks for it."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt import validation
from sdrt.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from sdrt.manifest import Defaults, Format
    from sdrt_export.artifact.report import Report
    from sdrt_export.presets import Preset
    from sdrt_export.quantization.int8_artifact import Settings
    from sdrt_export.sources.checkpoint import Checkpoint

MAX_CALIBRATION = 100_000
BUILT_IN = "leave --calibration-prompts out"


def run_export(
    paths: Sequence[Path],
    random: str | None,
    preset: str | None,
    precision: str | None,
    formats: str | None,
    quiet: bool,
    int8: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
    default: Mapping[str, Any] | None = None,
) -> "Report":
    """Export as the options say; also what `optimum-cli export sdrt` calls."""
    source, destination = _source_and_destination(paths, random, preset)
    try:
        # What is wrong with the options is said before torch is imported, which takes seconds.
        wanted_formats = _formats(precision, formats)
        _silence_libraries(quiet)
        name, chosen = _preset(random, preset, is_source_given=source is not None)
        if not quiet:
            _show_progress()
        from sdrt_export.exporter import export
        from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
    checkpoint = _opened(source or _checkpoint(name, chosen), said or {})
    if chosen and isinstance(checkpoint, SingleFileCheckpoint) and not (said or {}).get("spacing"):
        checkpoint = checkpoint.spaced_as(chosen)
    wanted = None if isinstance(checkpoint, Path) else checkpoint.config_precision
    precision = precision or (chosen.precision if chosen else wanted) or "fp32"
    if precision == "int8" and said and said.get("tiny_vae"):
        raise UsageError("--tiny-vae is for fp32 and bf16; there is nothing to gain by int8")
    return export(
        checkpoint,
        destination,
        precision,  # type: ignore[arg-type]
        chosen.formats if chosen and formats is None else wanted_formats,
        _defaults(checkpoint, chosen, default or {}),
        _settings(int8 or {}, precision, show_progress=not quiet),
    )


def record(report: "Report") -> dict[str, Any]:
    """A report as plain values."""
    graphs = report.manifest.graphs.items()
    return {
        "path": str(report.path),
        "precision": report.manifest.precision,
        "family": report.manifest.family,
        "prediction": report.manifest.prediction,
        "loras": [lora.model_dump() for lora in report.manifest.source.loras],
        "bytes": sum(file.size for file in report.manifest.files.values()),
        "parity_db": {name: graph.parity_db for name, graph in graphs},
        "seconds": round(report.seconds, 1),
        "peak_bytes": report.peak_bytes,
    }


def summary(report: "Report") -> str:
    """A report as a line."""
    size = sum(file.size for file in report.manifest.files.values())
    loras = [f"with {one.file}:{one.weight:g}, " for one in report.manifest.source.loras]
    return (
        f"{report.path}: {report.manifest.precision}, {report.manifest.prediction}, "
        f"{''.join(loras)}"
        f"{size / 1e6:.1f} MB, "
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


def _preset(
    random: str | None, preset: str | None, is_source_given: bool
) -> tuple[str, "Preset | None"]:
    """Name and content of the preset that was asked for, which makes up for a missing source."""
    from sdrt_export.presets import read_preset

    asked = random or preset
    if asked is None:
        return "", None
    name, chosen = read_preset(asked)
    if not (random or is_source_given or chosen.source):
        raise UsageError(
            f"preset {name!r} names no source; give SOURCE, or --random {name} for random weights"
        )
    return name, chosen


def _checkpoint(name: str, preset: "Preset | None") -> "Path | Checkpoint":
    from sdrt_export.sources.random_weights import RandomCheckpoint

    assert preset is not None
    if preset.source is not None:
        return Path(preset.source)
    return RandomCheckpoint.of(name, preset)


def _opened(source: "Path | Checkpoint", said: Mapping[str, Any]) -> "Path | Checkpoint":
    """The checkpoint as the options describe it; an artifact stays a path, for int8."""
    from sdrt.artifact import is_artifact
    from sdrt_export.sources.checkpoint import Checkpoint
    from sdrt_export.sources.opening import SourceOptions, open_checkpoint

    options = SourceOptions(**said)
    if isinstance(source, Checkpoint):
        if options.config or options.allow_pickle:
            raise UsageError("--config and --allow-pickle are for a SOURCE that is one file")
        return options.apply(source)
    if not is_artifact(source):
        return open_checkpoint(source, options)
    if options != SourceOptions():
        raise UsageError(
            f"{source} is an artifact of sdrt, which says all about itself; --config, "
            "--allow-pickle, --prediction, --zero-terminal-snr, --spacing, --lora and --tiny-vae "
            "are for checkpoints"
        )
    return source


def _defaults(
    source: "Path | Checkpoint", preset: "Preset | None", asked: Mapping[str, Any]
) -> "Defaults | None":
    """A preset's with what was asked for besides; None where nobody says anything."""
    from sdrt.artifact import open_artifact
    from sdrt_export.artifact.default_options import Asked
    from sdrt_export.exporter import manifest_of

    wish = Asked(**asked)
    if wish == Asked():
        return preset.defaults if preset else None
    if isinstance(source, Path):
        manifest = open_artifact(source).manifest
    else:
        manifest = manifest_of(source, "fp32")
    if preset:
        manifest = manifest.model_copy(update={"defaults": preset.defaults})
    return wish.defaults(manifest)


def _formats(precision: str | None, given: str | None) -> "Sequence[Format]":
    """Raises `UsageError` for what is no format, and for what is no precision."""
    from sdrt.manifest import FORMATS
    from sdrt_export.presets import chosen_formats

    return chosen_formats(precision or "fp32", FORMATS if given is None else given.split(","))


def _settings(given: Mapping[str, Any], precision: str, show_progress: bool) -> "Settings | None":
    """What the options for int8 say; raises `UsageError` for any of them with another precision."""
    from sdrt.text.prompt_file import read_prompts
    from sdrt_export.quantization.calibration import Sampling
    from sdrt_export.quantization.int8_artifact import Settings

    said = {name: value for name, value in given.items() if value not in (None, False)}
    if precision != "int8":
        if said:
            option = f"--{next(iter(said)).replace('_', '-')}"
            raise UsageError(f"{option} is for --precision int8, and precision is {precision}")
        return None
    sampling = Sampling()
    of_sampling: dict[str, Any] = {
        name: validation.whole(
            f"calibration {name}", said[f"calibration_{name}"], least, MAX_CALIBRATION
        )
        for name, least in (("samples", 1), ("steps", 1), ("seed", 0))
        if f"calibration_{name}" in said
    }
    if "calibration_size" in said:
        of_sampling["size"] = said["calibration_size"]
    if "calibration_prompts" in said:
        of_sampling["prompts"] = read_prompts(said["calibration_prompts"], BUILT_IN)
    return Settings(
        sampling=replace(sampling, **of_sampling),
        calibration=said.get("calibration"),
        publish_anyway="publish_anyway" in said,
        show_progress=show_progress,
    )


def _show_progress() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("sdrt_export")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _silence_libraries(quiet: bool) -> None:
    """Keep what torch and the Hugging Face libraries say about themselves off the screen."""
    warnings.simplefilter("ignore")
    for name in ("transformers", "diffusers", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import transformers
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if quiet:
        disable_progress_bars()
    transformers.logging.set_verbosity_error()
