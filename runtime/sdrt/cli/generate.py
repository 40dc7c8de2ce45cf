"""`sdrt generate`: a prompt in, PNG files out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdrt.cli.option_types import FILE, Point, Size
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.generation.result import Result
    from sdrt.memory.budget import Forecast
    from sdrt.text.styles import Style


ENGINE = (
    "backend",
    "device",
    "threads",
    "precision",
    "retry_precision",
    "check_memory",
    "max_memory",
)
ADDED = ("loras", "embeddings")
FILES = ("output", "grid", "trajectory", "no_metadata")
PREVIEWS = ("preview", "preview_path", "preview_interval")


@click.command()
@click.argument("prompt")
@click.option(
    "-m",
    "--model",
    metavar="PATH",
    help="Model folder, also of optimum-cli export; default: the embedded model.",
)
@click.option(
    "--lora",
    "loras",
    metavar="FILE[:WEIGHT]",
    multiple=True,
    help="Add a LoRA (.safetensors) to the weights; may be given several times. Weight 1.",
)
@click.option(
    "--embedding",
    "embeddings",
    metavar="FILE[:WORD]",
    multiple=True,
    help="Know a word by textual inversion (.safetensors); default: the file's word, or its name.",
)
@click.option("-o", "--output", type=FILE, help="Default: sdrt-SEED.png.")
@click.option("--grid", type=FILE, metavar="FILE", help="Also all pictures on one sheet.")
@click.option("--trajectory", type=FILE, metavar="FILE", help="Also the way there, on one sheet.")
@click.option(
    "--preview",
    type=click.Choice(["proj", "tae", "vae"]),
    help="Show each step in a file: roughly and in no time, by the tiny decoder, or decoded.",
)
@click.option(
    "--preview-path", type=FILE, metavar="FILE", help="Default: preview.png; %d is the step."
)
@click.option(
    "--preview-interval", type=click.IntRange(1), metavar="N", help="Every so many steps."
)
@click.option("-i", "--image", "--init-img", "image", type=FILE, help="Start from it, or edit it.")
@click.option("--strength", type=float, help="Share of the steps that change it; default: 0.8.")
@click.option("--mask", type=FILE, help="White where to paint it anew, black where to leave it.")
@click.option(
    "--paste/--no-paste",
    default=None,
    help="Take what the mask leaves from the image itself (default), or as the decoder gives it.",
)
@click.option("--hires", metavar="2x", help="Paint it over in so many times the size.")
@click.option("--hires-strength", type=float, help="Share of these steps; default: 0.5.")
@click.option("--hires-steps", type=int, help="Of the second pass; default: as --steps.")
@click.option(
    "--vae-tiling/--no-vae-tiling",
    default=None,
    help="Decode and encode in tiles of 768x768 pixels; default: if the whole would not fit.",
)
@click.option("--decoder", type=click.Choice(["full", "tiny"]), help="tiny: rough and fast.")
@click.option("--refiner", metavar="PATH", help="Let this model make the last steps,")
@click.option("--refiner-start", type=float, help="from this share of the run on; default: 0.8.")
@click.option("-n", "--negative-prompt", default="", help="What the picture should not show.")
@click.option("--style", metavar="NAME", help="Words around the prompt; see: sdrt styles.")
@click.option(
    "--styles",
    "styles_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Find the style in this JSON file too; for its form see: sdrt styles --json.",
)
@click.option("--steps", type=int, help="Number of denoising steps.")
@click.option(
    "--cfg-scale", "--guidance-scale", "guidance_scale", type=float, help="Guidance strength."
)
@click.option(
    "--image-guidance",
    "image_guidance_scale",
    type=float,
    help="How near models that edit a picture stay to it, from 1; default: 1.5.",
)
@click.option("--guidance-rescale", type=float, help="0 to 1: against glaring colours.")
@click.option("--guidance-start", type=float, help="Guide from this share of the steps,")
@click.option("--guidance-end", type=float, help="to this share; the other steps cost half.")
@click.option("--guidance-split", is_flag=True, help="Both halves in turn: needs less memory.")
@click.option("--sampler", "--sampling-method", help="Sampling method; see: sdrt samplers.")
@click.option(
    "-O",
    "--sampler-option",
    "sampler_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="For example eta=0.5 or order=3; see: sdrt samplers.",
)
@click.option("--scheduler", help="Spacing of noise levels: karras, exponential, beta, ays, ...")
@click.option("--spacing", help="Of evenly spaced timesteps: leading, trailing or linspace.")
@click.option(
    "--scheduler-config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Sample as this scheduler_config.json of diffusers says.",
)
@click.option("--clip-skip", type=int, help="Layer of the text encoder, from the end: 1 the last.")
@click.option("--original-size", type=Size(), help="SDXL is told that the picture had this size,")
@click.option("--crop", type=Point(), help="was cut at this point,")
@click.option("--target-size", type=Size(), help="to this size; default: its own size, uncut.")
@click.option("--aesthetic-score", type=float, help="A refiner is told so much: 0 to 10.")
@click.option("-s", "--seed", type=int, default=-1, help="-1 draws one.", show_default=True)
@click.option("-b", "--batch-count", type=int, default=1, help="How many pictures.")
@click.option("-W", "--width", type=int, help="Pixels, a multiple of 8.")
@click.option("-H", "--height", type=int, help="Pixels, a multiple of 8.")
@click.option("--size", type=Size(), help="Width and height in one.")
@click.option("--backend", help="openvino or onnxruntime; default: the fastest installed.")
@click.option("--device", help="The engine's device, for example CPU or GPU.")
@click.option("-t", "--threads", type=int, help="Default: the cores this process may use.")
@click.option("--precision", help="What the engine should execute: fp32, bf16 or int8.")
@click.option(
    "--retry-precision/--no-retry-precision",
    default=True,
    show_default=True,
    help="Run a network that gives NaN or infinity in bf16 again in fp32.",
)
@click.option(
    "--ignore-memory",
    "check_memory",
    flag_value=False,
    default=True,
    help="Try what is not expected to fit into memory.",
)
@click.option(
    "--max-memory",
    metavar="4G",
    help="What the process may have at its peak: the run is made to fit, or refused.",
)
@click.option("--no-metadata", is_flag=True, help="Keep the parameters out of the PNG.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
def generate(
    prompt: str,
    model: str | None,
    as_json: bool,
    quiet: bool,
    refiner: str | None,
    refiner_start: float | None,
    **settings: Any,
) -> None:
    """Make a picture of PROMPT."""
    from sdrt.cli.outputs import Outputs
    from sdrt.cli.previews import Previews
    from sdrt.cli.progress import cancelled_by_ctrl_c, progress
    from sdrt.cli.trajectory_sheet import Trajectory
    from sdrt.generation.refiner_run import START, refiner_run
    from sdrt.pipeline import load

    engine, files, shown = (
        {name: settings.pop(name) for name in names}
        for names in ((*ENGINE, *ADDED), FILES, PREVIEWS)
    )
    outputs, previews, trajectory = Outputs(**files), Previews(**shown), Trajectory()
    pipe = load(model, keep=previews.networks, **engine)
    options = _options(**settings)
    if refiner is not None:
        kept = {"keep": previews.networks, **{name: engine[name] for name in ENGINE}}
        start = START if refiner_start is None else refiner_start
        run = refiner_run(pipe, load(refiner, **kept), start, prompt, options, pipe.budget)
    elif refiner_start is not None:
        raise UsageError("--refiner-start was given without --refiner; give both")
    else:
        run = pipe.start(prompt, **options)
    previews.check(pipe.artifact.manifest)
    previews.plan(run)
    outputs.check(run.request, previews.paths(len(run)))
    forecast = pipe.budget.forecast(run.plan)
    if forecast and not (quiet or as_json):
        click.echo(f"sdrt: {forecast.sentence()}", err=True)
    with cancelled_by_ctrl_c(run):
        for step in progress(run, quiet or as_json):
            trajectory.see(step)
            previews.see(run, step)
        result = run.result()
        paths = outputs.write(run, result, trajectory)
    for warning in result.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_record(result, paths, forecast), indent=1))
    elif not quiet:
        click.echo(_summary(result, paths))


def _options(
    size: tuple[int, int] | None,
    batch_count: int,
    seed: int,
    sampler_options: tuple[str, ...],
    scheduler_config: Path | None,
    styles_file: Path | None,
    crop: tuple[int, int] | None,
    **given: Any,
) -> Any:
    """The options that were given, under the names of the Python interface."""
    from sdrt.request.hires import read_scale
    from sdrt.sampling.sampler_settings import parse_option
    from sdrt.sampling.scheduler_config import read_config

    if size is not None:
        if given["width"] or given["height"]:
            raise UsageError("both --size and --width or --height were given; give one of them")
        given["width"], given["height"] = size
    given["crops_coords_top_left"] = crop
    for name in ("original_size", "target_size", "crops_coords_top_left"):
        if given[name] is not None:
            given[name] = given[name][::-1]  # heights and tops first, as in diffusers
    if sampler_options:
        given["sampler_options"] = dict(parse_option(text) for text in sampler_options)
    if scheduler_config is not None:
        given["scheduler_config"] = read_config(scheduler_config)
    if styles_file is not None:
        given["style"] = _style(given["style"], styles_file)
    if given["hires"] is not None:
        given["hires"] = read_scale(given["hires"])
    given["num_inference_steps"] = given.pop("steps")
    given["num_images_per_prompt"] = batch_count
    given["seed"] = None if seed == -1 else seed
    return {name: value for name, value in given.items() if value is not None}


def _style(name: str | None, file: Path) -> "Style":
    from sdrt.text.styles import find_style, known_styles, read_styles

    own = read_styles(file)
    if name is None:
        raise UsageError(
            f"--styles {file} was given without --style; name one of: {', '.join(own)}"
        )
    return find_style(name, {**known_styles(), **own})


def _record(result: "Result", paths: list[Path], forecast: "Forecast | None") -> dict[str, Any]:
    """The pictures with their parameters; sheets, which come after them, have only a name."""
    from dataclasses import asdict

    from sdrt.machine import peak_memory_bytes

    images = [
        {"file": str(path), **asdict(parameters)}
        for path, parameters in zip(paths, result.parameters, strict=False)
    ]
    return {
        "images": images,
        "sheets": [str(path) for path in paths[len(images) :]],
        "timings": asdict(result.timings),
        "memory": asdict(forecast) | {"peak_bytes": peak_memory_bytes()} if forecast else None,
        "warnings": result.warnings,
    }


def _summary(result: "Result", paths: list[Path]) -> str:
    spent, made = result.timings, result.parameters[0]
    steps = sorted(spent.step_s)
    lines = [f"{path}  seed {seed}" for path, seed in zip(paths, result.seeds, strict=False)]
    lines += [str(path) for path in paths[len(lines) :]]
    lines.append(
        f"{made.backend} in {made.executed_precision} on {made.threads} threads: "
        f"{len(steps)} steps of {steps[len(steps) // 2]:.3g} s, "
        f"text {spent.text_encoder_s:.2g} s, decode {spent.vae_decoder_s:.2g} s, "
        f"load {sum(spent.load_s.values()):.2g} s"
    )
    parts = [f"{name} {record.summary()}" for name, record in result.networks.items()]
    lines.append(f"executed: {'; '.join(parts)}")
    return "\n".join(lines)
