"""Side jobs, each in a process of its own: `python -m sdrt_bench.bench.side_jobs NAME`.

Checks, counting, the machine's peaks, fidelity. It reads its arguments as JSON from standard input
and writes `{"value": ...}` or a `Failure` to the file that the arguments name.
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
from sdrt_bench.bench.worker import open_asked, options_of
from sdrt_bench.compare.run import KEPT
from sdrt_bench.precision_check import check_executed

SQNR_TIMESTEPS = (21.0, 500.0, 901.0)
NOT_FOR_PICTURES = "vae_encoder"

Arguments = Mapping[str, Any]


def main() -> None:
    """Do what the command line names."""
    arguments = json.loads(sys.stdin.read())
    try:
        outcome: dict[str, Any] = {"value": ASIDES[sys.argv[1]](arguments)}
    except SdrtError as error:
        outcome = {"error": str(error), "kind": type(error).__name__}
    with whole_file(Path(arguments["result"])) as target:
        target.write_text(json.dumps(outcome), encoding="utf-8")


def check_cells(arguments: Arguments) -> dict[str, Any]:
    """Does the engine execute what it is asked, and is there memory? How much is there to do?"""
    artifact = open_artifact(arguments["artifact"])
    cells = [Params.model_validate(one) for one in arguments["cells"]]
    backend = open_asked(cells[0])
    check_executed(cell_name(cells[0]), artifact, backend)
    return {
        "skipped": {} if arguments["ignore_memory"] else too_large(artifact, backend, cells),
        "macs": count(artifact, cells) if is_installed("openvino") else {},
    }


def too_large(artifact: Artifact, backend: Backend, cells: list[Params]) -> dict[str, str]:
    """Why there is not enough memory for a cell, by its name; only those that it is so for."""
    pipe, reasons = Pipeline(artifact, backend), {}
    for params in cells:
        try:
            _ = pipe.start(params.prompt, **options_of(params)).plan
        except OutOfMemoryError as error:
            reasons[cell_name(params)] = str(error)
    return reasons


def count(artifact: Artifact, cells: list[Params]) -> dict[str, tuple[int, int]]:
    """Multiply-adds of a step by the cell's name, and those of attention among them."""
    from sdrt_bench.bench.macs import step_macs

    counted: dict[tuple[object, ...], tuple[int, int]] = {}
    found = {}
    for one in cells:
        key = one.width, one.height, one.batch, one.guidance, one.sampler
        if key not in counted:
            counted[key] = step_macs(artifact, one)
        found[cell_name(one)] = counted[key]
    return found


def measure_peaks(arguments: Arguments) -> list[dict[str, Any]]:
    """The roofline."""
    from sdrt_bench.bench.machine_peaks import peaks

    found = peaks(
        arguments["backends"],
        arguments["precisions"],
        arguments["threads"],
        arguments["seconds"],
    )
    return [peak.model_dump() for peak in found]


def measure_sqnr(arguments: Arguments) -> dict[str, float | None]:
    """Signal to error of each network that makes pictures; None where it is equal."""
    from sdrt.diagnostics.fidelity import compare_with

    params = Params.model_validate(arguments["params"])
    comparison = compare_with(
        open_artifact(arguments["artifact"]),
        open_asked(params),
        SQNR_TIMESTEPS,
        against=arguments["against"],
    )
    return {
        name: round(graph.snr_db, 1) if math.isfinite(graph.snr_db) else None
        for name, graph in comparison.measure().graphs.items()
        if name != NOT_FOR_PICTURES
    }


def measure_accuracy(arguments: Arguments) -> list[dict[str, Any] | None]:
    """Of pictures whose right answer is known, what is painted as the prompts say: by the cell.

    None where the answer is not known, or the engine fails. All cells in one process: what the
    checker knows of objects takes longer to work out than the pictures.
    """
    found: list[dict[str, Any] | None] = []
    for one in arguments["cells"]:
        artifact, params = open_artifact(one["artifact"]), Params.model_validate(one["params"])
        try:
            found.append(_accuracy(artifact, params, arguments["prompts"]))
        except NonFiniteError:
            found.append(None)
    return found


def _accuracy(artifact: Artifact, params: Params, count: int) -> dict[str, Any] | None:
    from sdrt_bench.prompts import choose_prompts

    prompts = choose_prompts(str(count), [artifact.manifest], params.width, params.height)
    judged = [(one.text, one.judge) for one in prompts if one.judge]
    if not judged:
        return None
    import numpy as np

    from sdrt_bench.scenes.checker import accuracy

    pipe = Pipeline(artifact, open_asked(params), KEPT)
    options = options_of(params.model_copy(update={"batch": 1}))
    answers = []
    for number, (text, judge) in enumerate(judged):
        options["seed"] = params.seed + number
        answers.append(judge(np.asarray(pipe(text, **options).images[0])))
    return {"prompts": len(judged), **accuracy(answers)}


def export_preset(arguments: Arguments) -> None:
    """Make an export of a preset."""
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


ASIDES: dict[str, Callable[[Arguments], Any]] = {
    "check": check_cells,
    "peaks": measure_peaks,
    "sqnr": measure_sqnr,
    "accuracy": measure_accuracy,
    "export": export_preset,
}

if __name__ == "__main__":
    main()
