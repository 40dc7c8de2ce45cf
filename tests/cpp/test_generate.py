"""Pictures of `sdrt-host` and their parameters are those of Python."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.artifact import Artifact
from sdrt.images.metadata import read_png
from sdrt.machine import has_bf16
from sdrt.manifest import MANIFEST_NAME
from sdrt.pipeline import Pipeline
from sdrt_bench.similarity import psnr_db
from tests.cpp.commands import Run

SAMPLERS = ("ddim", "euler", "euler_a", "dpm++2m", "dpm++2m karras", "unipc", "lcm")


PROMPT = "a (red:1.2) boat on the [calm] sea at sunset"


NEGATIVE = "blurry"


@pytest.fixture(scope="module")
def python() -> Callable[[str, str], Pipeline]:
    """Open pipelines of Python's, by engine and precision; each once."""
    opened: dict[tuple[str, str], Pipeline] = {}

    def find(backend: str, precision: str) -> Pipeline:
        key = backend, precision
        if key not in opened:
            opened[key] = sdrt.load(backend=backend, precision=precision)  # type: ignore[arg-type]
        return opened[key]

    return find


def assert_same_picture(
    run: Run,
    python: Callable[[str, str], Pipeline],
    model: Path,
    folder: Path,
    backend: str,
    precision: str,
    **options: Any,
) -> float:
    """Make a picture with both; gives their distance in dB, after comparing their parameters."""
    flags = {
        "--backend": backend,
        "--precision": precision,
        "-m": model,
        "-o": folder / "host.png",
        "-n": options.get("negative_prompt", ""),
        "--steps": options["num_inference_steps"],
        "-s": options["seed"],
        "-W": options["width"],
        "-H": options["height"],
        "--cfg-scale": options["guidance_scale"],
        "--sampler": options["sampler"],
    }
    words = [str(word) for pair in flags.items() for word in pair]
    done = run("generate", PROMPT, "--json", *words)
    assert done.returncode == 0, done.stderr
    result = python(backend, precision)(PROMPT, **options)
    result.images[0].save(folder / "python.png")
    (folder / "with.png").unlink(missing_ok=True)
    (written,) = result.save(folder / "with.png")
    host, own = read_png(folder / "host.png"), read_png(written)
    assert host["parameters"] == own["parameters"]
    assert host["sdrt"] == own["sdrt"]
    record = json.loads(done.stdout)["images"][0]
    assert record == {"file": str(folder / "host.png"), **_without_schema(own["sdrt"])}
    with Image.open(folder / "host.png") as image:
        return psnr_db(np.asarray(result.images[0]), np.asarray(image))


