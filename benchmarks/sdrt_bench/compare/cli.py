"""`sdrt compare`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdrt.cli.option_types import Size
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.generation.result import Step
    from sdrt.generation.run import Run
    from sdrt.pipeline import Pipeline
    from sdrt.request.options import Options
    from sdrt_bench.compare.run import Watch

ENGINE = ("backend", "device", "precision")


@click.command()
@click.argument("a", metavar="[A", required=False)
@click.argument("b", metavar="[B]]", required=False)
@click.option("--backend", metavar="X[,Y]", help="openvino or onnxruntime.")
@click.option("--device", metavar="X[,Y]", help="The engine's device, for example CPU or GPU.")
@click.option("--precision", metavar="X[,Y]", help="To execute: fp32, bf16 or int8.")
@click.option("-t", "--threads", type=int, help="Of both; default: the cores one may use.")
@click.option(
    "--prompts",
    default="8",
    show_default=True,
    metavar="FILE|N",
    help="A text file with one prompt a line, or how many built-in prompts.",
)
@click.option("--steps", type=int, help="Number of denoising steps.")
@click.option(
    "--cfg-scale", "--guidance-scale", "guidance_scale", type=float, help="Guidance strength."
)
@click.option("--sampler", "--sampling-method", help="Sampling method; see: sdrt samplers.")
@click.option("--scheduler", help="Spacing of noise levels: karras, exponential, beta, ays, ...")
@click.option("-s", "--seed", type=int, default=0, show_default=True, help="Prompt i has seed + i.")
@click.option("--size", type=Size(), help="Width and height.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also a sheet of pictures side by side, and a plot of PSNR over steps.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record with every figure.")
def compare(
    a: str | None,
    b: str | None,
    prompts: str,
    seed: int,
    threads: int | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Paint the same prompts, seeds and steps on A and B, and say how far B is from A.

    A and B are model folders; A is the embedded model and B is A where they are not given. X[,Y]
    is one value for both, or A's and B's with a comma; an empty one is left to the engine. What
    is not said otherwise comes from A.

    \b
    sdrt compare --precision fp32,bf16
    sdrt compare --backend openvino,onnxruntime --precision fp32
    sdrt compare models/sd15-fp32 models/sd15-int8 --out comparison
    """
    from sdrt_bench.compare import pictures as pictures
    from sdrt_bench.compare import run as work
    from sdrt_bench.prompts import choose_prompts

    engines = {name: both(name, settings.pop(name)) for name in ENGINE}
    first, second = (
        _load(model, threads, {name: pair[i] for name, pair in engines.items()})
        for i, model in enumerate((a, b or a))
    )
    options = work.complete(first, second, _options(**settings))
    manifests = [pipe.artifact.manifest for pipe in (first, second)]
    chosen = choose_prompts(prompts, manifests, options["width"], options["height"])
    if out is not None:
        pictures.check_folder(out)
    count = 2 * len(chosen) * options["num_inference_steps"]
    with _watched(count, quiet or as_json) as watch:
        found = work.compare(first, second, chosen, seed, options, watch)
    paths = pictures.write_pictures(found, out) if out else []
    for warning in found.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({**found.to_record(), "files": [str(path) for path in paths]}))
    elif not quiet:
        click.echo("\n".join([found.to_text(), *(["", *map(str, paths)] if paths else [])]))


def both(name: str, text: str | None) -> tuple[str | None, str | None]:
    """A's and B's value of an option: one for both, or two with a comma."""
    values = [value.strip() or None for value in (text or "").split(",")]
    if len(values) > 2:
        raise UsageError(
            f"--{name} is {text!r}; expected one value for A and B, or two with a comma"
        )
    return values[0], values[-1]


def _load(model: str | None, threads: int | None, engine: dict[str, Any]) -> "Pipeline":
    from sdrt.pipeline import load
    from sdrt_bench.compare.run import KEPT

    return load(model, threads=threads, keep=KEPT, **engine)


def _options(
    size: tuple[int, int] | None,
    steps: int | None,
    guidance_scale: float | None,
    sampler: str | None,
    scheduler: str | None,
) -> "Options":
    """The options that were given, under the names of the Python interface."""
    width, height = size or (None, None)
    given = {
        "width": width,
        "height": height,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "sampler": sampler,
        "scheduler": scheduler,
    }
    return {name: value for name, value in given.items() if value is not None}  # type: ignore[return-value]


@contextmanager
def _watched(count: int, quiet: bool) -> "Iterator[Watch]":
    """One bar for all steps of both sides, where somebody watches, and an ear for Ctrl-C."""
    from tqdm import tqdm

    from sdrt.cli.progress import PROGRESS, cancelled_by_ctrl_c

    silent = quiet or not sys.stderr.isatty()
    with tqdm(None, "step", count, leave=False, disable=silent, bar_format=PROGRESS) as bar:

        def counted(run: "Run") -> "Iterator[Step]":
            for step in run:
                bar.update()
                yield step

        @contextmanager
        def watch(run: "Run") -> "Iterator[Iterable[Step]]":
            with cancelled_by_ctrl_c(run):
                yield counted(run)

        yield watch
