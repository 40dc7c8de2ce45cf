"""The command line from outside: what it prints, its exit codes, and never a traceback."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openvino
import pytest
from PIL import Image

import sdrt
from sdrt.backends.openvino.bf16_selftest import LAYERS, Setup, Verdict, remember
from sdrt.machine import has_bf16
from sdrt.sampling.samplers.registry import SAMPLERS

PREVIEW = ["generate", "x", "--preview", "proj", "--preview-path"]
ROOT = Path(__file__).parents[3]
STYLES = str(ROOT / "runtime" / "sdrt" / "text" / "styles.json")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ("runtime", "export", "benchmarks")),
}


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sdrt", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def test_a_picture_from_the_embedded_model(tmp_path: Path) -> None:
    done = run("generate", "a red boat", "-s", 7, "--steps", 4, "-o", "boat.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress where nobody watches
    assert done.stdout.startswith("boat.png  seed 7\n")
    assert "4 steps of" in done.stdout
    assert re.search(r"^executed: text_encoder \w+; unet \w+; vae_decoder \w+$", done.stdout, re.M)
    with Image.open(tmp_path / "boat.png") as image:
        assert image.size == (128, 128)
    assert [path.name for path in tmp_path.iterdir()] == ["boat.png"]


def test_json_says_what_was_made(tmp_path: Path) -> None:
    done = run(
        *("generate", "a cat", "--json", "-b", 2, "-s", 5, "--steps", 2, "--size", "64x128"),
        *("--sampler", "euler", "--cfg-scale", 3, "-n", "fog", "--backend", "onnxruntime"),
        cwd=tmp_path,
    )
    record = json.loads(done.stdout)
    assert [image["file"] for image in record["images"]] == ["sdrt-5-1.png", "sdrt-5-2.png"]
    first = record["images"][0]
    assert (first["seed"], first["width"], first["height"]) == (5, 64, 128)
    assert (first["sampler"], first["guidance_scale"]) == ("euler", 3.0)
    assert (first["backend"], first["executed_precision"]) == ("onnxruntime", "fp32")
    assert list(first["networks"]) == ["text_encoder", "unet", "vae_decoder"]
    assert first["networks"]["unet"]["stored"] == "bf16"
    assert first["networks"]["unet"]["shares"] == {"fp32": 1.0}
    assert len(record["timings"]["step_s"]) == 2
    assert record["warnings"] == []


def test_a_batch_on_one_sheet(tmp_path: Path) -> None:
    done = run(
        *("generate", "a cat", "-b", 3, "-s", 5, "--steps", 2, "-o", "cat.png"),
        *("--grid", "all.png", "--json"),
        cwd=tmp_path,
    )
    record = json.loads(done.stdout)
    names = ["cat-1.png", "cat-2.png", "cat-3.png"]
    assert [image["file"] for image in record["images"]] == names
    assert record["sheets"] == ["all.png"]
    with Image.open(tmp_path / "all.png") as sheet:
        assert sheet.size == (2 * 132 - 4, 2 * 132 - 4)
        shown = [sheet.crop((x, y, x + 128, y + 128)) for x, y in ((0, 0), (132, 0), (0, 132))]
    for name, part in zip(names, shown, strict=True):
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.asarray(part), np.asarray(image))
    made = json.loads(run("info", "all.png", "--json", cwd=tmp_path).stdout)["sdrt"]
    assert (made["seed"], made["sheet"]) == (5, {"columns": 2, "seeds": [5, 6, 7]})


def test_the_way_to_a_picture_on_one_sheet(tmp_path: Path) -> None:
    options = ("-b", 2, "-s", 5, "--steps", 10, "-o", "cat.png")
    done = run("generate", "a cat", *options, "--trajectory", "way.png", cwd=tmp_path)
    assert done.stdout.splitlines()[2] == "way.png"
    made = json.loads(run("info", "way.png", "--json", cwd=tmp_path).stdout)
    sheet = {"columns": 6, "seeds": [5, 6], "steps": [1, 3, 5, 6, 8, 10]}
    assert (made["sdrt"]["seed"], made["sdrt"]["sheet"]) == (5, sheet)
    with Image.open(tmp_path / "way.png") as way, Image.open(tmp_path / "cat-2.png") as last:
        assert way.size[0] == 6 * 132 - 4
        corner = way.crop((way.width - 128, way.height - 128, way.width, way.height))
        difference = np.asarray(corner, np.int16) - np.asarray(last, np.int16)
    # The last guess is the picture, but for the lowest noise level of some samplers.
    assert np.abs(difference).mean() < 3


def test_previews_are_written_on_the_way(tmp_path: Path) -> None:
    steps = ("-s", 5, "--steps", 6, "-q")
    run("generate", "a cat", *steps, "--preview", "proj", cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"sdrt-5.png", "preview.png"}
    every = ("--preview", "vae", "--preview-path", "p%02d.png", "--preview-interval", 2)
    run("generate", "a cat", *steps, *every, cwd=tmp_path)
    shown = {}
    for name in ("preview.png", "p02.png", "p04.png", "p06.png", "sdrt-5.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (128, 128)
            shown[name] = np.asarray(image, np.int16)
    assert len(list(tmp_path.iterdir())) == 5

    def distance(name: str) -> float:
        return float(np.abs(shown[name] - shown["sdrt-5.png"]).mean())

    assert distance("p02.png") > distance("p04.png") > distance("p06.png")
    assert distance("preview.png") < 50


def test_previews_of_a_batch_go_on_one_sheet(tmp_path: Path) -> None:
    preview = ("--preview", "proj", "--preview-path", "p.png")
    run("generate", "x", "-b", 3, "--steps", 1, "-s", 1, *preview, cwd=tmp_path)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == (260, 260)


def test_info_reads_the_parameters_back(tmp_path: Path) -> None:
    run("generate", "a dog", "-s", 1, "--steps", 2, "-o", "dog.png", cwd=tmp_path)
    text = run("info", "dog.png", cwd=tmp_path).stdout
    assert re.search(r"^  prompt: a dog$", text, re.MULTILINE)
    record = json.loads(run("info", "dog.png", "--json", cwd=tmp_path).stdout)
    assert record["sdrt"]["num_inference_steps"] == 2
    assert re.search(r"^  networks:\n    text_encoder: stored bf16, executed \w+, ", text, re.M)
    assert set(record["sdrt"]["networks"]) == {"text_encoder", "unet", "vae_decoder"}
    bare = run("generate", "x", "--no-metadata", "-s", 1, "--steps", 1, "-q", cwd=tmp_path)
    assert bare.stdout == ""
    assert "no parameters inside" in run("info", "sdrt-1.png", cwd=tmp_path).stdout


def test_the_parameters_make_the_same_picture_again(tmp_path: Path) -> None:
    run("generate", "a dog", "-s", 3, "--steps", 3, "-o", "a.png", cwd=tmp_path)
    made = json.loads(run("info", "a.png", "--json", cwd=tmp_path).stdout)["sdrt"]
    pipe = sdrt.load(made["model"], backend=made["backend"], threads=made["threads"])
    again = pipe(
        made["prompt"],
        seed=made["seed"],
        num_inference_steps=made["num_inference_steps"],
        guidance_scale=made["guidance_scale"],
        sampler=made["sampler"],
    )
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(again.images[0]), np.asarray(image))


def test_info_describes_a_model(tiny_exports: dict[str, Path]) -> None:
    text = run("info", tiny_exports["bf16"]).stdout
    assert "stored precision: bf16" in text
    assert re.search(r"unet: onnx and openvino; onnxruntime .* dB; stored in bf16\n", text)
    record = json.loads(run("info", "--json").stdout)
    assert {graph["precision"] for graph in record["graphs"].values()} == {"bf16"}
    assert (record["name"], record["family"], record["schema"]) == ("demo", "sd1", 1)


def test_verify_passes_a_good_model_and_names_the_damage_in_a_bad_one(tiny_path: Path) -> None:
    assert "all as recorded" in run("verify", tiny_path).stdout
    with (tiny_path / "unet" / "model.onnx_data").open("r+b") as file:
        file.write(b"damage")
    assert_fails(run("verify", tiny_path), 3, "unet/model.onnx_data is corrupt")


def test_samplers_are_listed() -> None:
    listed = run("samplers").stdout.splitlines()
    names = [line.split()[0] for line in listed if not line.startswith(" ")]
    assert names == [*SAMPLERS, "options"]  # the last line is of those that all have
    assert "eta: a number from 0 to 1" in listed[1]
    assert json.loads(run("samplers", "--json").stdout)["heun"]["calls"] == 2


def test_styles_are_listed_in_the_form_that_is_read(tmp_path: Path) -> None:
    names = [style["name"] for style in json.loads(run("styles", "--json").stdout)]
    listed = [line.split()[0] for line in run("styles").stdout.splitlines() if line[0] != " "]
    assert listed == names
    assert "cinematic" in names
    own = [{"name": "mine", "prompt": "{prompt} in ink", "negative_prompt": "colour"}]
    (tmp_path / "own.json").write_text(json.dumps(own))
    assert json.loads(run("styles", tmp_path / "own.json", "--json").stdout) == own
    for style, prompt in (("Mine", "a cat in ink"), ("anime", "a cat, anime")):
        done = run(
            *("generate", "a cat", "--style", style, "--styles", tmp_path / "own.json", "--json"),
            *("--steps", 1, "-o", tmp_path / "cat.png"),
        )
        (made,) = json.loads(done.stdout)["images"]
        assert made["style"] == style.lower()
        assert made["prompt"].startswith(prompt)


def test_golden_vectors_are_written_replayed_and_refused(tmp_path: Path, tiny_path: Path) -> None:
    golden = tmp_path / "golden.safetensors"
    options = ("--sampler", "euler", "--steps", 2, "--size", "64x64", "--backend", "onnxruntime")
    written = json.loads(run("conformance", "-o", golden, *options, "--json").stdout)
    assert written["cases"] == ["long-prompt", "unguided", "euler"]
    assert written["bytes"] == golden.stat().st_size
    record = json.loads(run("verify", "--golden", golden, "--json").stdout)
    assert record["first_failure"] is None
    assert record["stages"]["ids"]["is_within"]
    assert_fails(run("verify", tiny_path, "--golden", golden), 3, "another artifact, 'demo'")
    assert_fails(run("verify", "--golden", golden, "--size", "64x64"), 2, "--size measures")
    broken = golden.read_bytes().replace(b"a red boat on the sea", b"a mad goat on the sea")
    golden.write_bytes(broken)
    done = run("verify", "--golden", golden)
    assert done.returncode == 4
    assert "the first stage that fails is ids" in done.stderr
    assert re.search(r"^  ids +FAILS  \d+ values differ", done.stdout, re.M)


def test_verify_measures_what_a_precision_costs() -> None:
    options = (
        "--backend",
        "openvino",
        "--precision",
        "fp32",
        "--timesteps",
        "21",
        "--size",
        "64x96",
    )
    record = json.loads(run("verify", *options, "--json").stdout)
    fidelity = record["fidelity"]
    assert fidelity["against"] == "openvino in fp32"
    assert (fidelity["width"], fidelity["height"]) == (64, 96)
    assert fidelity["graphs"]["unet"]["by_timestep"] == {"21": None}  # equal
    assert fidelity["graphs"]["unet"]["stored"] == "bf16"
    assert fidelity["graphs"]["unet"]["executed"] == "fp32"
    assert record["graphs"]["unet"]["openvino against onnxruntime"] > 60


def test_doctor_lists_what_a_bug_report_needs() -> None:
    report = json.loads(run("doctor", "--json").stdout)
    assert report["versions"]["sdrt"] == sdrt.__version__
    assert report["machine"]["usable cores"] >= 1
    assert set(report["engines"]) == {"onnxruntime", "openvino"}
    tests = report["self-test"]
    assert tests["onnxruntime fp32"].startswith("runs")
    assert tests["openvino fp32"].startswith("right")
    assert "openvino bf16" in tests
    assert ("openvino bf16, attention" in tests) == has_bf16()


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_an_engine_that_was_found_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path))
    remember(Setup("CPU", openvino.get_version()), Verdict(dict.fromkeys(LAYERS, -14.0)))
    done = run("generate", "a cat", "--steps", 1, "-o", tmp_path / "cat.png")
    assert done.returncode == 0
    assert "computes wrong in bf16 on this processor" in done.stderr
    assert "in fp32" in done.stdout


def test_a_picture_is_made_as_a_scheduler_of_diffusers_says(tmp_path: Path) -> None:
    config = {"_class_name": "DDIMScheduler", "clip_sample": False, "set_alpha_to_one": False}
    (tmp_path / "s.json").write_text(json.dumps(config))
    common = ["generate", "a boat", "-s", "1", "--steps", "3", "--json"]
    made = run(*common, "--scheduler-config", "s.json", "-O", "eta=0.5", cwd=tmp_path)
    (image,) = json.loads(made.stdout)["images"]
    assert (image["sampler"], image["spacing"], image["steps_offset"]) == ("ddim", "leading", 0)
    assert image["sampler_options"] == {"final": "min", "eta": 0.5}


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
        (["export"], 2, ["0 paths were given; expected: sdrt export SOURCE DEST"]),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    assert_fails(run(*arguments, cwd=tmp_path), code, *words)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "option",
    [["--output"], ["--grid"], ["--trajectory"], ["--preview", "vae", "--preview-path"]],
    ids=lambda option: option[-1],
)
def test_a_folder_without_permission_is_refused_before_the_work(
    tmp_path: Path, option: list[str]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    # So many steps would outlast the test.
    steps = ("--steps", 1000, "--size", "1024x1024")
    done = _unprivileged("generate", "x", *steps, *option, folder / "x.png", readonly=folder)
    assert_fails(done, 5, "cannot write", "Permission denied")
    assert list(folder.iterdir()) == []


def _unprivileged(*arguments: object, readonly: Path) -> subprocess.CompletedProcess[str]:
    """Run as somebody who may not write to a folder; root could, unless it gives that right up."""
    readonly.chmod(0o555)
    code = (
        "import ctypes, os, sys\n"
        "for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH\n"
        "    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "-m", "sdrt", *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writes fail in the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run(
        [sys.executable, "-m", "sdrt", "generate", "x", "--steps", "1", "-o", "x.png"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=limit,
    )
    assert_fails(done, 5, "cannot write x.png", "File too large")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_no_file(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sdrt", "generate", "x", "--steps", "1000", "--size", "256x256"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in a shell's background inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=8)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("backend", "trace"),
    [("onnxruntime", "terminate flag being set"), ("openvino", "Request was canceled")],
)
def test_ctrl_c_ends_a_run_inside_a_step(tmp_path: Path, backend: str, trace: str) -> None:
    """The traceback that was asked for shows that the network did not finish."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "sdrt", "--debug", "generate", "x", "--backend", backend),
            *("--steps", "1000", "--size", "768x768", "--preview", "proj", "-t", "1"),
        ],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "preview.png").exists():  # until the first step is done
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)  # into the second step
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    assert trace in errors


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
