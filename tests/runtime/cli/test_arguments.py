"""Wrong arguments: one sentence, an exit code, and never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.cli.command_line import ENVIRONMENT, ROOT, assert_fails, run, run_here

PREVIEW = ["generate", "x", "--preview", "proj", "--preview-path"]
STYLES = str(ROOT / "runtime" / "sdrt" / "text" / "styles.json")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate"], 2, ["Missing argument 'PROMPT'"]),
        (["paint"], 2, ["No such command 'paint'"]),
        (["generate", "x", "--wdith", "64"], 2, ["No such option"]),
        (["generate", "x", "-W", "65"], 2, ["width is 65", "multiple of 8"]),
        (["generate", "x", "--size", "64"], 2, ["is not a size; expected for example 512x768"]),
        (["generate", "x", "--size", "64x64", "-W", "64"], 2, ["give one of them"]),
        (["generate", "x", "--steps", "-4"], 2, ["steps is -4"]),
        (["generate", "x", "--steps", "many"], 2, ["is not a valid integer"]),
        (["generate", "x", "--cfg-scale", "nan"], 2, ["guidance scale is nan"]),
        (["generate", "x", "--sampler", "eular"], 2, ["did you mean 'euler'"]),
        (["generate", "x", "--sampler", "ddim", "-O", "eta=2"], 2, ["eta of ddim is 2"]),
        (["generate", "x", "-O", "eta"], 2, ["'eta' is no option of a sampler"]),
        (["generate", "x", "--scheduler-config", "no.json"], 2, ["there is no file no.json"]),
        (["generate", "x", "--scheduler-config", STYLES], 2, ["no scheduler_config.json"]),
        (["generate", "x", "-s", "-7"], 2, ["seed is -7"]),
        (["generate", "x", "--clip-skip", "0"], 2, ["clip_skip is 0"]),
        (["generate", "x", "--style", "anima"], 2, ["unknown style", "did you mean 'anime'"]),
        (["generate", "x", "--style", "anime", "--styles", "none"], 2, ["cannot read none"]),
        (["generate", "x", "--styles", STYLES], 2, ["without --style; name one of: cinematic"]),
        (["styles", "none"], 2, ["cannot read none"]),
        (["generate", "x", "-b", "0"], 2, ["number of images is 0"]),
        (["generate", "x", "--backend", "tpu"], 2, ["known: openvino, onnxruntime"]),
        (["generate", "x", "--precision", "fp7"], 2, ["known: fp32, bf16, int8"]),
        (["generate", "x", "--threads", "0"], 2, ["threads is 0"]),
        (["generate", "x", "--device", "TPU"], 9, ["finds no device 'TPU'"]),
        (["generate", "x", "-o", "x.jpg"], 2, ["pictures are written as .png"]),
        (["generate", "x", "-o", "none/x.png"], 2, ["there is no folder none"]),
        (["generate", "x", "--grid", "x.jpg"], 2, ["pictures are written as .png"]),
        (["generate", "x", "--grid", "none/x.png"], 2, ["there is no folder none"]),
        (["generate", "x", "--grid", ""], 2, ["pictures are written as .png"]),
        (["generate", "x", "--trajectory", "x.jpg"], 2, ["pictures are written as .png"]),
        (["generate", "x", "--trajectory", "none/x.png"], 2, ["there is no folder none"]),
        (["generate", "x", "--preview", "raw"], 2, ["'raw' is not one of 'proj', 'tae', 'vae'"]),
        (["generate", "x", "--preview", "tae"], 9, ["no tiny decoder; export it again with"]),
        (["generate", "x", "--preview-interval", "2"], 2, ["add --preview proj"]),
        (["generate", "x", "--preview-path", "p.png"], 2, ["add --preview proj"]),
        ([*PREVIEW, "p.jpg"], 2, ["pictures are written as .png"]),
        ([*PREVIEW, "none/p.png"], 2, ["there is no folder none"]),
        ([*PREVIEW, ""], 2, ["pictures are written as .png"]),
        ([*PREVIEW, "p.png", "--preview-interval", "0"], 2, ["0 is not in the range x>=1"]),
        ([*PREVIEW, "p.png", "-o", "p.png"], 2, ["2 pictures would be written to"]),
        (
            [*PREVIEW, "p-%d.png", "-o", "p.png", "-b", "3"],
            2,
            ["2 pictures would be written to", "p-1.png"],
        ),
        (
            ["generate", "x", "-b", "2", "-o", "x.png", "--grid", "x-2.png"],
            2,
            ["2 pictures would be written to", "give each its own name"],
        ),
        (["generate", "x", "-m", "nowhere"], 3, ["there is no folder nowhere"]),
        (["generate", "x", "-m", "."], 3, ["is an empty folder"]),
        (["info", "nowhere"], 3, ["there is no folder nowhere"]),
        (["verify", "--timesteps", ""], 2, ["expected numbers such as 1,500,981.5"]),
        (["verify", "--timesteps", "1000"], 2, ["1000", "from 0 to 999"]),
        (["verify", "--size", "100x100"], 2, ["multiple of 8"]),
        (["verify", "--backend", "tensorrt"], 2, ["known: openvino"]),
        (["verify", "--against", "nowhere"], 3, ["there is no folder nowhere"]),
        (["verify", "nowhere"], 3, ["there is no folder nowhere"]),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    assert_fails(run_here(*arguments, cwd=tmp_path), code, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_argument_ends_a_process_of_its_own_in_the_same_way(tmp_path: Path) -> None:
    assert_fails(run("generate", "x", "-W", "65", cwd=tmp_path), 2, "width is 65", "multiple of 8")


def test_errors_as_json(tmp_path: Path) -> None:
    done = run("generate", "x", "-m", "nowhere", "--json", cwd=tmp_path)
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["type"], error["exit_code"]) == (3, "ArtifactError", 3)


def test_a_traceback_only_for_those_who_ask(tmp_path: Path) -> None:
    done = run("--debug", "generate", "x", "-m", "nowhere", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert "ArtifactError" in done.stderr


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    assert_fails(run("info", "x.png", cwd=tmp_path), 2, "is no readable PNG")


def test_help_is_light() -> None:
    """`--help` must not pay for numpy, pydantic, an engine or torch."""
    code = (
        "import sys; sys.argv = ['sdrt', '--help']\n"
        "from sdrt.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert "Commands:" in done.stdout
    for heavy in ("numpy", "pydantic", "PIL", "onnxruntime", "openvino", "tokenizers", "torch"):
        assert f"'{heavy}'" not in done.stderr
