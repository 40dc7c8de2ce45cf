"""Pixels, PNG files and the parameters in them: those of the C++ host are those of Python."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt import errors
from sdrt.backends.executed import NetworkRecord, Retry
from sdrt.images.metadata import Parameters, read_png
from sdrt.images.png import check_target, to_image
from tests.cpp.commands import Ask, Command


@pytest.fixture
def parameters() -> Parameters:
    """Of a picture without style, embeddings or an image to start from."""
    record = NetworkRecord("bf16", "bf16", {"bf16": 0.75, "fp32": 0.25}, "avx512_bf16", "engine")
    failed = replace(record, retried=Retry("bf16", "step 3 of 20"))
    return Parameters(
        prompt="a boat, at: \"sea\"\nin the evening \\ 'now'",
        negative_prompt="blurry, (low quality:1.3)",
        seed=2**63 - 1,
        width=7,
        height=5,
        num_inference_steps=20,
        clip_skip=2,
        style=None,
        prompt_embeddings={},
        init_image={},
        strength=None,
        paste=None,
        vae_tiling=False,
        hires=None,
        denoising_range=None,
        size_conditioning={},
        sampler="dpm++2m",
        scheduler="karras",
        spacing="trailing",
        steps_offset=1,
        sampler_options={"order": 2, "lower_order_final": True, "rho": 7.5, "final": "zero"},
        guidance_scale=7.5,
        image_guidance_scale=None,
        guidance_rescale=0.7,
        guidance_start=0.0,
        guidance_end=1.0,
        speed="exact",
        cache_interval=1,
        cache_depth=0,
        evaluations={"whole": 20, "shallow": 0, "unguided": 4},
        model="demo, v1",
        model_hash="0123456789abcdef" * 4,
        loras=[],
        textual_inversions=[],
        stored_precision="bf16",
        executed_precision="bf16",
        networks={"unet": record, "vae_decoder": failed},
        backend="openvino",
        threads=4,
        version="0.1.0",
    )


def png_command(
    path: Path, decoded: np.ndarray[Any, Any], parameters: Parameters | None = None
) -> Command:
    """Write a picture (3, height, width) in C++."""
    command = {
        "op": "png",
        "path": str(path),
        "decoded": decoded.ravel().tolist(),
        "height": decoded.shape[1],
        "width": decoded.shape[2],
    }
    return command if parameters is None else {**command, "parameters": parameters.record()}


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 9), (64, 40)])
def test_pixels_are_pythons(ask: Ask, tmp_path: Path, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.7, (3, *size)).astype(np.float32)
    smooth = np.broadcast_to(np.linspace(-1.1, 1.1, size[1], dtype=np.float32), (3, *size))
    for decoded in (noise, smooth):
        path = tmp_path / "picture.png"
        (answer,) = ask(png_command(path, decoded))
        expected = np.asarray(to_image(decoded))
        assert answer["result"] == expected.ravel().tolist()
        with Image.open(path) as image:
            image.verify()
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert (np.asarray(image) == expected).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_halves_go_to_the_even_number(ask: Ask, tmp_path: Path) -> None:
    exact = [2 * (n + 0.5) / 255 - 1 for n in range(255)]
    halves = [
        np.float32(x) for x in exact if (np.float32(x) / 2 + np.float32(0.5)) * 255 % 1 == 0.5
    ]
    decoded = np.array([*halves, np.float32(-9), np.float32(9)] * 3, np.float32).reshape(3, 1, -1)
    (answer,) = ask(png_command(tmp_path / "a.png", decoded))
    assert len(halves) > 9
    assert answer["result"] == np.asarray(to_image(decoded)).ravel().tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": "ein Böot"},
        {"prompt": "船 😀", "negative_prompt": ""},
        {"prompt": "", "negative_prompt": "", "scheduler": "default", "clip_skip": 1},
        {"scheduler": "exponential", "sampler": "euler_a", "sampler_options": {}},
        {"guidance_scale": 1e-7, "seed": 0},
        {"guidance_scale": 123456789.0, "model": 'a "b"\\: c'},
        {"guidance_scale": 1.0, "model": "x\ty\x01"},
    ],
    ids=str,
)
def test_parameters_are_read_back_by_python(
    ask: Ask, tmp_path: Path, parameters: Parameters, changes: dict[str, Any]
) -> None:
    wanted = replace(parameters, **changes)
    path = tmp_path / "picture.png"
    ask(png_command(path, np.zeros((3, 5, 7), np.float32), wanted))
    metadata = read_png(path)
    assert metadata["parameters"] == wanted.to_a1111()
    assert metadata["sdrt"] == json.loads(wanted.to_json())
    assert list(metadata["sdrt"]) == list(json.loads(wanted.to_json()))
    assert (metadata["width"], metadata["height"]) == (7, 5)


def test_a_picture_is_written_whole_or_not_at_all(ask: Ask, tmp_path: Path) -> None:
    decoded = np.zeros((3, 8, 8), np.float32)
    (tmp_path / "folder.png").mkdir()
    paths = ["a.jpg", "a", ".png", "missing/a.png", "folder.png", "x" * 250 + ".png", "a.PNG"]
    answers = ask(*(png_command(tmp_path / path, decoded) for path in paths))
    assert [answer.get("code", 0) for answer in answers] == [2, 2, 2, 5, 5, 5, 0]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.PNG", "folder.png"]


def test_a_target_is_checked_before_the_work(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    names = ["a.png", "a.jpg", "missing/a.png", "folder.png", "file/a.png"]
    paths = [*(tmp_path / name for name in names), Path("here.png")]
    answers = ask(*({"op": "target", "path": str(path)} for path in paths))
    for path, answer in zip(paths, answers, strict=True):
        try:
            check_target(path)
            expected = None
        except errors.SdrtError as error:
            expected = str(error)
        assert answer.get("message") == expected, path
