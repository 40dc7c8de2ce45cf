"""Groups of options of `sdrt export`; each group reaches the command as one dataclass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sdrt.cli.option_types import Size, option_group
from sdrt_export.export_options import DefaultOptions, Int8Options, SourceOptions


def _parsed(context: object, parameter: object, texts: Sequence[str]) -> dict[str, Any]:
    from sdrt.sampling.sampler_settings import parse_option

    return dict(map(parse_option, texts))


source_options = option_group(
    "source",
    SourceOptions,
    click.option(
        "--config",
        metavar="CONFIG",
        help="For a checkpoint in one file: an LDM YAML file, or the name of a bundled one.",
    ),
    click.option(
        "--allow-pickle",
        is_flag=True,
        help="Read .ckpt files too: scanned first, and loaded as data only.",
    ),
    click.option(
        "--prediction",
        help="epsilon, v_prediction or sample, whatever weights and configuration show.",
    ),
    click.option(
        "--zero-terminal-snr",
        is_flag=True,
        help="The model was trained with no signal left at the last timestep.",
    ),
    click.option("--spacing", help="Spacing of timesteps: leading, trailing or linspace."),
    click.option(
        "--lora",
        metavar="FILE[:WEIGHT]",
        multiple=True,
        help="Merge a LoRA (.safetensors) into the weights; repeatable. The default weight is 1.",
    ),
    click.option(
        "--tiny-vae",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Also export a tiny decoder (TAESD): a diffusers folder or taesd_decoder.safetensors.",
    ),
)

int8_options = option_group(
    "int8",
    Int8Options,
    click.option(
        "--calibration",
        type=click.Path(path_type=Path, dir_okay=False),
        help="int8: read the statistics from this file, or write them to it if it does not exist.",
    ),
    click.option(
        "--calibration-samples", metavar="N", type=int, help="int8: number of prompts; default 8."
    ),
    click.option(
        "--calibration-steps", metavar="N", type=int, help="int8: steps per prompt; default 3."
    ),
    click.option(
        "--calibration-prompts",
        type=click.Path(path_type=Path),
        help="int8: a text file with one prompt per line, in place of the built-in list.",
    ),
    click.option(
        "--calibration-size",
        type=Size(),
        help="int8: size of the images, by default the model's own. Smaller ones take less time "
        "and memory.",
    ),
    click.option(
        "--calibration-seed", metavar="N", type=int, help="int8: seed of the noise; default 0."
    ),
    click.option(
        "--calibration-model",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="int8: for a ControlNet, the model folder (fp32 or bf16) that it guides meanwhile.",
    ),
    click.option(
        "--publish-anyway",
        is_flag=True,
        help="int8: publish the model even if it fails its own verification.",
    ),
)

default_options = option_group(
    "defaults",
    DefaultOptions,
    click.option("--sampler", help="Default: sampling method."),
    click.option(
        "-O",
        "--sampler-option",
        "sampler_options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_parsed,
        help="Default: an option of the sampler, such as eta=0.5; repeatable.",
    ),
    click.option("--scheduler", help="Default: spacing of noise levels, such as karras."),
    click.option("--steps", type=int, help="Default: number of steps."),
    click.option(
        "--cfg-scale",
        "--guidance-scale",
        "guidance_scale",
        type=float,
        help="Default: guidance scale; 1 is none.",
    ),
    click.option(
        "--size",
        type=Size(),
        help="Default: size of images; without it a single graph takes any size.",
    ),
)