def _without_schema(chunk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chunk.items() if name != "schema"}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_picture_is_python_s(
    run: Run,
    python: Callable[[str, str], Pipeline],
    demo: Artifact,
    tmp_path: Path,
    sampler: str,
    backend: str,
) -> None:
    distance = assert_same_picture(
        run,
        python,
        demo.root,
        tmp_path,
        backend,
        "fp32",
        negative_prompt=NEGATIVE,
        num_inference_steps=4,
        seed=11,
        width=64,
        height=96,
        guidance_scale=4.0,
        sampler=sampler,
    )
    assert distance >= 50


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_the_picture_in_bf16_is_python_s(
    run: Run,
    python: Callable[[str, str], Pipeline],
    demo: Artifact,
    tmp_path: Path,
    scale: float,
) -> None:
    distance = assert_same_picture(
        run,
        python,
        demo.root,
        tmp_path,
        "openvino",
        "bf16",
        num_inference_steps=6,
        seed=2**32 + 1,
        width=128,
        height=64,
        guidance_scale=scale,
        sampler="dpm++2m",
    )
    assert distance >= 35


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_formats_and_other_layers_of_the_text_encoder(
    run: Run, tiny_exports: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    """The preset `tiny` has IR beside ONNX, which OpenVINO takes first."""
    model = tiny_exports[precision]
    common = ["-m", model, "--steps", 2, "-s", 3, "--size", "64x64", "--precision", "fp32"]
    for backend in ("openvino", "onnxruntime"):
        done = run(
            *["generate", PROMPT, *common, "--backend", backend, "--clip-skip", 2],
            *["-o", tmp_path / "host.png"],
        )
        assert done.returncode == 0, done.stderr
        expected = sdrt.load(model, backend, precision="fp32")(
            PROMPT, num_inference_steps=2, seed=3, width=64, height=64, clip_skip=2
        )
        with Image.open(tmp_path / "host.png") as found:
            assert psnr_db(np.asarray(expected.images[0]), np.asarray(found)) >= 50


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_picture_in_int8_is_python_s(
    run: Run, int8_demo: Artifact, tmp_path: Path, backend: str
) -> None:
    done = run(
        *["generate", PROMPT, "-m", int8_demo.root, "--backend", backend, "--steps", 6, "-s", 3],
        *["--sampler", "dpm++2m", "-o", tmp_path / "host.png"],
    )
    assert done.returncode == 0, done.stderr
    expected = sdrt.load(int8_demo.root, backend)(
        PROMPT, num_inference_steps=6, seed=3, sampler="dpm++2m"
    )
    with Image.open(tmp_path / "host.png") as found:
        assert psnr_db(np.asarray(expected.images[0]), np.asarray(found)) >= 35


@pytest.fixture(scope="module")
def v_model(tiny_sd2_v: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 2's ways: the last layer but one, v, no signal at the first level."""
    folder = tmp_path_factory.mktemp("sd2") / "model"
    shutil.copytree(tiny_sd2_v.root, folder)
    manifest = tiny_sd2_v.manifest
    update = {"zero_terminal_snr": True, "spacing": "trailing"}
    schedule = manifest.schedule.model_copy(update=update)
    (folder / MANIFEST_NAME).write_text(
        manifest.model_copy(update={"schedule": schedule}).to_json()
    )
    return folder


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_model_that_predicts_v(run: Run, v_model: Path, tmp_path: Path, backend: str) -> None:
    done = run(
        *["generate", PROMPT, "-m", v_model, "--backend", backend, "--steps", 3],
        *["-s", 3, "--size", "64x64", "--sampler", "euler", "-o", tmp_path / "host.png"],
    )
    assert done.returncode == 0, done.stderr
    expected = sdrt.load(v_model, backend)(
        PROMPT, num_inference_steps=3, seed=3, width=64, height=64, sampler="euler"
    )
    with Image.open(tmp_path / "host.png") as found:
        assert psnr_db(np.asarray(expected.images[0]), np.asarray(found)) >= 50


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_latent_consistency_model(
    run: Run, unet_twins: Callable[[str], Artifact], tmp_path: Path, backend: str
) -> None:
    model, edit = (unet_twins(name).root for name in ("tiny-lcm", "tiny-instruct"))
    options = ["--backend", backend, "-s", 3, "-o", tmp_path / "host.png"]
    done = run("generate", PROMPT, "-m", model, *options)
    assert done.returncode == 0, done.stderr
    expected = sdrt.load(model, backend)(PROMPT, seed=3)
    with Image.open(tmp_path / "host.png") as found:
        assert psnr_db(np.asarray(expected.images[0]), np.asarray(found)) >= 50
    assert expected.parameters[0].image_guidance_scale is None
    refused = run("generate", PROMPT, "-m", edit, *options)
    assert refused.returncode == 9
    assert "edits pictures, which this host does not do" in refused.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_stable_diffusion_xl(run: Run, tiny_sdxl: Path, tmp_path: Path, backend: str) -> None:
    """Nothing as the negative prompt is zeros; a long one is longer than the prompt."""
    pipe = sdrt.load(tiny_sdxl, backend)
    for negative, clip_skip, images in (("", 1, 2), ("dull (grey:1.3) BREAK [blurry]", 2, 1)):
        done = run(
            *["generate", PROMPT, "-m", tiny_sdxl, "--backend", backend, "--steps", 2, "-s", 3],
            *["-n", negative, "--clip-skip", clip_skip, "-b", images, "-W", 64, "-H", 80],
            *["-o", tmp_path / "host.png"],
        )
        assert done.returncode == 0, done.stderr
        expected = pipe(
            PROMPT,
            negative_prompt=negative,
            clip_skip=clip_skip,
            num_images_per_prompt=images,
            num_inference_steps=2,
            seed=3,
            width=64,
            height=80,
        )
        names = ["host.png"] if images == 1 else ["host-1.png", "host-2.png"]
        for name, image, parameters in zip(
            names, expected.images, expected.parameters, strict=True
        ):
            written = read_png(tmp_path / name)
            assert written["sdrt"] == json.loads(parameters.to_json())
            assert written["parameters"] == parameters.to_a1111()
            with Image.open(tmp_path / name) as found:
                assert psnr_db(np.asarray(image), np.asarray(found)) >= 50


def test_several_pictures_and_a_split_guidance(run: Run, demo: Artifact, tmp_path: Path) -> None:
    done = run(
        *["generate", "a cat", "-m", demo.root, "--steps", 2, "-s", 4, "-b", 2, "--size", "64x64"],
        *["--guidance-split", "--no-metadata", "--backend", "onnxruntime", "-o", "cat.png"],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cat-1.png  seed 4\ncat-2.png  seed 5\n")
    assert done.stderr == ""  # no progress where nobody watches
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat-1.png", "cat-2.png"]
    assert "sdrt" not in read_png(tmp_path / "cat-1.png")
    expected = sdrt.load(backend="onnxruntime")(
        "a cat",
        num_inference_steps=2,
        seed=5,
        width=64,
        height=64,
        guidance_split=True,
    )
    with Image.open(tmp_path / "cat-2.png") as found:
        assert psnr_db(np.asarray(expected.images[0]), np.asarray(found)) >= 50


def test_no_second_is_counted_twice(run: Run, demo: Artifact, tmp_path: Path) -> None:
    began = time.perf_counter()
    done = run(
        *["generate", "a cat", "-m", demo.root, "--steps", 2, "-s", 4, "--size", "64x64", "--json"],
        *["-o", tmp_path / "cat.png"],
    )
    spent = time.perf_counter() - began
    timings = json.loads(done.stdout)["timings"]
    assert set(timings["load_s"]) == {"text_encoder", "unet", "vae_decoder"}
    parts = [*timings["load_s"].values(), *timings["step_s"]]
    assert sum(parts) + timings["text_encoder_s"] + timings["vae_decoder_s"] < spent
