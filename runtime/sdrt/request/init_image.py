"""The picture that a run starts from, and the mask of what to paint anew: files -> arrays."""

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sdrt import validation
from sdrt.errors import UsageError
from sdrt.request.options import Picture

Pixels = npt.NDArray[np.uint8]  # (images, height, width, 3): one for all images, or one for each
Mask = npt.NDArray[np.bool_]  # (height, width), true where to paint anew

FORMATS = ("PNG", "JPEG", "WEBP")
SMALLEST, LARGEST = 8, 16_384  # pixels of a side; nobody paints over less, or has memory for more
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa")
HALF = 128


@dataclass(frozen=True)
class InitImage:
    """What to start from, in the size that the run paints."""

    pixels: Pixels = field(compare=False)
    strength: float
    """Share of the steps to go; at 1 nothing is left of a picture, or of what is under a mask."""
    mask: Mask | None = field(default=None, compare=False)
    has_alpha: bool = False
    """Whether the picture had transparent parts, which are painted over white."""
    pastes: bool = True
    """Whether what the mask leaves out is taken from the picture itself at the end."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape[1:3]
        return width, height

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the pixels that are used, row by row, and of the mask's, a byte for each."""
        arrays = {"image": self.pixels, "mask": self.mask}
        return {
            name: hashlib.sha256(array.tobytes()).hexdigest()
            for name, array in arrays.items()
            if array is not None
        }

    def tensor(self, without_masked: bool = False) -> npt.NDArray[np.float32]:
        """As the VAE takes it, (images, 3, height, width) in -1..1; grey under the mask."""
        values: npt.NDArray[np.float32] = self.pixels.transpose(0, 3, 1, 2).astype(np.float32, "C")
        values = values / np.float32(127.5) - np.float32(1)
        if without_masked and self.mask is not None:
            values = np.where(self.mask, np.float32(0), values)
        return values

    def latent_mask(self, downscale: int) -> npt.NDArray[np.float32]:
        """1 for each latent of which any pixel is to be painted anew: (1, 1, h/8, w/8)."""
        assert self.mask is not None
        height, width = (side // downscale for side in self.mask.shape)
        blocks = self.mask.reshape(height, downscale, width, downscale)
        return np.asarray(blocks.any(axis=(1, 3)), np.float32)[None, None]

    def paste(self, painted: Image.Image) -> Image.Image:
        """The painted picture, and the first one's own pixels outside of the mask."""
        if self.mask is None or not self.pastes:
            return painted
        joined = np.where(self.mask[..., None], np.asarray(painted), self.pixels[0])
        return Image.fromarray(joined)


def read_init_image(
    image: Picture,
    mask: Picture | None,
    strength: float,
    size: tuple[int | None, int | None],
    downscale: int,
    pastes: bool = True,
) -> InitImage:
    """Open, turn upright and fit a picture and its mask.

    Without a size the run paints the picture's own, cut to multiples of `downscale`. With one the
    picture is scaled until it covers it, and what sticks out is cut off on both sides. Raises
    `UsageError` for what is no picture, for sizes that cannot be, for a mask of another size or one
    that hides nothing.
    """
    opened, has_alpha = _open("image", image, "RGB")
    width, height = _target(opened.size, size, downscale)
    hidden = None
    if mask is not None:
        shades, _ = _open("mask", mask, "L")
        if shades.size != opened.size:
            raise UsageError(
                f"the mask is {_by(shades.size)} pixels and the image {_by(opened.size)}; expected "
                "both of one size"
            )
        hidden = np.asarray(_fit(shades, (width, height), Image.Resampling.BOX)) >= HALF
        if not hidden.any():
            raise UsageError(
                "the mask is black everywhere, so nothing would be painted; paint white what is to "
                "be made anew"
            )
    fitted = np.asarray(_fit(opened, (width, height), Image.Resampling.LANCZOS))
    return InitImage(fitted[None], strength, hidden, has_alpha, pastes)


def _open(what: str, given: Picture, mode: str) -> tuple[Image.Image, bool]:
    """Upright, without transparency, in this mode; and whether it had any."""
    if isinstance(given, Image.Image):
        return _converted(what, given, mode)
    if not isinstance(given, str | Path):
        raise UsageError(f"{what} is {given!r}; expected a path or a pillow image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(given, formats=FORMATS) as opened:
                return _converted(what, opened, mode)
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"there is no {what} {given}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UsageError(
            f"the {what} {given} is larger than {_by((LARGEST, LARGEST))} pixels: {error}"
        ) from error
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise UsageError(
            f"cannot read the {what} {given}: {error}; expected {', '.join(FORMATS)}"
        ) from error


def _converted(what: str, image: Image.Image, mode: str) -> tuple[Image.Image, bool]:
    """Check what is cheap to know before anything is decoded."""
    if not all(SMALLEST <= side <= LARGEST for side in image.size):
        raise UsageError(
            f"the {what} is {_by(image.size)} pixels; expected sides from {SMALLEST} to {LARGEST}"
        )
    if image.mode not in MODES:
        raise UsageError(
            f"the {what} has pixels of the kind {image.mode!r}; expected 8 bits for each colour"
        )
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert(mode), False
    layer = upright.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert(mode), True


def _target(
    own: tuple[int, int], size: tuple[int | None, int | None], downscale: int
) -> tuple[int, int]:
    """Width and height to paint."""
    width, height = size
    if width is not None and height is not None:
        return width, height
    if width is not None or height is not None:
        raise UsageError("with an image, give both width and height, or neither for its own size")
    least, most = validation.MIN_LATENT * downscale, validation.MAX_SIZE
    if not all(least <= side < most + downscale for side in own):
        raise UsageError(
            f"the image is {_by(own)} pixels, and sides from {least} to {most} can be painted; say "
            "which with --size, and the image is scaled"
        )
    width, height = (side // downscale * downscale for side in own)
    return width, height


def _fit(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    return image if image.size == size else ImageOps.fit(image, size, how)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
