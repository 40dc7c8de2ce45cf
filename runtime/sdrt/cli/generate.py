"""`sdrt generate`: a prompt in, PNG files out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdrt.cli.generate_options import GenerateOptions
from sdrt.cli.option_types import JSON, option_group
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.generation.result import Result
    from sdrt.generation.run import Run
    from sdrt.memory.budget import Forecast
    from sdrt.pipeline import Pipeline


@click.command()
@click.argument("prompt")
@click.option(
    "-m",
    "--model",
    metavar="PATH",
    help="Model folder, also of optimum-cli export; default: the embedded model.",
)
@option_group("options", GenerateOptions)
@click.option("--no-metadata", is_flag=True, help="Keep the parameters out of the PNG.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
@JSON
def generate(
    prompt: str,
    model: str | None,
    options: GenerateOptions,
    no_metadata: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a picture of PROMPT."""
    from sdrt.cli.outputs import Outputs
    from sdrt.cli.previews import Previews
    from sdrt.cli.progress import cancelled_by_ctrl_c, progress
    from sdrt.cli.trajectory_sheet import TrajectorySheet

    outputs = Outputs(options.files, with_parameters=not no_metadata)
    previews, trajectory = Previews(options.previews), TrajectorySheet()
    adapters, keep = options.adapters, previews.kept_networks
    pipe = options.engine.load(model, keep, adapters.loras, adapters.embeddings)
    run = _start(pipe, prompt, options, keep)
    previews.check(pipe.artifact.manifest)
    previews.plan(run)
    outputs.check(run.request, previews.paths(len(run)))
    forecast = pipe.budget.forecast(run.plan)
    if forecast and not (quiet or as_json):
        click.echo(f"sdrt: {forecast.sentence()}", err=True)
    with cancelled_by_ctrl_c(run):
        for step in progress(run, quiet or as_json):
            trajectory.add(step)
            previews.update(run, step)
        result = run.result()
        paths = outputs.write(run, result, trajectory)
    for warning in result.warnings:
        click.echo(f"sdrt: warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_record(result, paths, forecast), indent=1))
    elif not quiet:
        click.echo(_summary(result, paths))


def _start(pipe: "Pipeline", prompt: str, options: GenerateOptions, keep: frozenset[str]) -> "Run":
    """Prepare a run of the model, or of the model and its refiner; raises `UsageError`."""
    from sdrt.generation.refiner_run import START, refiner_run

    refiner, start = options.refiner.refiner, options.refiner.refiner_start
    given = options.request_options()
    if refiner is not None:
        second = options.engine.load(refiner, keep)
        start = START if start is None else start
        return refiner_run(pipe, second, start, prompt, given, pipe.budget)
    if start is not None:
        raise UsageError("--refiner-start was given without --refiner; give both")
    return pipe.start(prompt, **given)


def _record(result: "Result", paths: list[Path], forecast: "Forecast | None") -> dict[str, Any]:
    """The pictures with their parameters; sheets, which follow them, have only a name."""
    from dataclasses import asdict

    from sdrt.machine import peak_memory_bytes

    images = [
        {"file": str(path), **parameters.record()}
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
    timings, first = result.timings, result.parameters[0]
    steps = sorted(timings.step_s)
    lines = [f"{path}  seed {seed}" for path, seed in zip(paths, result.seeds, strict=False)]
    lines += [str(path) for path in paths[len(lines) :]]
    lines.append(
        f"{first.backend} in {first.executed_precision} on {first.threads} threads: "
        f"{len(steps)} steps of {steps[len(steps) // 2]:.3g} s, "
        f"text {timings.text_encoder_s:.2g} s, decode {timings.vae_decoder_s:.2g} s, "
        f"load {sum(timings.load_s.values()):.2g} s"
    )
    networks = [f"{name} {record.summary()}" for name, record in result.networks.items()]
    lines.append(f"executed: {'; '.join(networks)}")
    return "\n".join(lines)
