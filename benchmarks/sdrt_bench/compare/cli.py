"""`sdrt compare`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdrt.cli.option_types import Size, argument, option, option_group
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.generation.result import Step
    from sdrt.generation.run import Run
    from sdrt.pipeline import Pipeline
    from sdrt.request.options import Options
    from sdrt_bench.compare.run import Watch


@dataclass(frozen=True)
class SideOptions:
    """Both models and their engines."""

    a: str | None = argument(metavar="[A", required=False)
    b: str | None = argument(metavar="[B]]", required=False)
    backend: str | None = option("--backend", metavar="X[,Y]", help="openvino or onnxruntime.")
    device: str | None = option(
        "--device", metavar="X[,Y]", help="The engine's device, for example CPU or GPU."
    )
    precision: str | None = option(
        "--precision", metavar="X[,Y]", help="Precision to execute: fp32, bf16 or int8."
    )
    threads: int | None = option(
        "-t", "--threads", type=int, help="Threads of both; default: the cores one may use."
    )

    def open(self) -> "tuple[Pipeline, Pipeline]":
        """Open A and B; raises `UsageError` for an option with more than two values."""
        from sdrt.pipeline import load
        from sdrt_bench.compare.run import KEPT

        backends = split_pair("backend", self.backend)
        devices = split_pair("device", self.device)
        precisions = split_pair("precision", self.precision)
        a, b = (
            load(
                model,
                backend=backends[i],
                device=devices[i],
                threads=self.threads,
                precision=precisions[i],  # type: ignore[arg-type]  # load checks it
                keep=KEPT,
            )
            for i, model in enumerate((self.a, self.b or self.a))
        )
        return a, b


@dataclass(frozen=True)
class SamplingOptions:
    """How both sides paint."""

    prompts: str = option(
        "--prompts",
        default="8",
        show_default=True,
        metavar="FILE|N",
        help="A text file with one prompt a line, or how many built-in prompts.",
    )
    steps: int | None = option("--steps", type=int, help="Number of denoising steps.")
    guidance_scale: float | None = option(
        "--cfg-scale", "--guidance-scale", type=float, help="Guidance strength."
    )
    sampler: str | None = option(
        "--sampler", "--sampling-method", help="Sampling method; see: sdrt samplers."
    )
    scheduler: str | None = option(
        "--scheduler", help="Spacing of noise levels: karras, exponential, beta, ays, ..."
    )
    seed: int = option(
        "-s", "--seed", type=int, default=0, show_default=True, help="Prompt i has seed + i."
    )
    size: tuple[int, int] | None = option("--size", type=Size(), help="Width and height.")

    def to_options(self) -> "Options":
        """Give the options that were set, under the names of the Python interface."""
        width, height = self.size or (None, None)
        values = {
            "width": width,
            "height": height,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "sampler": self.sampler,
            "scheduler": self.scheduler,
        }
        return {name: value for name, value in values.items() if value is not None}  # type: ignore[return-value]


@dataclass(frozen=True)
class ReportOptions:
    """What is written and shown."""

    out: Path | None = option(
        "-o",
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Also a sheet of images side by side, and a plot of PSNR over steps.",
    )
    quiet: bool = option("-q", "--quiet", is_flag=True, help="No progress and no table.")
    as_json: bool = option("--json", is_flag=True, help="Print a JSON record with every figure.")


@click.command()
@option_group("sides", SideOptions)
@option_group("sampling", SamplingOptions)
@option_group("output", ReportOptions)
def compare(sides: SideOptions, sampling: SamplingOptions, output: ReportOptions) -> None:
    """Paint the same prompts, seeds and steps on A and B, and say how far B is from A.

    A and B are model folders; A is the embedded model and B is A where they are not given. X[,Y]
    is one value for both, or A's and B's with a comma; an empty one is left to the engine. What
    is not said otherwise comes from A.

    \b
    sdrt compare --precision fp32,bf16
    sdrt compare --backend openvino,onnxruntime --precision fp32
    sdrt compare models/sd15-fp32 models/sd15-int8 --out comparison
    """
    from sdrt_bench.compare import pictures, run
    from sdrt_bench.output_folder import check_folder
    from sdrt_bench.prompts import choose_prompts

    a, b = sides.open()
    options = run.complete(a, b, sampling.to_options())
    manifests = [a.artifact.manifest, b.artifact.manifest]
    prompts = choose_prompts(sampling.prompts, manifests, options["width"], options["height"])
    if output.out is not None:
        check_folder(output.out, pictures.FILES)
    count = 2 * len(prompts) * options["num_inference_steps"]
    with _progress(count, output.quiet or output.as_json) as watch:
        comparison = run.compare(a, b, prompts, sampling.seed, options, watch)
    paths = pictures.write_pictures(comparison, output.out) if output.out else []
    files = [str(path) for path in paths]
    for warning in comparison.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    if output.as_json:
        click.echo(json.dumps({**comparison.to_record(), "files": files}))
    elif not output.quiet:
        click.echo("\n".join([comparison.to_text(), *(["", *files] if files else [])]))


def split_pair(name: str, text: str | None) -> tuple[str | None, str | None]:
    """Read A's and B's value of an option: one for both, or two with a comma."""
    values = [value.strip() or None for value in (text or "").split(",")]
    if len(values) > 2:
        raise UsageError(
            f"--{name} is {text!r}; expected one value for A and B, or two with a comma"
        )
    return values[0], values[-1]


@contextmanager
def _progress(count: int, quiet: bool) -> "Iterator[Watch]":
    """Show a bar for all steps of both sides on a terminal, and let Ctrl-C cancel the run."""
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
