"""Side jobs of a session, each in its own process: `python -m sdrt_bench.bench.side_jobs NAME`.

They check engines, count operations, and measure peaks and fidelity. A job reads its arguments as
JSON from standard input, and writes `{"value": ...}` or a `RoundFailure` to a file.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, is_installed
from sdrt.errors import NonFiniteError, OutOfMemoryError, SdrtError
from sdrt.files.atomic import whole_file
from sdrt.pipeline import Pipeline
from sdrt_bench.bench.cells import cell_name
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.worker import open_engine, options_of
from sdrt_bench.compare.run import KEPT
from sdrt_bench.precision_check import check_executed

SQNR_TIMESTEPS = (21.0, 500.0, 901.0)
UNUSED = "vae_encoder"  # no picture is given

Arguments = Mapping[str, Any]


def main() -> None:
    """Run the job that the command line names."""
    arguments = json.loads(sys.stdin.read())
    try:
        outcome: dict[str, Any] = {"value": SIDE_JOBS[sys.argv[1]](arguments)}
    except SdrtError as error:
        outcome = {"error": str(error), "kind": type(error).__name__}
    with whole_file(Path(arguments["result"])) as target:
        target.write_text(json.dumps(outcome), encoding="utf-8")


def check_cells(arguments: Arguments) -> dict[str, Any]:
    """Check that the engine executes what it is asked to, and the memory; count the operations."""
    artifact = open_artifact(arguments["artifact"])
    cells = [Params.model_validate(params) for params in arguments["cells"]]
    backend = open_engine(cells[0])
    check_executed(cell_name(cells[0]), artifact, backend)
    return {
        "skipped": {} if arguments["ignore_memory"] else too_large(artifact, backend, cells),
        "macs": count_macs(artifact, cells) if is_installed("openvino") else {},
    }


def too_large(artifact: Artifact, backend: Backend, cells: list[Params]) -> dict[str, str]:
    """Give the reason why there is not enough memory, by the names of cells that lack it."""
    pipe, reasons = Pipeline(artifact, backend), {}
    for params in cells:
        try:
            _ = pipe.start(params.prompt, **options_of(params)).plan
        except OutOfMemoryError as error:
            reasons[cell_name(params)] = str(error)
    return reasons


def count_macs(artifact: Artifact, cells: list[Params]) -> dict[str, tuple[int, int]]:
    """Give the multiply-adds of a step by the cell's name, and those of attention among them."""
    from sdrt_bench.bench.macs import step_macs

    counted: dict[tuple[object, ...], tuple[int, int]] = {}
    counts = {}
    for params in cells:
        key = params.width, params.height, params.batch, params.guidance, params.sampler
        if key not in counted:
            counted[key] = step_macs(artifact, params)
        counts[cell_name(params)] = counted[key]
    return counts


def measure_peaks(arguments: Arguments) -> list[dict[str, Any]]:
    """Measure the peaks of this machine's engines."""
    from sdrt_bench.bench.machine_peaks import peaks

    measured = peaks(
        arguments["backends"],
        arguments["precisions"],
        arguments["threads"],
        arguments["seconds"],
    )
    return [peak.model_dump() for peak in measured]


def measure_sqnr(arguments: Arguments) -> dict[str, float | None]:
    """Measure signal to error of each network that makes images, dB; None where it is equal."""
    from sdrt.diagnostics.fidelity import compare_with

    params = Params.model_validate(arguments["params"])
    comparison = compare_with(
        open_artifact(arguments["artifact"]),
        open_engine(params),
        SQNR_TIMESTEPS,
        against=arguments["against"],
    )
    return {
        name: round(graph.snr_db, 1) if math.isfinite(graph.snr_db) else None
        for name, graph in comparison.measure().graphs.items()
        if name != UNUSED
    }


def measure_accuracy(arguments: Arguments) -> list[dict[str, Any] | None]:
    """Measure how often prompts with a known answer are painted as they say, for each cell.

    None where no answer is known, or the engine fails. All cells share a process, because the
    checker's examples of objects take longer to draw than the images.
    """
    figures: list[dict[str, Any] | None] = []
    for cell in arguments["cells"]:
        artifact, params = open_artifact(cell["artifact"]), Params.model_validate(cell["params"])
        try:
            figures.append(_accuracy(artifact, params, arguments["prompts"]))
        except NonFiniteError:
            figures.append(None)
    return figures


def _accuracy(artifact: Artifact, params: Params, count: int) -> dict[str, Any] | None:
    from sdrt_bench.prompts import choose_prompts

    prompts = choose_prompts(str(count), [artifact.manifest], params.width, params.height)
    judged = [(prompt.text, prompt.judge) for prompt in prompts if prompt.judge]
    if not judged:
        return None
    import numpy as np

    from sdrt_bench.scenes.checker import accuracy

    pipe = Pipeline(artifact, open_engine(params), KEPT)
    options = options_of(params.model_copy(update={"batch": 1}))
    answers = []
    for number, (text, judge) in enumerate(judged):
        options["seed"] = params.seed + number
        answers.append(judge(np.asarray(pipe(text, **options).images[0])))
    shares = accuracy(answers)
    return {
        "prompts": len(judged),
        "attribute_accuracy": shares["all_attributes"],
        "prompt_accuracy": shares["whole_prompt"],
    }


def export_preset(arguments: Arguments) -> None:
    """Export a preset."""
    from sdrt_export.cli.run_export import run_export
    from sdrt_export.export_options import ExportOptions

    path = Path(arguments["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    name, is_random = arguments["preset"], arguments["random"]
    options = ExportOptions(
        random=name if is_random else None,
        preset=None if is_random else name,
        precision=arguments["precision"],
        quiet=arguments["quiet"],
    )
    run_export([path], options)


SIDE_JOBS: dict[str, Callable[[Arguments], Any]] = {
    "check": check_cells,
    "peaks": measure_peaks,
    "sqnr": measure_sqnr,
    "accuracy": measure_accuracy,
    "export": export_preset,
}

if __name__ == "__main__":
    main()
