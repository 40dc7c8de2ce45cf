"""Pictures and masks to start from: how they are read, fitted and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sdrt.cli.main import cli
from sdrt.errors import UsageError
from sdrt.request.init_image import InitImage, open_init_image

ORIENTATION = 0x0112  # of EXIF
TURNED = 6  # a quarter to the right, to be seen upright


def shaded(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    shades = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


def read(image: Any, mask: Any = None, size: Any = (None, None)) -> InitImage:
    return open_init_image(image, mask, 0.5, size, 8)


def test_without_a_size_the_image_is_cut_to_whole_latents() -> None:
    assert read(shaded(131, 94)).size == (128, 88)
    (pixels,) = read(shaded(128, 64)).pixels
    np.testing.assert_array_equal(pixels, np.asarray(shaded(128, 64)))


def test_with_a_size_the_image_is_scaled_and_cut_on_both_sides() -> None:
    striped = Image.new("RGB", (300, 100), "black")
    striped.paste("white", (100, 0, 200, 100))
    (pixels,) = read(striped, size=(64, 64)).pixels
    assert pixels.shape == (64, 64, 3)
    assert pixels.min() > 200  # the middle third, not the whole squeezed together


def test_pictures_of_cameras_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    shaded(128, 64).save(tmp_path / "turned.png", exif=exif)
    (pixels,) = read(tmp_path / "turned.png").pixels
    np.testing.assert_array_equal(pixels, np.asarray(shaded(128, 64).rotate(-90, expand=True)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(mode: str) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0)).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    init_image = read(image)
    assert init_image.has_alpha
    assert (init_image.pixels == 255).all()


def test_pixels_become_minus_one_to_one_and_grey_under_the_mask() -> None:
    image, mask = Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    init_image = read(image, mask)
    assert (init_image.tensor() == 1).all()
    around = init_image.tensor(without_masked=True)
    assert (around[..., :32] == 0).all()
    assert (around[..., 32:] == 1).all()


def test_a_thin_line_of_a_mask_reaches_every_latent_that_it_crosses() -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (9, 0, 10, 64))
    latents = read(shaded(64, 64), mask).latent_mask(8)
    assert latents.shape == (1, 1, 8, 8)
    assert (latents[0, 0].sum(axis=0) == [0, 8, 0, 0, 0, 0, 0, 0]).all()


@pytest.mark.parametrize(
    ("image", "mask", "size", "message"),
    [
        (shaded(1, 1), None, (64, 64), "is 1x1 pixels; expected sides from 8 to 16384"),
        (Image.new("L", (30_000, 8)), None, (64, 64), "is 30000x8 pixels"),
        (shaded(40, 40), None, (None, None), "choose a size with --size"),
        (shaded(64, 64), None, (64, None), "give both width and height"),
        (shaded(64, 64), shaded(64, 72), (None, None), "mask is 64x72 pixels and the image 64x64"),
        (shaded(64, 64), Image.new("L", (64, 64)), (None, None), "mask is black everywhere"),
        (Image.new("I;16", (64, 64)), None, (None, None), "of the kind 'I;16'; expected 8 bits"),
        ("nowhere.png", None, (None, None), "there is no image nowhere.png"),
        (3, None, (None, None), "image is 3; expected a path"),
    ],
)
def test_what_is_no_picture_to_start_from_is_refused(
    image: Any, mask: Any, size: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(image, mask, size)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(UsageError, match="cannot read the image"):
            read(tmp_path / name)


@pytest.mark.slow
def test_the_command_line_starts_from_a_file(tmp_path: Path) -> None:
    shaded(64, 64).save(tmp_path / "start.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    words = ["generate", "a red boat", "--image", str(tmp_path / "start.png"), "--steps", "2"]
    words += ["--mask", str(tmp_path / "mask.png"), "--seed", "1"]
    made = CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "made.png")])
    assert made.exit_code == 0, made.output
    with Image.open(tmp_path / "made.png") as image:
        assert image.size == (64, 64)
    alone = CliRunner().invoke(cli, ["generate", "boat", "--mask", str(tmp_path / "mask.png")])
    assert isinstance(alone.exception, UsageError)
