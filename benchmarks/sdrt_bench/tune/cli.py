"""`sdrt tune`. Imports nothing heavy, so that `sdrt --help` can list it."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
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
    from sdrt.manifest import Precision
    from sdrt.pipeline import Pipeline
    from sdrt.request.options import Options
    from sdrt_bench.compare.run import Watch
    from sdrt_bench.tune.record import TuneRecord
    from sdrt_bench.tune.search import Budget

BAR = "[{bar:20}] {desc}"


@dataclass(frozen=True)
class ModelOptions:
    """The models and their engine."""

    model: str | None = argument(metavar="[MODEL]", required=False)
    time_model: str | None = option(
        "--time-model",
        metavar="PATH",
        help="Take times from another model, for example with random weights of a real geometry.",
    )
    backend: str | None = option("--backend", help="openvino or onnxruntime.")
    threads: int | None = option(
        "-t", "--threads", type=int, help="Default: as many as `sdrt doctor` shows."
    )
    precision: "Precision | None" = option(
        "--precision", help="Precision to execute: fp32, bf16 or int8."
    )

    def open(self, model: str | None, precision: "Precision | None") -> "Pipeline":
        """Open a model whose networks stay in memory from picture to picture."""
        from sdrt.pipeline import load
        from sdrt_bench.compare.run import KEPT

        return load(
            model, backend=self.backend, threads=self.threads, precision=precision, keep=KEPT
        )


@dataclass(frozen=True)
class SearchOptions:
    """What is painted, and for how long."""

    output: Path = option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        default="tune",
        show_default=True,
        metavar="DIR",
        help="Record, converged pictures and chart; a search that began there goes on.",
    )
    save: bool = option(
        "--save",
        is_flag=True,
        help="Keep the presets balanced and fast in the folder of the model that was timed.",
    )
    budget: float = option(
        "--budget",
        type=float,
        default=60.0,
        show_default=True,
        metavar="MINUTES",
        help="When they are spent, the search stops and reports what it has.",
    )
    prompts: str = option(
        "--prompts",
        default="24",
        show_default=True,
        metavar="FILE|N",
        help="A text file with one prompt a line, or how many built-in prompts.",
    )
    guidance_scale: float | None = option(
        "--cfg-scale", "--guidance-scale", type=float, help="Guidance strength."
    )
    seed: int = option(
        "-s", "--seed", type=int, default=0, show_default=True, help="Prompt i has seed + i."
    )
    size: tuple[int, int] | None = option("--size", type=Size(), help="Width and height.")

    def to_options(self) -> "Options":
        """Give the options that were set, under the names of the Python interface."""
        options: Options = {}
        if self.size is not None:
            options["width"], options["height"] = self.size
        if self.guidance_scale is not None:
            options["guidance_scale"] = self.guidance_scale
        return options

    def to_budget(self) -> "Budget":
        """Begin the search's time; raises `UsageError` for none."""
        from sdrt_bench.tune.search import Budget

        if not 0 < self.budget < math.inf:
            raise UsageError(f"--budget is {self.budget:g}; expected minutes, more than 0")
        return Budget(60 * self.budget)


@click.command()
@option_group("models", ModelOptions)
@option_group("search", SearchOptions)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record of the front.")
def tune(models: ModelOptions, search: SearchOptions, quiet: bool, as_json: bool) -> None:
    """Find the settings that come closest to the converged picture in a given time.

    MODEL is a model folder, by default the embedded model. Samplers, schedulers, numbers of steps,
    and tricks that spare evaluations of the U-Net are tried on the same prompts and seeds; their
    pictures are compared with those of 200 steps in fp32.

    \b
    sdrt tune --budget 10 --prompts 8
    sdrt tune --save
    sdrt tune models/sd15-fp32 --output tune-sd15 --prompts prompts.txt
    sdrt tune --time-model models/sd15-random --json > front.json
    """
    from sdrt_bench.output_folder import check_folder
    from sdrt_bench.prompts import choose_prompts
    from sdrt_bench.tune import chart, run
    from sdrt_bench.tune.report import Report

    budget = search.to_budget()
    check_folder(search.output, chart.FILES)
    pipe = models.open(models.model, models.precision)
    timed = models.open(models.time_model, models.precision) if models.time_model else pipe
    if search.save:
        _check_place(timed)
    options = search.to_options()
    request = pipe.start("", **options).request
    prompts = choose_prompts(search.prompts, [pipe.manifest], request.width, request.height)
    with _progress(budget, quiet or as_json) as (watch, tell):
        record = run.tune(
            run.Task(
                pipe,
                timed,
                lambda: models.open(models.model, "fp32"),
                prompts,
                search.output,
                search.seed,
                options,
                watch,
                tell,
            ),
            budget,
        )
    report = Report.of(record)
    files = [str(path) for path in chart.write_chart(report, search.output)]
    if search.save:
        files.append(str(_save(timed, record)))
    if as_json:
        click.echo(json.dumps({**report.to_record(), "files": files}))
    elif not quiet:
        click.echo("\n".join([report.to_text(), "", *files]))


def _check_place(model: "Pipeline") -> None:
    """Check before the work that presets can be kept; raises `WriteError`."""
    from sdrt.files.atomic import check_writable
    from sdrt.files.tuned_speed import FILE

    root = model.artifact.root
    check_writable(root / FILE, root)


def _save(model: "Pipeline", record: "TuneRecord") -> Path:
    """Keep the presets of a search in the model's folder."""
    from sdrt.files.tuned_speed import write_tuned_speed
    from sdrt_bench.tune.presets import tuned_presets

    return write_tuned_speed(model.artifact.root, tuned_presets(record))


@contextmanager
def _progress(budget: "Budget", quiet: bool) -> "Iterator[tuple[Watch, Callable[[str], None]]]":
    """Show the spent part of the budget on a terminal, and let Ctrl-C cancel a run."""
    from tqdm import tqdm

    from sdrt.cli.progress import cancelled_by_ctrl_c

    silent = quiet or not sys.stderr.isatty()
    minutes = budget.seconds / 60
    with tqdm(total=minutes, leave=False, disable=silent, bar_format=BAR) as bar:
        doing = ""

        def advance() -> None:
            spent = minutes - budget.left / 60
            bar.set_description_str(f"{spent:.1f} of {minutes:g} min, {doing}", refresh=False)
            bar.update(min(minutes, spent) - bar.n)

        def tell(what: str) -> None:
            nonlocal doing
            doing = what
            advance()

        @contextmanager
        def watch(run: "Run") -> "Iterator[Iterable[Step]]":
            with cancelled_by_ctrl_c(run):
                yield run
            advance()

        yield watch, tell
