"""`sdrt generate` from outside: the files that it writes, and what it prints."""

import json
import re
from pathlib import Path

import numpy as np
import openvino
import pytest
from PIL import Image

import sdrt
from sdrt.backends.openvino.bf16_selftest import LAYERS, Setup, Verdict, remember
from sdrt.machine import has_bf16
from tests.runtime.cli.command_line import ENVIRONMENT, run


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


@pytest.mark.slow
def test_a_batch_on_one_sheet(tmp_path: Path) -> None:
    done = run(
        *("generate", "a cat", "-b", 3, "-s", 5, "--steps", 2, "-o", "cat.png"),
        *("--backend", "onnxruntime", "--grid", "all.png", "--json"),
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


@pytest.mark.slow
def test_the_way_to_a_picture_on_one_sheet(tmp_path: Path) -> None:
    options = ("-b", 2, "-s", 5, "--steps", 10, "-o", "cat.png", "--backend", "onnxruntime")
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


@pytest.mark.slow
def test_previews_are_written_on_the_way(tmp_path: Path) -> None:
    steps = ("-s", 5, "--steps", 6, "-q", "--backend", "onnxruntime")
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


@pytest.mark.slow
def test_previews_of_a_batch_go_on_one_sheet(tiny_exports: dict[str, Path], tmp_path: Path) -> None:
    model = ("-m", tiny_exports["fp32"], "-W", 128, "-H", 128)
    preview = ("--preview", "proj", "--preview-path", "p.png")
    run("generate", "x", *model, "-b", 3, "--steps", 1, "-s", 1, *preview, cwd=tmp_path)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == (260, 260)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_picture_is_made_as_a_scheduler_of_diffusers_says(tmp_path: Path) -> None:
    config = {"_class_name": "DDIMScheduler", "clip_sample": False, "set_alpha_to_one": False}
    (tmp_path / "s.json").write_text(json.dumps(config))
    common = ["generate", "a boat", "-s", "1", "--steps", "3", "--json"]
    made = run(*common, "--scheduler-config", "s.json", "-O", "eta=0.5", cwd=tmp_path)
    (image,) = json.loads(made.stdout)["images"]
    assert (image["sampler"], image["spacing"], image["steps_offset"]) == ("ddim", "leading", 0)
    assert image["sampler_options"] == {"final": "min", "eta": 0.5}
