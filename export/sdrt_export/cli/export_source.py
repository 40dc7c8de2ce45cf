"""The half of an export by its options that needs torch: opens the source, settles the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sdrt import validation
from sdrt.artifact import is_artifact, open_artifact
from sdrt.errors import UsageError
from sdrt.manifest import Defaults, Format, Precision
from sdrt.text.prompt import read_prompts
from sdrt_export import exporter
from sdrt_export.artifact.default_options import with_options
from sdrt_export.artifact.report import ControlNetReport, Report
from sdrt_export.controlnet_exporter import export_controlnet
from sdrt_export.export_options import DefaultOptions, ExportOptions, Int8Options, SourceOptions
from sdrt_export.presets import Preset
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.controlnet import ControlNetCheckpoint, RandomControlNet
from sdrt_export.sources.opening import apply_options, open_source
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint

MAX_CALIBRATION = 100_000
"""Upper bound of the numbers of calibration."""
WITHOUT_PROMPTS = "leave --calibration-prompts out"


def export_source(
    path: Path | None,
    destination: Path,
    formats: Sequence[Format],
    preset: tuple[str, Preset] | None,
    options: ExportOptions,
) -> Report | ControlNetReport:
    """Export what is at a path, or without one the preset's source or random weights."""
    source = _opened(path or _preset_source(preset), options.source)
    chosen = preset[1] if preset else None
    if isinstance(source, ControlNetCheckpoint):
        return _export_controlnet(source, destination, formats, chosen, options)
    if chosen and isinstance(source, SingleFileCheckpoint) and not options.source.spacing:
        source = source.spaced_as(chosen)
    config_precision = None if isinstance(source, Path) else source.config_precision
    precision: Precision = (
        cast(Precision | None, options.precision)
        or (chosen.precision if chosen else config_precision)
        or "fp32"
    )
    if options.int8.calibration_model is not None:
        raise UsageError("--calibration-model is for a ControlNet; a model is calibrated by itself")
    if precision == "int8" and options.source.tiny_vae:
        raise UsageError("--tiny-vae is for fp32 and bf16; there is nothing to gain by int8")
    return exporter.export(
        source,
        destination,
        precision,
        formats,
        _defaults(source, chosen, options.defaults),
        _int8_settings(options.int8, precision, show_progress=not options.quiet),
    )


def _export_controlnet(
    source: ControlNetCheckpoint,
    destination: Path,
    formats: Sequence[Format],
    preset: Preset | None,
    options: ExportOptions,
) -> ControlNetReport:
    """Export a ControlNet; raises `UsageError` for options that only whole models have."""
    if options.defaults != DefaultOptions():
        raise UsageError(
            f"{source.name} is a ControlNet, which has no sampler, steps or size of its own; give "
            "those when a picture is made"
        )
    precision = cast(Precision, options.precision or (preset.precision if preset else "fp32"))
    settings = _int8_settings(options.int8, precision, show_progress=not options.quiet)
    model = options.int8.calibration_model
    calibrating = open_artifact(model) if model is not None else None
    return export_controlnet(source, destination, precision, formats, settings, calibrating)


def _preset_source(
    preset: tuple[str, Preset] | None,
) -> Path | Checkpoint | ControlNetCheckpoint:
    assert preset is not None, "without a path there is a preset"
    name, content = preset
    if content.controlnet is not None:
        return RandomControlNet.from_preset(name, content)
    return (
        RandomCheckpoint.from_preset(name, content)
        if content.source is None
        else Path(content.source)
    )


def _opened(
    source: Path | Checkpoint | ControlNetCheckpoint, options: SourceOptions
) -> Path | Checkpoint | ControlNetCheckpoint:
    """The checkpoint as the options describe it; an artifact, for int8, stays a path."""
    if isinstance(source, ControlNetCheckpoint):
        return source
    if isinstance(source, Checkpoint):
        if options.config or options.allow_pickle:
            raise UsageError("--config and --allow-pickle are for a SOURCE that is one file")
        return apply_options(source, options)
    if not is_artifact(source):
        return open_source(source, options)
    if options != SourceOptions():
        raise UsageError(
            f"{source} is an artifact of sdrt, which is fully described; --config, "
            "--allow-pickle, --prediction, --zero-terminal-snr, --spacing, --lora and --tiny-vae "
            "are for checkpoints"
        )
    return source


def _defaults(
    source: Path | Checkpoint, preset: Preset | None, options: DefaultOptions
) -> Defaults | None:
    """A preset's defaults changed by the options; None where neither gives any."""
    if options == DefaultOptions():
        return preset.defaults if preset else None
    if isinstance(source, Path):
        manifest = open_artifact(source).manifest
    else:
        manifest = exporter.manifest_of(source, "fp32")
    if preset:
        manifest = manifest.model_copy(update={"defaults": preset.defaults})
    return with_options(manifest, options)


def _int8_settings(
    options: Int8Options, precision: Precision, show_progress: bool
) -> Int8Settings | None:
    """Settings for int8; raises `UsageError` for any of the options with another precision."""
    if precision != "int8":
        given = [
            n for n, value in vars(options).items() if value is not None and value is not False
        ]
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise UsageError(f"{option} is for --precision int8, and precision is {precision}")
        return None
    default = CalibrationSettings()
    prompts = options.calibration_prompts
    calibration = CalibrationSettings(
        samples=_whole("samples", options.calibration_samples, default.samples),
        steps=_whole("steps", options.calibration_steps, default.steps),
        prompts=read_prompts(prompts, WITHOUT_PROMPTS) if prompts else default.prompts,
        seed=_whole("seed", options.calibration_seed, default.seed, least=0),
        size=options.calibration_size,
    )
    return Int8Settings(calibration, options.calibration, options.publish_anyway, show_progress)


def _whole(name: str, value: int | None, default: int, least: int = 1) -> int:
    if value is None:
        return default
    return validation.whole(f"calibration {name}", value, least, MAX_CALIBRATION)
