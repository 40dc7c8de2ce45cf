"""The image that a run starts from, and the mask of what it repaints."""

import hashlib
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sdrt import validation
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import Manifest
from sdrt.request.options import Options, Picture

Pixels = npt.NDArray[np.uint8]  # (images, height, width, 3): one for all images, or one for each
Mask = npt.NDArray[np.bool_]  # (height, width), true where to repaint

FORMATS = ("PNG", "JPEG", "WEBP")
SMALLEST, LARGEST = 8, 16_384  # pixels of a side: useful from here, decodable in memory to there
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa")
HALF = 128
STRENGTH = 0.8  # without a mask; what a mask selects is repainted from pure noise


@dataclass(frozen=True)
class InitImage:
    """An image and its mask, scaled and cropped to the size of the run."""

    pixels: Pixels = field(compare=False)
    strength: float
    """Share of the steps that run; at 1 nothing of the image, or of its masked part, is left."""
    mask: Mask | None = field(default=None, compare=False)
    has_alpha: bool = False
    """Whether the image had transparent parts, which are shown on white."""
    pastes: bool = True
    """Whether pixels outside of the mask are copied from the image into the result."""
    given_size: tuple[int, int] | None = field(default=None, compare=False)
    """Width and height of the image before it was fitted; None for one that was made on the way."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape[1:3]
        return width, height

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the fitted pixels, row by row, and of the mask with one byte a pixel."""
        arrays = {"image": self.pixels, "mask": self.mask}
        return {
            name: hashlib.sha256(array.tobytes()).hexdigest()
            for name, array in arrays.items()
            if array is not None
        }

    def tensor(self, without_masked: bool = False) -> npt.NDArray[np.float32]:
        """The VAE encoder's input, (images, 3, height, width) in -1..1.

        `without_masked` makes the masked pixels grey.
        """
        values: npt.NDArray[np.float32] = self.pixels.transpose(0, 3, 1, 2).astype(np.float32, "C")
        values = values / np.float32(127.5) - np.float32(1)
        if without_masked and self.mask is not None:
            values = np.where(self.mask, np.float32(0), values)
        return values

    def latent_mask(self, downscale: int) -> npt.NDArray[np.float32]:
        """1 for each latent with any masked pixel, else 0: (1, 1, h/8, w/8)."""
        assert self.mask is not None
        height, width = (side // downscale for side in self.mask.shape)
        blocks = self.mask.reshape(height, downscale, width, downscale)
        return np.asarray(blocks.any(axis=(1, 3)), np.float32)[None, None]

    def paste(self, painted: Image.Image) -> Image.Image:
        """The painted picture with the image's own pixels outside of the mask."""
        if self.mask is None or not self.pastes:
            return painted
        pasted = np.where(self.mask[..., None], np.asarray(painted), self.pixels[0])
        return Image.fromarray(pasted)


def read_init_image(manifest: Manifest, options: Options) -> InitImage | None:
    """Read the image, the mask and the options that belong to them; None without an image.

    Raises `UsageError` for wrong or conflicting options, and `UnsupportedError` for a model that
    cannot start from an image.
    """
    image, mask = options.get("image"), options.get("mask")
    if image is None:
        for name in ("mask", "strength", "paste"):
            if options.get(name) is not None:
                raise UsageError(f"{name} was given without an image to start from; give both")
        _check_unet_inputs(manifest, has_image=False, has_mask=False)
        return None
    if "vae_encoder" not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no vae_encoder, which turns an image into latents; "
            "export it again with this sdrt"
        )
    _check_unet_inputs(manifest, has_image=True, has_mask=mask is not None)
    if manifest.edits:
        _check_edit(manifest, options)
    elif mask is None and options.get("paste") is not None:
        raise UsageError("paste was given without a mask; give both")
    default = STRENGTH if mask is None and not manifest.edits else 1.0
    size, downscale = (options.get("width"), options.get("height")), manifest.latent.downscale
    for name, side in zip(("width", "height"), size, strict=True):
        if side is not None:
            validation.size(name, side, downscale)
    pastes = validation.flag("paste", options.get("paste", True))
    strength = validation.number("strength", options.get("strength", default), 1)
    return open_init_image(image, mask, strength, size, downscale, pastes)


def _check_unet_inputs(manifest: Manifest, has_image: bool, has_mask: bool) -> None:
    """Check that the options supply every input channel that the U-Net has."""
    if manifest.conditions and not (manifest.edits or manifest.takes_mask or manifest.takes_depth):
        channels = manifest.latent.channels
        raise UnsupportedError(
            f"the U-Net of {manifest.name!r} takes {manifest.conditions} channels besides the "
            f"latents' {channels}; expected none, 1 of a depth model, {channels} of a model "
            f"that edits pictures, or {channels + 1} of an inpainting model"
        )
    if manifest.edits and not has_image:
        raise UsageError(
            f"{manifest.name!r} edits pictures; give an image to change as the prompt says"
        )
    if manifest.takes_mask and not has_mask:
        raise UsageError(
            f"{manifest.name!r} is an inpainting model; give an image, and a mask of what to "
            "repaint"
        )


