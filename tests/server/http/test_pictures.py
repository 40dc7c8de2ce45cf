"""Pictures that nobody vouches for."""

import io
import struct
import zlib

import pytest
from PIL import Image

from sdrt.errors import UsageError
from sdrt_server.http.pictures import encoded, from_base64, open_picture, to_base64

MAX_PIXELS = 256 * 256


def saved(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def png_of_size(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG's header, perhaps with more chunks, and no pixels that would fill it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    text = b"".join(chunk(b"zTXt", b"x\0\0" + zlib.compress(each)) for each in chunks)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + text + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_the_usual_formats_are_read(format: str) -> None:
    image = open_picture("image", saved(Image.new("RGB", (64, 32), "red"), format), MAX_PIXELS)
    assert image.size == (64, 32)


@pytest.mark.parametrize(
    "contents",
    [
        png_of_size(50_000, 50_000),
        png_of_size(2**31 - 1, 2**31 - 1),
        png_of_size(0, 0),
        png_of_size(257, 256),
        png_of_size(64, 64),
        png_of_size(64, 64, *[b"\0" * 10**6] * 80),
        saved(Image.new("RGB", (64, 64)), "PNG")[:-30],
        saved(Image.new("RGB", (64, 64)), "GIF"),
        saved(Image.new("RGB", (64, 64)), "TIFF"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%PDF-1.4",
        b"",
    ],
    ids=lambda contents: f"{len(contents)}-{contents[:4]!r}",
)
def test_what_is_no_picture_or_too_large_is_refused_with_its_name(contents: bytes) -> None:
    with pytest.raises(UsageError, match="the image is") as caught:
        open_picture("image", contents, MAX_PIXELS)
    assert caught.value.option == "image"


def test_base64_may_be_a_data_url_and_have_line_breaks() -> None:
    text = to_base64(b"picture")
    for given in (text, f"data:image/png;base64,{text}", f"{text[:4]}\n{text[4:]}"):
        assert from_base64("image", given) == b"picture"


@pytest.mark.parametrize(
    "text", ["?", "a", "data:image/png;base64", "\u00e4\u00e4\u00e4\u00e4", "\0"]
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the mask is") as caught:
        open_picture("mask", from_base64("mask", text), MAX_PIXELS)
    assert caught.value.option == "mask"


def test_pictures_go_out_in_other_formats_and_png_as_it_is() -> None:
    png = saved(Image.new("RGB", (64, 32), "red"), "PNG")
    assert encoded(png, "png") is png
    for format, name in (("jpeg", "JPEG"), ("webp", "WEBP")):
        image = Image.open(io.BytesIO(encoded(png, format, 90)))  # type: ignore[arg-type]
        assert (image.format, image.size) == (name, (64, 32))
    noise = saved(Image.effect_noise((64, 64), 90).convert("RGB"), "PNG")
    assert len(encoded(noise, "jpeg", 10)) < len(encoded(noise, "jpeg", 90))
