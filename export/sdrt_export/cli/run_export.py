"""An export by its options: checks whatever is cheap to check, then starts the work.

torch is imported only once the options are known to be possible.
"""

import gc
import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sdrt.artifact import is_artifact, open_artifact
from sdrt.errors import UsageError, needs_extra
from sdrt.manifest import FORMATS, Format
from sdrt_export.artifact.report import ControlNetReport, Report
from sdrt_export.export_options import DefaultOptions, ExportOptions, SourceOptions
from sdrt_export.presets import Preset, chosen_formats, find_preset, read_preset


def run_export(
    paths: Sequence[Path], options: ExportOptions | None = None
) -> Report | ControlNetReport:
    """Export to the last of the paths, from the first of two or from a preset.

    Raises `UsageError` for impossible options, `MissingExtraError`, and what `exporter.export`
    raises.
    """
    options = options or ExportOptions()
    source, destination = _source_and_destination(paths, options)
    with needs_extra("export"):
        # Wrong options are refused before torch is imported, which takes seconds.
        formats = _formats(options)
        if chosen := options.random or options.preset:
            find_preset(chosen)
        _silence_libraries(options.quiet)
        preset = _preset(options, is_source_given=source is not None)
        if not options.quiet:
            _show_progress()
        is_first = "torch" not in sys.modules
        from sdrt_export.cli.export_source import export_source
    if is_first:
        # What torch's modules hold stays as long as the process; looking through all of it takes
        # half a second at each of a dozen collections.
        gc.freeze()
    if preset and options.formats is None:
        formats = preset[1].formats
    return export_source(source, destination, formats, preset, options)


def export_single_graph(paths: Sequence[Path], options: ExportOptions) -> Report:
    """Join the graphs of a model folder into one; any other source is exported on the way."""
    with needs_extra("export"):
        from sdrt_export.single_graph import publish
    if options.formats not in (None, "onnx"):
        raise UsageError(f"--format is {options.formats!r}; a single graph is onnx")
    if len(paths) == 2 and is_artifact(paths[0]):
        given = options.random or options.preset or options.precision
        if given or options.source != SourceOptions():
            raise UsageError(
                "a model folder has its precision and its weights; give no more than its path"
            )
        return publish.export_single_graph(open_artifact(paths[0]), paths[1], options.defaults)
    parent = paths[-1].absolute().parent if paths else Path.cwd()
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        inner = Path(folder) / "model"
        run_export(
            [*paths[:-1], inner], replace(options, formats="onnx", defaults=DefaultOptions())
        )
        return publish.export_single_graph(open_artifact(inner), paths[-1], options.defaults)


def export_for_genai(paths: Sequence[Path], options: ExportOptions, single_graph: bool) -> Path:
    """Copy a model folder into the form that OpenVINO GenAI opens."""
    with needs_extra("export"):
        from sdrt_export.artifact import openvino_genai
    if len(paths) != 2:
        raise UsageError(f"{len(paths)} paths were given; expected: sdrt export --genai MODEL DEST")
    if single_graph or options != ExportOptions(quiet=options.quiet):
        raise UsageError(
            "--genai copies a model folder as it is; give its path and no other option"
        )
    return openvino_genai.export_for_genai(open_artifact(paths[0]), paths[1])


def _source_and_destination(
    paths: Sequence[Path], options: ExportOptions
) -> tuple[Path | None, Path]:
    if options.random and options.preset:
        raise UsageError("both --random and --preset were given; give one of them")
    expected = 1 if options.random else 2
    if len(paths) == expected or (options.preset and len(paths) == 1):
        return (None if len(paths) == 1 else paths[0]), paths[-1]
    usage = "--random PRESET DEST" if options.random else "SOURCE DEST"
    raise UsageError(f"{len(paths)} paths were given; expected: sdrt export {usage}")


def _preset(options: ExportOptions, is_source_given: bool) -> tuple[str, Preset] | None:
    """Name and content of the chosen preset, which may stand in for a missing source."""
    chosen = options.random or options.preset
    if chosen is None:
        return None
    name, preset = read_preset(chosen)
    if not (options.random or is_source_given or preset.source):
        raise UsageError(
            f"preset {name!r} names no source; give SOURCE, or --random {name} for random weights"
        )
    return name, preset


def _formats(options: ExportOptions) -> tuple[Format, ...]:
    """The chosen formats; raises `UsageError` for an unknown format, and an unknown precision."""
    names = FORMATS if options.formats is None else options.formats.split(",")
    return chosen_formats(options.precision or "fp32", names)


def _show_progress() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("sdrt_export")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _silence_libraries(quiet: bool) -> None:
    """Keep the messages of torch and of the Hugging Face libraries off the screen."""
    warnings.simplefilter("ignore")
    for name in ("transformers", "diffusers", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import transformers
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if quiet:
        disable_progress_bars()
    transformers.logging.set_verbosity_error()
