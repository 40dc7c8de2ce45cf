"""The command line of `sdrt-host`: its answers, exit codes and messages are those of `sdrt`."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

import sdrt
from sdrt.artifact import Artifact
from sdrt.cli.main import main
from tests.cpp.commands import Run


def test_info_is_python_s(
    run: Run, demo: Artifact, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("info", demo.root, "--json")
    assert _python(["info", str(demo.root), "--json"], monkeypatch) == done.returncode == 0
    assert json.loads(done.stdout) == json.loads(capsys.readouterr().out)
    assert "model: demo (sd1)" in run("info", demo.root).stdout


def test_help_and_version(run: Run) -> None:
    assert run("--version").stdout.startswith(f"sdrt-host, version {sdrt.__version__}, with ")
    for words in (["--help"], ["generate", "--help"], ["info", "-h"], ["check", "x", "--help"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: sdrt-host")


def test_ctrl_c_ends_a_run_within_a_step(host_build: Path, demo: Artifact, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [host_build / "sdrt-host", "generate", "x", "-m", demo.root, "--steps", "1000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "sdrt-host: interrupted\n"
    assert list(tmp_path.iterdir()) == []


BAD: dict[str, list[str]] = {
    "no prompt": ["generate"],
    "two prompts": ["generate", "a", "b"],
    "unknown command": ["draw", "x"],
    "unknown option": ["generate", "x", "--nonsense"],
    "option without its value": ["generate", "x", "--steps"],
    "value of a flag": ["generate", "x", "--quiet=1"],
    "steps that are no number": ["generate", "x", "--steps", "many"],
    "steps that are broken": ["generate", "x", "--steps", "2.5"],
    "no steps": ["generate", "x", "--steps", "0"],
    "too many steps": ["generate", "x", "--steps", "1001"],
    "enormous number": ["generate", "x", "--steps", "99999999999999999999"],
    "negative width": ["generate", "x", "--width", "-8"],
    "width between two": ["generate", "x", "--width", "100"],
    "enormous width": ["generate", "x", "--width", "8192"],
    "size that is none": ["generate", "x", "--size", "64"],
    "size with more": ["generate", "x", "--size", "64x64x64"],
    "size with a sign": ["generate", "x", "--size", "-64x64"],
    "size and width": ["generate", "x", "--size", "64x64", "--width", "64"],
    "negative guidance": ["generate", "x", "--cfg-scale", "-1"],
    "infinite guidance": ["generate", "x", "--cfg-scale", "inf"],
    "guidance that is no number": ["generate", "x", "--cfg-scale", "nan"],
    "rescale above one": ["generate", "x", "--guidance-rescale", "1.5"],
    "guidance from behind": ["generate", "x", "--guidance-start", "0.9", "--guidance-end", "0.1"],
    "unknown sampler": ["generate", "x", "--sampler", "euler_b"],
    "unknown scheduler": ["generate", "x", "--scheduler", "linear"],
    "two schedulers": ["generate", "x", "--sampler", "dpm++2m karras", "--scheduler", "default"],
    "unknown spacing": ["generate", "x", "--spacing", "wide"],
    "negative seed": ["generate", "x", "--seed", "-2"],
    "seed beyond all": ["generate", "x", "--seed", "9223372036854775808"],
    "no pictures": ["generate", "x", "--batch-count", "0"],
    "too many pictures": ["generate", "x", "--batch-count", "65"],
    "seeds beyond all": ["generate", "x", "--seed", "9223372036854775807", "--batch-count", "2"],
    "layer zero": ["generate", "x", "--clip-skip", "0"],
    "layer beyond all": ["generate", "x", "--clip-skip", "99"],
    "unknown backend": ["generate", "x", "--backend", "tensorrt"],
    "unknown device": ["generate", "x", "--backend", "openvino", "--device", "QPU"],
    "device of the other": ["generate", "x", "--backend", "onnxruntime", "--device", "GPU"],
    "unknown precision": ["generate", "x", "--precision", "fp8"],
    "no threads": ["generate", "x", "--threads", "0"],
    "other suffix": ["generate", "x", "-o", "x.jpg"],
    "no suffix": ["generate", "x", "-o", "x"],
    "missing folder": ["generate", "x", "-o", "nowhere/x.png"],
    "folder as file": ["generate", "x", "-o", "folder.png"],
    "no model there": ["generate", "x", "-m", "nowhere"],
    "file as model": ["generate", "x", "-m", "file.safetensors"],
    "empty model": ["generate", "x", "-m", "folder.png"],
    "info of nothing": ["info", "nowhere"],
    "info of a folder": ["info", "folder.png"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_the_same_exit_code(
    run: Run,
    demo: Artifact,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.safetensors").touch()
    words = BAD[name]
    is_generate = words[0] == "generate" and "-m" not in words
    words = [*words, *(["-m", str(demo.root)] if is_generate else []), *_quick(words)]
    monkeypatch.chdir(tmp_path)
    expected = _python(words, monkeypatch)
    done = run(*words, cwd=tmp_path)
    python_says = capfd.readouterr().err
    assert done.returncode == expected != 0, f"{done.stderr}\nPython: {python_says}"
    assert done.stderr.startswith("sdrt-host: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.safetensors", "folder.png"]


def test_errors_as_json(run: Run, demo: Artifact) -> None:
    done = run("generate", "x", "-m", demo.root, "--steps", "0", "--json")
    error = json.loads(done.stderr)["error"]
    assert (error["type"], error["exit_code"]) == ("UsageError", 2)
    assert error["message"] == "steps is 0; expected a whole number from 1 to 1000"


def _quick(words: list[str]) -> list[str]:
    """Options that end a run soon, should a bad input be taken for a good one."""
    return ["--steps", "1"] if words[0] == "generate" and "--steps" not in words else []


def _python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["sdrt", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
