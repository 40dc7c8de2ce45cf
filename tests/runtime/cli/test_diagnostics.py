"""Commands that tell of pictures, models and machines."""

import json
import re
from pathlib import Path

import pytest

import sdrt
from sdrt.machine import has_bf16
from sdrt.sampling.samplers.registry import SAMPLERS
from tests.runtime.cli.command_line import assert_fails, run


@pytest.mark.slow
def test_info_reads_the_parameters_back(tiny_exports: dict[str, Path], tmp_path: Path) -> None:
    model = ("-m", tiny_exports["bf16"], "-s", 1)
    run("generate", "a dog", *model, "--steps", 2, "-o", "dog.png", cwd=tmp_path)
    text = run("info", "dog.png", cwd=tmp_path).stdout
    assert re.search(r"^  prompt: a dog$", text, re.MULTILINE)
    record = json.loads(run("info", "dog.png", "--json", cwd=tmp_path).stdout)
    assert record["sdrt"]["num_inference_steps"] == 2
    assert re.search(r"^  networks:\n    text_encoder: stored bf16, executed \w+, ", text, re.M)
    assert set(record["sdrt"]["networks"]) == {"text_encoder", "unet", "vae_decoder"}
    bare = run("generate", "x", "--no-metadata", *model, "--steps", 1, "-q", cwd=tmp_path)
    assert bare.stdout == ""
    assert "no parameters inside" in run("info", "sdrt-1.png", cwd=tmp_path).stdout


def test_info_describes_a_model(tiny_exports: dict[str, Path]) -> None:
    text = run("info", tiny_exports["bf16"]).stdout
    assert "stored precision: bf16" in text
    assert re.search(r"unet: onnx and openvino; onnxruntime .* dB; stored in bf16\n", text)
    record = json.loads(run("info", "--json").stdout)
    assert {graph["precision"] for graph in record["graphs"].values()} == {"bf16"}
    assert (record["name"], record["family"], record["schema"]) == ("demo", "sd1", 1)


@pytest.mark.slow
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


@pytest.mark.slow
def test_styles_are_listed_in_the_form_that_is_read(
    tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
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
            *("-m", tiny_exports["fp32"], "--steps", 1, "-o", tmp_path / "cat.png"),
        )
        (made,) = json.loads(done.stdout)["images"]
        assert made["style"] == style.lower()
        assert made["prompt"].startswith(prompt)


@pytest.mark.slow
def test_golden_vectors_are_written_replayed_and_refused(
    tmp_path: Path, tiny_exports: dict[str, Path]
) -> None:
    model, engine = tiny_exports["fp32"], ("--backend", "onnxruntime")
    golden = tmp_path / "golden.safetensors"
    options = ("--sampler", "euler", "--steps", 2, "--size", "64x64", *engine)
    written = json.loads(run("conformance", model, "-o", golden, *options, "--json").stdout)
    assert written["cases"] == ["long-prompt", "unguided", "euler"]
    assert written["bytes"] == golden.stat().st_size
    record = json.loads(run("verify", model, "--golden", golden, *engine, "--json").stdout)
    assert record["first_failure"] is None
    assert record["stages"]["ids"]["is_within"]
    assert_fails(run("verify", "--golden", golden), 3, "another artifact, 'tiny'")
    assert_fails(run("verify", model, "--golden", golden, "--size", "64x64"), 2, "--size measures")
    broken = golden.read_bytes().replace(b"a red boat on the sea", b"a mad goat on the sea")
    golden.write_bytes(broken)
    done = run("verify", model, "--golden", golden, *engine)
    assert done.returncode == 4
    assert "the first stage that fails is ids" in done.stderr
    assert re.search(r"^  ids +FAILS  \d+ values differ", done.stdout, re.M)


@pytest.mark.slow
def test_verify_measures_what_a_precision_costs(tiny_exports: dict[str, Path]) -> None:
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
    record = json.loads(run("verify", tiny_exports["bf16"], *options, "--json").stdout)
    fidelity = record["fidelity"]
    assert fidelity["against"] == "openvino in fp32"
    assert (fidelity["width"], fidelity["height"]) == (64, 96)
    assert fidelity["graphs"]["unet"]["by_timestep"] == {"21": None}  # equal
    assert fidelity["graphs"]["unet"]["stored"] == "bf16"
    assert fidelity["graphs"]["unet"]["executed"] == "fp32"
    assert record["graphs"]["unet"]["openvino against onnxruntime"] > 60


@pytest.mark.slow
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
