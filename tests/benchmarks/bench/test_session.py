"""From cells to a record: rounds in turn, rows that fail, what is kept when it ends early."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import Artifact
from sdrt.errors import SdrtError, UnsupportedError, UsageError
from sdrt_bench.bench.cells import Models
from sdrt_bench.bench.record import Params, Record, read_record
from sdrt_bench.bench.round_protocol import RoundCommand
from sdrt_bench.bench.runner import error_class, rounds, run_side_job
from sdrt_bench.bench.session import Session, SessionSettings

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
# Stands for a tool: notes that it was called, and leaves a result or does not.
TOOL = """
import json, sys, pathlib
spec = json.loads(sys.stdin.read())
log = pathlib.Path(sys.argv[1])
log.open("a").write(spec["params"]["precision"] + " ")
count = len(log.read_text().split())
mode = spec["options"]["modes"].get(spec["params"]["precision"], "")
if mode == "crash":
    sys.exit("the tool's last words")
if mode == "refuse":
    outcome = {"error": "no such thing", "kind": "UnsupportedError"}
elif mode == "large":
    outcome = {"error": "needs 99 GB", "kind": "OutOfMemoryError"}
else:
    outcome = {
        "round": {"step_s": [9, count, count], "image_s": 4, "steps_run": spec["measure"]},
        "precision": {"requested": "x", "stored": "x", "executed": "x", "shares": {"x": 1}},
    }
