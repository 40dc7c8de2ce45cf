"""`sdrt export`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
from pathlib import Path

import click

from sdrt.errors import needs_extra
from sdrt_export.cli.option_groups import default_options, int8_options, source_options
from sdrt_export.export_options import DefaultOptions, ExportOptions, Int8Options, SourceOptions

HELP = """Export SOURCE, a model of Stable Diffusion 1, 2 or XL or a ControlNet, to the folder DEST.

SOURCE is a diffusers folder, one file in the original naming (.safetensors, .ckpt), or either of
them on the Hugging Face hub: owner/name[/file][@revision]. With HF_HUB_OFFLINE=1 only earlier
downloads are used. Whether a U-Net predicts epsilon or v is read off its weights, and printed.

A PRESET is the name of a bundled one (sd15, sd15-inpaint, instruct-pix2pix, lcm, sd21, sd21-v,
sd2-inpaint, sd2-depth, sd-turbo, sdxl, sdxl-turbo, tiny, demo; tiny-NAME is a small twin;
sd15-controlnet, sd21-controlnet, sdxl-controlnet) or a YAML file. A CONFIG is v1-inference,
v2-inference, v2-inference-v, or another that sdrt models lists, or a file in the original form.
Nothing is published unless every exported graph computes what torch computes, on both engines.

With --precision int8, SOURCE may also be a model folder in fp32 or bf16: the model runs some
prompts, and its layers are rounded to the ranges that were observed. For a ControlNet the model of
--calibration-model runs.

Options whose help begins with "Default" set the model's defaults, as a LoRA for few steps needs:
--lora lcm.safetensors --sampler lcm --steps 4 --guidance-scale 1. In a single graph they are fixed.
Without them the model keeps its own.

With --single-graph, DEST gets one ONNX model with the whole loop inside, for a fixed sampler and
number of steps; SOURCE may be a model folder in any precision.

With --genai, SOURCE is a model folder, and DEST a copy of it that OpenVINO GenAI opens.
"""


@click.command(help=HELP)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[SOURCE] DEST")
@click.option("--random", metavar="PRESET", help="Random weights of a preset's geometry.")
@click.option(
    "--preset",
    metavar="PRESET",
    help="Precision, formats and defaults; for one file also the spacing of timesteps.",
)
@click.option("--precision", help="fp32, bf16 (weights) or int8 (weights and arithmetic).")
@click.option(
    "--format", "formats", metavar="FORMATS", help="onnx, openvino, or both with a comma."
)
@source_options
@int8_options
@click.option(
    "--single-graph", is_flag=True, help="Make one ONNX model of a whole run; see the docs."
)
@click.option("--genai", is_flag=True, help="Make a folder for OpenVINO GenAI from a model folder.")
@default_options
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def export(
    paths: tuple[Path, ...],
    random: str | None,
    preset: str | None,
    precision: str | None,
    formats: str | None,
    source: SourceOptions,
    int8: Int8Options,
    defaults: DefaultOptions,
    single_graph: bool,
    genai: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run one of the three kinds of export, and print its report."""
    options = ExportOptions(
        random, preset, precision, formats, source, int8, defaults, quiet=quiet or as_json
    )
    with needs_extra("export"):
        from sdrt_export.cli.run_export import export_for_genai, export_single_graph, run_export
    if genai:
        path = export_for_genai(paths, options, single_graph)
        click.echo(json.dumps({"path": str(path)}) if as_json else f"{path}: for OpenVINO GenAI")
        return
    report = (export_single_graph if single_graph else run_export)(paths, options)
    click.echo(json.dumps(report.record(), indent=1) if as_json else report.summary())
