"""`sdrt export`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from sdrt.cli.option_types import Size
from sdrt.errors import MissingExtraError, UsageError
from sdrt_export.cli.run_export import record, run_export, summary

if TYPE_CHECKING:
    from sdrt_export.artifact.report import Report

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
    from sdrt.sampling.sampler_settings import parse_option

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
        from sdrt_export.artifact.openvino_genai import export_for_genai
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
        from sdrt_export.artifact.default_options import Asked
        from sdrt_export.single_graph.publish import export_single_graph
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