pathlib.Path(spec["result"]).write_text(json.dumps(outcome))
"""
SETTINGS = SessionSettings(peak_seconds=0, with_fidelity=False)


class Tool:
    """A runner of cells whose precisions fail as the test needs it."""

    def __init__(self, log: Path, **modes: str) -> None:
        self.log, self.modes = log, modes

    def command(self, params: Params) -> RoundCommand:
        if self.modes.get(params.precision) == "missing":
            raise UnsupportedError("cannot be installed")
        return RoundCommand(
            [sys.executable, "-c", TOOL, str(self.log)], None, {"modes": self.modes}
        )


def params(precision: str, **fields: Any) -> Params:
    given = {"model": "demo", "tool": "peer", "backend": "torch", "precision": precision}
    size = {"width": 64, "height": 64, "threads": 1}
    return Params.model_validate({**given, **size, **fields})


def session(
    demo: Artifact,
    folder: Path,
    tool: Tool,
    precisions: Sequence[str] = ("a", "b", "c"),
    resumed: Record | None = None,
    repeat: int = 2,
    redo_noisy: bool = False,
) -> Session:
    return Session.prepare(
        Models.from_artifacts([demo]),
        [params(precision) for precision in precisions],
        folder / "record.json",
        replace(SETTINGS, repeat=repeat, redo_noisy=redo_noisy),
        resumed,
        {"peer": tool},
    )


def test_cells_take_turns_and_the_record_holds_every_sample(demo: Artifact, tmp_path: Path) -> None:
    tool = Tool(tmp_path / "log")
    record = session(demo, tmp_path, tool).run()
    assert tool.log.read_text().split() == ["a", "b", "c"] * 2
    first = record.benchmarks[0]
    assert [measured.step_s for measured in first.rounds] == [(9, 1, 1), (9, 4, 4)]
    assert first.stats is not None
    assert first.stats.data == (1, 1, 4, 4)
    assert first.images_per_hour == 900
    assert read_record(tmp_path / "record.json") == record


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        ("crash", "failed", "ended with code 1 and no result: the tool's last words"),
        ("refuse", "failed", "no such thing"),
        ("missing", "failed", "cannot be installed"),
        ("large", "skipped", "needs 99 GB"),
    ],
)
def test_a_peer_that_fails_is_a_row_and_does_not_stop_the_rest(
    demo: Artifact, tmp_path: Path, mode: str, status: str, words: str
) -> None:
    tool = Tool(tmp_path / "log", b=mode)
    work = session(demo, tmp_path, tool)
    record = work.run()
    assert [cell.status for cell in record.benchmarks] == ["ok", status, "ok"]
    assert words in (record.benchmarks[1].error or "")
    assert [len(cell.rounds) for cell in record.benchmarks] == [2, 0, 2]
    assert tool.log.read_text().split().count("b") <= 1  # not tried again
    work.raise_failure()  # peers' failures are no error of ours


def test_a_failed_cell_of_ours_is_an_error_with_its_own_exit_code(
    demo: Artifact, tmp_path: Path
) -> None:
    work = session(demo, tmp_path, Tool(tmp_path / "log"))
    failed = work.file.cells[0].model_copy(
        update={
            "status": "failed",
            "error": "the cell: executed fp32",
            "error_kind": "UnsupportedError",
            "params": params("a", tool="sdrt"),
        }
    )
    work.file.change(benchmarks=(failed,))
    with pytest.raises(UnsupportedError, match="the cell: executed fp32"):
        work.raise_failure()


def test_what_is_finished_is_kept_and_gone_on_with(
    demo: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, calls = Tool(tmp_path / "log"), []

    def interrupted(*arguments: Any) -> Any:
        for outcome in rounds(*arguments):
            yield outcome
            calls.append(outcome)
            if len(calls) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr("sdrt_bench.bench.session.rounds", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session(demo, tmp_path, tool).run()
    kept = read_record(tmp_path / "record.json")
    assert [len(cell.rounds) for cell in kept.benchmarks] == [2, 1, 1]
    monkeypatch.setattr("sdrt_bench.bench.session.rounds", rounds)
    record = session(demo, tmp_path, tool, resumed=kept).run()
    assert tool.log.read_text().split() == ["a", "b", "c"] * 2
    assert [len(cell.rounds) for cell in record.benchmarks] == [2, 2, 2]
    assert record.benchmarks[0].rounds == kept.benchmarks[0].rounds
    assert record.datetime == kept.datetime


def test_what_failed_is_tried_again(demo: Artifact, tmp_path: Path) -> None:
    record = session(demo, tmp_path, Tool(tmp_path / "log", b="refuse")).run()
    again = session(demo, tmp_path, Tool(tmp_path / "again"), resumed=record).run()
    assert (tmp_path / "again").read_text().split() == ["b", "b"]
    assert [cell.status for cell in again.benchmarks] == ["ok"] * 3


@pytest.mark.parametrize(("redo_noisy", "measured"), [(False, []), (True, ["b", "b"])])
def test_what_was_noisy_is_measured_anew_where_that_is_asked_for(
    demo: Artifact, tmp_path: Path, redo_noisy: bool, measured: list[str]
) -> None:
    record = session(demo, tmp_path, Tool(tmp_path / "log")).run()
    quiet, *others = (cell.model_copy(update={"timing_warnings": ()}) for cell in record.benchmarks)
    noisy = others[0].model_copy(update={"timing_warnings": ("others took 9 %",)})
    record = record.model_copy(update={"benchmarks": (quiet, noisy, others[1])})
    tool = Tool(tmp_path / "again")
    again = session(demo, tmp_path, tool, resumed=record, redo_noisy=redo_noisy).run()
    assert (tool.log.read_text().split() if tool.log.exists() else []) == measured
    assert [len(cell.rounds) for cell in again.benchmarks] == [2, 2, 2]


def test_another_machines_record_is_not_gone_on_with(demo: Artifact, tmp_path: Path) -> None:
    record = session(demo, tmp_path, Tool(tmp_path / "log"), ["a"], repeat=1).run()
    machine = record.machine_info.model_copy(update={"processor": "Z80"})
    other = record.model_copy(update={"machine_info": machine})
    with pytest.raises(UsageError, match="of another machine .Z80; this one is"):
        session(demo, tmp_path, Tool(tmp_path / "log"), resumed=other)
    older = record.model_copy(update={"version": "0.0.1"})
    with pytest.raises(UsageError, match="of another release of sdrt .0.0.1"):
        session(demo, tmp_path, Tool(tmp_path / "log"), resumed=older)


def test_a_side_job_raises_what_it_raised(demo: Artifact) -> None:
    fields = params("bf16", tool="sdrt", backend="onnxruntime", sampler="ddim").model_dump()
    arguments = {"artifact": str(demo.root), "cells": [fields], "ignore_memory": False}
    with pytest.raises(UnsupportedError, match="onnxruntime bf16 demo 64x64 .* executes fp32"):
        run_side_job("check", arguments)


def test_errors_are_found_by_their_names() -> None:
    assert error_class("UsageError") is UsageError
    assert error_class("MissingExtraError") is UnsupportedError
    assert error_class("os") is SdrtError
    assert error_class("") is SdrtError


def test_records_of_schema_1_are_read_under_the_present_names(tmp_path: Path) -> None:
    path = RESULTS / "sd15.json"
    old = json.loads(path.read_text())
    assert old["schema"] == 1
    record = read_record(path)
    assert len(record.benchmarks) == len(old["benchmarks"])
    for cell, before in zip(record.benchmarks, old["benchmarks"], strict=True):
        compute = cell.compute.model_dump() if cell.compute else None
        assert compute == before["work"]
        assert list(cell.timing_warnings) == before["noisy"]
        assert cell.image == before["picture"]
        assert [measured.system_load.other_processes_share for measured in cell.rounds] == [
            measured["noise"]["other_share"] for measured in before["rounds"]
        ]
        if cell.fidelity:
            assert cell.fidelity.attribute_accuracy == before["fidelity"]["attributes_right"]
            assert cell.fidelity.prompt_accuracy == before["fidelity"]["prompts_right"]
    new = tmp_path / "record.json"
    new.write_text(record.to_json())
    assert json.loads(new.read_text())["schema"] == 2
    assert read_record(new) == record
    (fit, *_) = read_record(RESULTS / "sd15-sizes.json").scaling
    assert fit.axis == "size"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"schema": 3}, "has schema 3, this sdrt reads schemas 1 and 2"),
        ([], "has schema None"),
        ({"schema": 1, "benchmarks": 5, "version": "1", "datetime": ""}, "benchmarks"),
        ({"schema": 2, "growth": []}, "growth"),
    ],
)
def test_other_files_are_no_records(data: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=words):
        read_record(path)


def test_the_schema_is_one_of_json(demo: Artifact, tmp_path: Path) -> None:
    schema = Record.model_json_schema(by_alias=True)
    assert {"machine_info", "commit_info", "benchmarks", "datetime", "version"} <= set(
        schema["properties"]
    )
    json.dumps(schema)
