"""`sdrt tune` from outside."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sdrt.artifact import open_artifact
from sdrt.errors import SdrtError, UsageError, WriteError
from sdrt.pipeline import load
from sdrt_bench.output_folder import check_folder
from sdrt_bench.tune import run
from sdrt_bench.tune.chart import FILES
from sdrt_bench.tune.cli import tune
from sdrt_bench.tune.space import Space
from tests.benchmarks.tune.models import SPACE

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_search_in_one_line(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real engine: few settings, and converged pictures of few steps."""
    spacing = open_artifact(tiny_path).manifest.schedule.spacing
    few = replace(
        SPACE, spacing=spacing, is_guided=False, samplers=("dpm++2m",), schedulers=("default",)
    )
    monkeypatch.setattr(Space, "of", lambda *_: few)
    monkeypatch.setattr("sdrt_bench.tune.painting.REFERENCE_STEPS", 8)
    monkeypatch.setattr("sdrt_bench.tune.costs.ENOUGH_S", 0.0)
    monkeypatch.setattr(run, "ROUNDS", 1)
    out, model = tmp_path / "out", Path(shutil.copytree(tiny_path, tmp_path / "model"))
    arguments = [
        *(
            str(model),
            "--save",
            "--backend",
            "onnxruntime",
            "--precision",
            "fp32",
            "--prompts",
            "1",
        ),
        *("--size", "64x64", "--output", str(out), "--budget", "5", "--json"),
    ]
    done = CliRunner().invoke(tune, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert (record["prompts"], record["identity"]["executed_precision"]) == (1, "fp32")
    assert record["identity"]["reference"] == "8 steps of dpm++2m in fp32"
    assert record["front"]
    files = [out / "frontier.png", out / "frontier.svg", model / "speed.json"]
    assert record["files"] == [str(path) for path in files]
    tuned = open_artifact(model).tuned_speed()
    assert tuned.warning is None
    assert tuned.presets.keys() == {"balanced", "fast"}
    request = load(model).start("", speed="fast").request
    assert request.num_inference_steps == tuned.presets["fast"].num_inference_steps
    assert {path.name for path in out.iterdir()} == {
        *("record.json", "references", "frontier.png", "frontier.svg")
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 3, "there is no folder nowhere"),
        (["--time-model", "nowhere"], 3, "there is no folder nowhere"),
        (["--budget", "0"], 2, "--budget is 0; expected minutes, more than 0"),
        (["--budget", "-3"], 2, "--budget is -3"),
        (["--budget", "nan"], 2, "--budget is nan"),
        (["--budget", "inf"], 2, "--budget is inf"),
        (["--prompts", "0"], 2, "number of prompts is 0"),
        (["--prompts", "none.txt"], 2, "cannot read none.txt: No such file"),
        (["--size", "65x64"], 2, "width is 65"),
        (["--seed", "-1"], 2, "seed is -1"),
        (["--cfg-scale", "nan"], 2, "guidance scale is nan"),
        (["--precision", "fp7"], 2, "unknown precision 'fp7'"),
        (["--output", "a/b"], 2, "cannot make the folder a/b: there is no folder"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SdrtError) as refused:
        tune.main(["--prompts", "4", *arguments], standalone_mode=False)
    assert refused.value.exit_code == code
    assert words in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["record.json", "frontier.png", "frontier.svg"])
def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SdrtError, match="there is a folder of that name"):
        tune.main(["--output", str(tmp_path)], standalone_mode=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_model_folder_that_cannot_be_written_is_refused_before_the_work(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writable = os.access
    monkeypatch.setattr("os.access", lambda path, mode: path != tiny_path and writable(path, mode))
    arguments = [str(tiny_path), "--save", "--output", str(tmp_path / "out")]
    with pytest.raises(WriteError, match="cannot write .*speed.json: Permission denied"):
        tune.main(arguments, standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="it is no folder"):
        tune.main(["--output", str(tmp_path / "file")], standalone_mode=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(WriteError, match="Permission denied"):
            check_folder(folder, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
