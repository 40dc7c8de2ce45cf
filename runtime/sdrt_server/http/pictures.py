"""Pictures that come in, which nobody vouches for, and the formats that they go out in."""

import base64
import binascii
import io
from typing import Literal

from PIL import Image

from sdrt.errors import UsageError
from sdrt.request.init_image import FORMATS

Format = Literal["png", "jpeg", "webp"]
MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
QUALITY = 95  # of jpeg and webp, unless a client says otherwise


def from_base64(what: str, text: str) -> bytes:
    """The bytes of a base64 text, perhaps as a data URL; raises `UsageError`."""
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"the {what} is not valid base64: {error}", what) from error


def open_picture(what: str, contents: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture; raises `UsageError` for what is none, and for one with too many pixels.

    Its size is known from its header, before anything is allocated for it.
    """
    try:
        image = Image.open(io.BytesIO(contents), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise UsageError(
                f"the {what} is {image.width}x{image.height} pixels; this server takes "
                f"{max_pixels} pixels",
                what,
            )
        image.load()
    except UsageError:
        raise
    except Exception as error:  # whatever a decoder may raise for bytes of any kind
        raise UsageError(
            f"the {what} is no picture that can be read; expected {', '.join(FORMATS)}", what
        ) from error
    return image


def encoded(png: bytes, format: Format, quality: int | None = None) -> bytes:
    """A finished picture in another format; PNG is passed on as it is, with its parameters."""
    if format == "png":
        return png
    with Image.open(io.BytesIO(png)) as image:
        return _saved(image, format, QUALITY if quality is None else quality)


def preview_url(image: Image.Image) -> str:
    """A small picture as a data URL."""
    return f"data:image/webp;base64,{to_base64(_saved(image, 'webp', 80))}"


def preview_bytes(image: Image.Image, format: Format) -> bytes:
    """A picture without parameters in a format."""
    return _saved(image, format, QUALITY)


def to_base64(contents: bytes) -> str:
    """As base64 text."""
    return base64.b64encode(contents).decode("ascii")


def _saved(image: Image.Image, format: Format, quality: int) -> bytes:
    file = io.BytesIO()
    settings = {} if format == "png" else {"quality": quality}
    image.save(file, format=format.upper(), **settings)
    return file.getvalue()
