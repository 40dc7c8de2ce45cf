"""A PNG carries the parameters that made it, whatever the prompt holds."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdrt.backends.executed import NetworkRecord
from sdrt.errors import UsageError, WriteError
from sdrt.images.metadata import Parameters, read_png
from sdrt.images.png import save_png, to_image

PARAMETERS = Parameters(
    prompt="a red boat",
    negative_prompt="fog",
    seed=7,
    width=16,
    height=8,
    num_inference_steps=20,
    clip_skip=1,
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
    spacing="leading",
    steps_offset=1,
    sampler_options={"order": 3, "lower_order_final": False, "solver_type": "heun"},
    guidance_scale=4.5,
    image_guidance_scale=None,
    guidance_rescale=0.0,
    guidance_start=0.0,
    guidance_end=1.0,
    speed="exact",
    cache_interval=1,
    cache_depth=0,
    evaluations={"whole": 20, "shallow": 0, "unguided": 0},
    model="demo",
    model_hash="ab" * 32,
    loras=[],
    textual_inversions=[],
    stored_precision="bf16",
    executed_precision="fp32",
    networks={"unet": NetworkRecord("bf16", "fp32", {"fp32": 1.0}, "avx512f", "processor")},
    backend="onnxruntime",
    threads=2,
    version="0.1.0",
)
IMAGE = Image.new("RGB", (16, 8), (200, 30, 40))

PROMPTS = [
    "",
    "plain",
    "two\nlines",
    "Negative prompt: Steps: 1, Sampler: none",
    "quotes \" and ' and \\ and , and :",
    "ein Wal 🐳 im Überseehafen, 鯨, \u202eright to left",
    "nul \x00 and bell \x07",
    "<script>alert(1)</script>",
    "x" * 100_000,
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_the_json_chunk_survives_any_prompt(tmp_path: Path, prompt: str) -> None:
    given = replace(PARAMETERS, prompt=prompt, negative_prompt=prompt)
    path = save_png(IMAGE, tmp_path / "picture.png", given)
    assert read_png(path)["sdrt"] == {"schema": 2, **given.record()}


def test_the_text_chunk_reads_as_a1111_reads_it(tmp_path: Path) -> None:
    path = save_png(IMAGE, tmp_path / "picture.png", PARAMETERS)
    text = read_png(path)["parameters"]
    *_, last = text.splitlines()
    # The pattern that AUTOMATIC1111's parser uses for the last line.
    fields = dict(re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last))
    assert text.startswith("a red boat\nNegative prompt: fog\n")
    assert fields == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "4.5",
        "Seed": "7",
        "Size": "16x8",
        "Model hash": "ababababab",
        "Model": "demo",
        "RNG": "CPU",
        "Version": "sdrt 0.1.0",
    }


def test_a_skipped_layer_is_named_as_a1111_names_it() -> None:
    assert "Clip skip" not in PARAMETERS.to_a1111()
    assert ", Clip skip: 2, " in replace(PARAMETERS, clip_skip=2).to_a1111()


def test_values_with_commas_are_quoted() -> None:
    text = replace(PARAMETERS, model="a, b: c").to_a1111()
    assert 'Model: "a, b: c"' in text


def test_parameters_can_be_left_out(tmp_path: Path) -> None:
    path = save_png(IMAGE, tmp_path / "picture.png")
    assert read_png(path) == {"width": 16, "height": 8}


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50], ids=["empty", "text", "cut"]
)
def test_a_file_that_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UsageError, match="is no readable PNG"):
        read_png(tmp_path / "x.png")


def test_a_truncated_png_is_refused(tmp_path: Path) -> None:
    path = save_png(IMAGE, tmp_path / "picture.png", PARAMETERS)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="is no readable PNG"):
        read_png(path)


def test_only_png_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pictures are written as \.png"):
        save_png(IMAGE, tmp_path / "picture.jpg")


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = save_png(IMAGE, tmp_path / "picture.png", PARAMETERS)
    before = path.read_bytes()
    path.chmod(0o444)
    folder = tmp_path / "none"
    with pytest.raises(WriteError, match="No such file or directory"):
        save_png(IMAGE, folder / "picture.png")

    class Unwritable(Image.Image):
        def save(self, *args: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match="No space left on device"):
        save_png(Unwritable(), path, PARAMETERS)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_decoded_floats_become_the_nearest_pixels() -> None:
    decoded = np.array([-2, -1, 0, 1 / 255, 1, 3], np.float32).reshape(1, 1, 6).repeat(3, axis=0)
    assert np.asarray(to_image(decoded))[0, :, 0].tolist() == [0, 0, 128, 128, 255, 255]


def test_the_json_chunk_is_one_line_of_json() -> None:
    assert json.loads(PARAMETERS.to_json())["schema"] == 2


def test_a_picture_of_schema_1_is_read_under_the_present_names(tmp_path: Path) -> None:
    record = json.loads(PARAMETERS.to_json())
    old = {"denoising_range": "part", "size_conditioning": "framing"}
    old |= {"textual_inversions": "words", "prompt_embeddings": "embeddings"}
    chunks = PngInfo()
    chunks.add_itxt(
        "sdrt",
        json.dumps({old.get(name, name): value for name, value in record.items()} | {"schema": 1}),
    )
    IMAGE.save(tmp_path / "old.png", pnginfo=chunks)
    assert read_png(tmp_path / "old.png")["sdrt"] == record
