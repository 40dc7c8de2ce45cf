"""`sdrt compare` from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sdrt.errors import SdrtError, UsageError
from sdrt_bench.compare.cli import compare, split_pair

ROOT = Path(__file__).parents[3]
# The installed package offers the command by its entry point; a bare checkout has none.
CODE = (
    "from sdrt.cli.main import cli, main\n"
    "from sdrt_bench.compare.cli import compare\n"
    "cli.add_command(compare)\n"
    "main()\n"
)
FAST = ("--steps", 2, "--size", "64x64", "--prompts", 2)


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    roots = ("runtime", "export", "benchmarks")
    return subprocess.run(
        [sys.executable, "-c", CODE, "compare", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in roots)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_two_engines_in_one_line(tmp_path: Path) -> None:
    done = run(*FAST, "--backend", "openvino,onnxruntime", "--precision", "fp32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "A: demo, stored in bf16, executed in fp32 on openvino"
    assert lines[1] == "B: demo, stored in bf16, executed in fp32 on onnxruntime"
    assert lines[2].startswith("2 prompts and seeds, 0 to 1; 64x64, 2 steps of dpm++2m, guidance 4")
    assert lines[4].split() == [*("B", "against", "A"), *("min", "p10", "median", "p90", "max")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_figure_and_both_pictures(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red boat\na dog\na cat\n")
    done = run(
        *("demo", "demo", "--prompts", "p.txt", "--steps", 3, "--size", "64x96", "--json"),
        *("--backend", "openvino,onnxruntime", "--precision", "fp32", "-s", 4, "--out", "out"),
        cwd=tmp_path,
    )
    record = json.loads(done.stdout)
    assert [pair["prompt"] for pair in record["pairs"]] == ["a red boat", "a dog", "a cat"]
    assert [pair["seed"] for pair in record["pairs"]] == [4, 5, 6]
    assert all(len(pair["latent_psnr_db"]) == 3 for pair in record["pairs"])
    assert all(0.99 < pair["ssim"] <= 1 for pair in record["pairs"])
    assert record["accuracy"] is None
    assert record["files"] == ["out/side-by-side.png", "out/psnr-over-steps.png"]
    with Image.open(tmp_path / "out" / "side-by-side.png") as sheet:
        assert sheet.width == 4 * 68 - 4
    quiet = run(*FAST, "--backend", "onnxruntime", "-q", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (None, None)),
        ("fp32", ("fp32", "fp32")),
        ("fp32,bf16", ("fp32", "bf16")),
        ("fp32,", ("fp32", None)),
        (",bf16", (None, "bf16")),
    ],
)
def test_one_value_is_for_both_and_two_for_each(
    text: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert split_pair("precision", text) == expected


def test_three_values_are_too_many() -> None:
    with pytest.raises(UsageError, match="--precision is 'fp32,bf16,int8'; expected one value"):
        split_pair("precision", "fp32,bf16,int8")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 3, ["there is no folder nowhere"]),
        (["demo", "nowhere"], 3, ["there is no folder nowhere"]),
        (["demo", "."], 3, ["is an empty folder"]),
        (["--backend", "openvino,tpu"], 2, ["unknown backend 'tpu'"]),
        (["--precision", "fp32,fp7"], 2, ["unknown precision 'fp7'"]),
        (["--backend", "onnxruntime", "--precision", "fp32,bf16"], 9, ["B: onnxruntime was asked"]),
        (["--prompts", "none.txt"], 2, ["cannot read none.txt: No such file"]),
        (["--prompts", "0"], 2, ["number of prompts is 0"]),
        (["--prompts", "-1"], 2, ["cannot read -1: No such file"]),
        (["--size", "65x64"], 2, ["width is 65"]),
        (["--steps", "0"], 2, ["steps is 0"]),
        (["--seed", "-1"], 2, ["seed is -1"]),
        (["--sampler", "eular"], 2, ["did you mean 'euler'"]),
        (["--out", "a/b"], 2, ["cannot make the folder a/b: there is no folder"]),
    ],
)
def test_a_wrong_argument_is_refused_before_the_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SdrtError) as refused:
        compare.main(["--steps", "50", "--prompts", "20", *arguments], standalone_mode=False)
    assert refused.value.exit_code == code
    assert all(word in str(refused.value) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_sentence_and_an_exit_code(tmp_path: Path) -> None:
    done = run("demo", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("sdrt: there is no folder nowhere")
    assert "Traceback" not in done.stderr