def _check_edit(manifest: Manifest, options: Options) -> None:
    """Refuse what does not apply to a model that edits pictures (InstructPix2Pix)."""
    reasons = {
        "mask": "changes the whole picture; to repaint a part of it, use an inpainting model",
        "strength": "always starts from noise; image_guidance_scale sets how near the result "
        "stays to the picture",
        "paste": "has no mask, whose surroundings could be pasted",
    }
    for name, reason in reasons.items():
        if options.get(name) is not None:
            raise UsageError(
                f"{name} was given, and {manifest.name!r}, which edits pictures, {reason}"
            )


def count_steps(steps: int, strength: float, squeezes_steps: bool) -> int:
    """How many steps run over an image: its share of them, or all squeezed into that share."""
    return steps if squeezes_steps else min(int(steps * strength), steps)


def check_strength(init: InitImage | None, steps: int, squeezes_steps: bool) -> None:
    """Raise `UsageError` if there is an image and its strength leaves no step to run."""
    if init and count_steps(steps, init.strength, squeezes_steps) < 1:
        raise UsageError(
            f"{steps} steps at a strength of {init.strength:g} leave no step at all; expected a "
            f"strength of at least {math.ceil(1000 / steps) / 1000:g}, or more steps"
        )


def open_init_image(
    image: Picture,
    mask: Picture | None,
    strength: float,
    size: tuple[int | None, int | None],
    downscale: int,
    pastes: bool = True,
) -> InitImage:
    """Open an image and its mask, turn them upright, and fit them to the size of the run.

    `size` is (width, height). Without it the run has the image's own size, cropped to multiples of
    `downscale`; with it the image is scaled to cover the size, and cropped equally on both sides.
    Raises `UsageError` for unreadable files, impossible sizes, a mask of another size than the
    image, and a mask that selects nothing.
    """
    opened, has_alpha = open_picture("image", image, "RGB")
    target = run_size("image", opened.size, size, downscale)
    selected = None
    if mask is not None:
        shades, _ = open_picture("mask", mask, "L")
        if shades.size != opened.size:
            raise UsageError(
                f"the mask is {_by(shades.size)} pixels and the image {_by(opened.size)}; expected "
                "both of one size"
            )
        selected = np.asarray(fit_picture(shades, target, Image.Resampling.BOX)) >= HALF
        if not selected.any():
            raise UsageError(
                "the mask is black everywhere, so nothing would be repainted; make the parts to "
                "repaint white"
            )
    pixels = np.asarray(fit_picture(opened, target, Image.Resampling.LANCZOS))
    return InitImage(pixels[None], strength, selected, has_alpha, pastes, opened.size)


def open_picture(what: str, given: Picture, mode: str) -> tuple[Image.Image, bool]:
    """The image upright, on white, in this mode; and whether it had transparent parts.

    `what` names it in errors. Raises `UsageError` for what cannot be read.
    """
    if isinstance(given, Image.Image):
        return _converted(what, given, mode)
    if not isinstance(given, str | Path):
        raise UsageError(f"{what} is {given!r}; expected a path or a Pillow image")
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
    """Convert an image whose header is acceptable; nothing is decoded before that check."""
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


def run_size(
    what: str, own_size: tuple[int, int], size: tuple[int | None, int | None], downscale: int
) -> tuple[int, int]:
    """Width and height of a run over an image, or over something else that has a size.

    `what` it is, and its `own_size`; `size` and errors are as for `open_init_image`.
    """
    width, height = size
    if width is not None and height is not None:
        return width, height
    if width is not None or height is not None:
        article = "an" if what == "image" else "a"
        raise UsageError(
            f"with {article} {what}, give both width and height, or neither for its own size"
        )
    least, most = validation.MIN_LATENT * downscale, validation.MAX_SIZE
    if not all(least <= side < most + downscale for side in own_size):
        raise UsageError(
            f"the {what} is {_by(own_size)} pixels, and sides from {least} to {most} can be "
            f"painted; choose a size with --size, and the {what} is scaled"
        )
    width, height = (side // downscale * downscale for side in own_size)
    return width, height


def fit_picture(image: Image.Image, size: tuple[int, int], filter: Image.Resampling) -> Image.Image:
    """The image scaled to cover a size (width, height), and cropped equally on both sides."""
    return image if image.size == size else ImageOps.fit(image, size, filter)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
