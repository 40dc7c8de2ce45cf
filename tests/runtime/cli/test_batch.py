"""`sdrt batch` from outside."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.runtime.cli.command_line import ENVIRONMENT, assert_fails, run_here

FEW = ("--set", "steps=2", "--set", "size=64x64", "--backend", "onnxruntime")


def test_pictures_of_a_file_and_then_nothing_more_to_do(
    tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "jobs.csv").write_text("id,prompt,seed\na,a boat,3\nb,a tree,\n")
    command = ("batch", "jobs.csv", "out", "-m", tiny_exports["fp32"], *FEW, "--name", "{id}")
    done = run_here(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "2 done; see out/report.html\n"), done.stderr
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.size == (64, 64)
    again = run_here(*command, "--json", cwd=tmp_path)
    said = json.loads(again.stdout)
    assert (said["made_before"], said["left"], said["reports"]) == (
        2,
        0,
        ["out/sheet.png", "out/report.html"],
    )


def test_a_row_that_fails_is_said_and_is_the_exit_code(
    tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    jobs = [{"prompt": "x", "sampler": "nope"}, {"prompt": "y"}]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    command = ("batch", "jobs.jsonl", "out", "-m", tiny_exports["fp32"], *FEW)
    done = run_here(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "line 1: unknown sampler 'nope'" in done.stderr
    assert "1 of 2 rows failed; out/results.jsonl says why" in done.stderr
    assert done.stdout == "1 failed, 1 done; see out/report.html\n"
    fast = run_here(*command, "--fail-fast", cwd=tmp_path)
    assert fast.stdout == "1 failed, 1 there before; see out/report.html\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.txt", "out"], 2, ["cannot read nowhere.txt"]),
        (["jobs.txt", "nowhere/out"], 2, ["there is no folder"]),
        (["jobs.txt", "jobs.txt"], 2, ["jobs.txt is no folder"]),
        (["jobs.txt", "out", "--shard", "4/3"], 2, ["--shard is '4/3'; expected for example 3/8"]),
        (["jobs.txt", "out", "--set", "stepz=2"], 2, ["unknown option 'stepz'", "did you mean"]),
        (["jobs.txt", "out", "-m", "nowhere"], 3, ["nowhere"]),
        (["jobs.txt", "out", "--name", "x"], 2, ["two rows would both write x.png"]),
        (["jobs.txt", "out", "--threads", "0"], 2, ["threads is 0"]),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_picture(
    tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    (tmp_path / "jobs.txt").write_text("a boat\na tree\n")
    assert_fails(run_here("batch", *arguments, cwd=tmp_path), code, *words)
    assert not list(tmp_path.glob("**/*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_after_the_row_and_twice_at_once(
    tiny_exports: dict[str, Path], tmp_path: Path, times: int
) -> None:
    (tmp_path / "jobs.txt").write_text("a boat\n" * 50)
    steps = ("--set", "steps=100", "--set", "size=256x256", "--backend", "onnxruntime")
    line = [sys.executable, "-m", "sdrt", "batch", "jobs.txt", "out"]
    line += ["-m", str(tiny_exports["fp32"]), *steps]
    process = subprocess.Popen(
        line, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    results = tmp_path / "out" / "results.jsonl"
    end = time.monotonic() + 60
    while not (results.is_file() and results.stat().st_size):
        assert time.monotonic() < end
    for _ in range(times):
        time.sleep(0.1)  # in the second row
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"stopping after this row" in err
    records = [json.loads(each) for each in results.read_text().splitlines()]
    assert 1 <= len(records) < 50
    assert f"{50 - len(records)} left".encode() in out
    assert len(list((tmp_path / "out").glob("0*.png"))) == len(records)
    assert not list((tmp_path / "out").glob(".*"))
