"""`sdrt export`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from sdrt import checks
from sdrt.commands.generate import Size
from sdrt.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from sdrt.manifest import Defaults, Format
    from sdrt_export.checkpoint import Checkpoint
    from sdrt_export.config import Preset
    from sdrt_export.quantization.artifact import Settings
    from sdrt_export.report import Report

MAX_CALIBRATION = 100_000
# Options by what they describe; those of int8 are the rest.
OF_A_SOURCE = (
    "config",
    "allow_pickle",
    "prediction",
    "zero_terminal_snr",
    "spacing",
    "lora",
    "tiny_vae",
)
OF_PICTURES = ("sampler", "sampler_options", "scheduler", "steps", "guidance_scale", "size")
BUILT_IN = "leave --calibration-prompts out"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[SOURCE] DEST")
@click.option("--random", metavar="PRESET", help="Random weights of a preset's geometry.")
@click.option(
    "--preset", metavar="PRESET", help="Precision, formats, defaults; of one file, how steps lie."
)
@click.option("--precision", help="fp32, bf16 (weights) or int8 (weights and arithmetic).")
@click.option(
    "--format", "formats", metavar="FORMATS", help="onnx, openvino, or both with a comma."
)
@click.option(
    "--config",
    metavar="CONFIG",
    help="Of a checkpoint in one file: an LDM YAML file, or the name of one that comes with sdrt.",
)
@click.option(
    "--allow-pickle", is_flag=True, help="Read .ckpt files too: scanned, and loaded as data only."
)
@click.option(
    "--prediction", help="epsilon, v_prediction or sample, whatever weights and configuration say."
)
@click.option(
    "--zero-terminal-snr",
    is_flag=True,
    help="The model was trained with no signal left at the last timestep.",
)
@click.option(
    "--lora",
    metavar="FILE[:WEIGHT]",
    multiple=True,
    help="Merge a LoRA (.safetensors) into the weights; may be given several times. Weight 1.",
)
@click.option(
    "--tiny-vae",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Export a tiny decoder (TAESD) too: a diffusers folder, or taesd_decoder.safetensors.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, dir_okay=False),
    help="int8: take the statistics from this file, or write them to it if there is none.",
)
@click.option(
    "--calibration-samples", metavar="N", type=int, help="int8: prompts to run; default 8."
)
@click.option(
    "--calibration-steps", metavar="N", type=int, help="int8: steps for each of them; default 3."
)
@click.option(
    "--calibration-prompts",
    type=click.Path(path_type=Path),
    help="int8: a text file with one prompt a line, instead of the built-in list.",
)
@click.option(
    "--calibration-size",
    type=Size(),
    help="int8: of the pictures; default: the model's own. Smaller ones take less time and memory.",
)
@click.option("--calibration-seed", metavar="N", type=int, help="int8: of the noise; default 0.")
@click.option(
    "--publish-anyway", is_flag=True, help="int8: also when it fails its own verification."
)
@click.option("--single-graph", is_flag=True, help="One ONNX model of a whole run; see the docs.")
@click.option(
    "--genai", is_flag=True, help="A folder for OpenVINO GenAI, of a model folder; see the docs."
)
@click.option(
    "--sampler", help="What becomes the model's default, or is built into the single graph: method,"
)
@click.option(
    "-O",
    "--sampler-option",
    "sampler_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="an option of the sampler, such as eta=0.5; may be given several times,",
)
@click.option("--scheduler", help="spacing of noise levels: karras, ...,")
@click.option("--spacing", help="of evenly spaced timesteps: leading, trailing or linspace,")
@click.option("--steps", type=int, help="number of steps,")
@click.option(
    "--cfg-scale",
    "--guidance-scale",
    "guidance_scale",
    type=float,
    help="strength of guidance, 1 is none,",
)
@click.option(
    "--size",
    type=Size(),
    help="size of pictures. What is left out is the model's own; a single graph takes any size.",
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
    single_graph: bool,
    genai: bool,
    **options: Any,
) -> None:
    """Export SOURCE, a model of Stable Diffusion 1, 2 or XL, to the model folder DEST.

    SOURCE is a diffusers folder, one file in the original naming (.safetensors, .ckpt), or either
    on the Hugging Face hub: owner/name[/file][@revision]. With HF_HUB_OFFLINE=1 only what was
    downloaded before is taken. Whether a U-Net predicts epsilon or v is read off its weights, and
    printed.

    A PRESET is the name of one that comes with sdrt (sd15, sd15-inpaint, instruct-pix2pix, lcm,
    sd21, sd21-v, sd-turbo, sdxl, sdxl-turbo, tiny, demo; tiny-NAME is a small twin) or a YAML file.
    A CONFIG is one of v1-inference, v2-inference, v2-inference-v, v2-inference-bf16,
    v2-inference-v-bf16 or a file in the original form. Nothing is published unless every exported
    graph computes what torch computes, on both engines.

    With --precision int8, SOURCE may be a model folder in fp32 or bf16 as well: the model runs some
    prompts, and its layers are rounded to what was seen.

    What --sampler, --steps and the like say becomes the model's default, as a LoRA for few steps
    wants it: --lora lcm.safetensors --sampler lcm --steps 4 --guidance-scale 1.

    With --single-graph, DEST gets one ONNX model with the whole loop inside, for a sampler and a
    number of steps; SOURCE may be a model folder in any precision.

    With --genai, SOURCE is a model folder, and DEST a copy of it that OpenVINO GenAI opens.
    """
    from sdrt.recipe import parse_option

    said = {name: options.pop(name) for name in OF_A_SOURCE}
    default = {name: options.pop(name) for name in OF_PICTURES}
    default["sampler_options"] = dict(map(parse_option, default["sampler_options"]))
    int8 = options
    asked = (random, preset, precision, formats)
    settings: dict[str, Any] = {"quiet": quiet or as_json, "int8": int8, "said": said}
    if genai:
        given = [single_graph, *asked, *default.values(), *said.values(), *int8.values()]
        path = _export_for_genai(paths, any(one not in (None, False, (), {}) for one in given))
        click.echo(json.dumps({"path": str(path)}) if as_json else f"{path}: for OpenVINO GenAI")
        return
    if single_graph:
        report = _export_single_graph(paths, asked, default, settings)
    else:
        report = run_export(paths, *asked, **settings, default=default)
    click.echo(json.dumps(record(report), indent=1) if as_json else summary(report))


def _export_for_genai(paths: Sequence[Path], has_options: bool) -> Path:
    from sdrt.artifact import open_artifact

    try:
        from sdrt_export.genai import export_for_genai
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
    if len(paths) != 2:
        raise UsageError(f"{len(paths)} paths were given; expected: sdrt export --genai MODEL DEST")
    if has_options:
        raise UsageError(
            "--genai copies a model folder as it is; give its path and no other option"
        )
    return export_for_genai(open_artifact(paths[0]), paths[1])


def _export_single_graph(
    paths: Sequence[Path], asked: tuple[Any, ...], default: Mapping[str, Any], settings: Any
) -> "Report":
    """Join the graphs of a model folder; of anything else, an export is made on the way."""
    from sdrt.artifact import is_artifact, open_artifact

    try:
        from sdrt_export.asked import Asked
        from sdrt_export.single_graph.artifact import export_single_graph
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
    random, preset, precision, formats = asked
    if formats not in (None, "onnx"):
        raise UsageError(f"--format is {formats!r}; a single graph is onnx")
    wish = Asked(**default)
    if len(paths) == 2 and is_artifact(paths[0]):
        if random or preset or precision or any(settings["said"].values()):
            raise UsageError(
                "a model folder has its precision and its weights; give no more than its path"
            )
        return export_single_graph(open_artifact(paths[0]), paths[1], wish)
    parent = paths[-1].absolute().parent if paths else Path.cwd()
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        inner = Path(folder) / "model"
        run_export([*paths[:-1], inner], random, preset, precision, "onnx", **settings)
        return export_single_graph(open_artifact(inner), paths[-1], wish)


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
        from sdrt_export.ldm.checkpoint import SingleFileCheckpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
    checkpoint = _opened(source or _checkpoint(name, chosen), said or {})
    if chosen and isinstance(checkpoint, SingleFileCheckpoint) and not (said or {}).get("spacing"):
        checkpoint = checkpoint.spaced_as(chosen)
    wanted = None if isinstance(checkpoint, Path) else checkpoint.asked_precision
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
    from sdrt_export.config import read_preset

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
    from sdrt_export.checkpoint import RandomCheckpoint

    assert preset is not None
    if preset.source is not None:
        return Path(preset.source)
    return RandomCheckpoint.of(name, preset)


def _opened(source: "Path | Checkpoint", said: Mapping[str, Any]) -> "Path | Checkpoint":
    """The checkpoint as the options describe it; an artifact stays a path, for int8."""
    from sdrt.artifact import is_artifact
    from sdrt_export.checkpoint import Checkpoint
    from sdrt_export.sources import SourceOptions, open_checkpoint

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
    from sdrt_export.asked import Asked
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
    from sdrt_export.config import chosen_formats

    return chosen_formats(precision or "fp32", FORMATS if given is None else given.split(","))


def _settings(given: Mapping[str, Any], precision: str, show_progress: bool) -> "Settings | None":
    """What the options for int8 say; raises `UsageError` for any of them with another precision."""
    from sdrt.prompt_file import read_prompts
    from sdrt_export.quantization.artifact import Settings
    from sdrt_export.quantization.calibration import Sampling

    said = {name: value for name, value in given.items() if value not in (None, False)}
    if precision != "int8":
        if said:
            option = f"--{next(iter(said)).replace('_', '-')}"
            raise UsageError(f"{option} is for --precision int8, and precision is {precision}")
        return None
    sampling = Sampling()
    of_sampling: dict[str, Any] = {
        name: checks.whole(
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
