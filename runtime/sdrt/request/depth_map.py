"""The depth map that a depth model paints over."""

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from sdrt.arrays import Floats, Latents
from sdrt.errors import UsageError
from sdrt.manifest import Manifest
from sdrt.request.init_image import FORMATS, LARGEST, SMALLEST, InitImage
from sdrt.request.options import DepthSource, Options

GREY = ("L", "I;16", "I;16L", "I;16B", "I", "F")
ARRAY_FILE = ".npy"
EXPECTED = "expected a grey picture of 8 or 16 bits, or an array (.npy) of (height, width)"
SHARPNESS = -0.75  # of the cubic, as torch.nn.functional.interpolate has it


@dataclass(frozen=True)
class DepthMap:
    """How near each point is, in any unit: the larger, the nearer, as MiDaS estimates it."""

    values: Floats = field(compare=False)
    """(height, width), finite and not the same everywhere."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.values.shape
        return width, height

    @property
    def digest(self) -> str:
        """SHA-256 of the values as float32, row by row."""
        return hashlib.sha256(self.values.tobytes()).hexdigest()

    def latents(self, height: int, width: int) -> Latents:
        """The U-Net's channel, (1, 1, height, width): its least value is -1, its greatest 1.

        Where the proportions differ, equal parts are cut off on both sides, as of an image.
        Raises `UsageError` where what is left is the same everywhere.
        """
        rows, columns = self.values.shape
        kept_rows, kept_columns = (
            min(rows, columns * height / width),
            min(columns, rows * width / height),
        )
        down, across = _bicubic(rows, kept_rows, height), _bicubic(columns, kept_columns, width)
        depth = down.astype(np.float32) @ self.values @ across.T  # no copy of a large map
        low, high = depth.min(), depth.max()
        if low == high:
            raise UsageError(
                f"the depth map is {low:g} everywhere in the part that is painted, which says "
                "nothing about depth; expected nearer and farther parts",
                "depth",
            )
        return np.asarray(2 * (depth - low) / (high - low) - 1, np.float32)[None, None]


def read_depth_map(manifest: Manifest, options: Options, init: InitImage | None) -> DepthMap | None:
    """Read the depth map of a depth model; None for other models.

    Raises `UsageError` for a missing or an unreadable map, for one that is not of the image's size,
    and for one that is given to a model that takes none.
    """
    depth = options.get("depth")
    if not manifest.takes_depth:
        if depth is not None:
            raise UsageError(
                f"depth was given, and {manifest.name!r} takes no depth map; leave it out, or use "
                "a depth model, such as Stable Diffusion 2's",
                "depth",
            )
        return None
    if depth is None:
        raise UsageError(
            f"{manifest.name!r} paints over a depth map; give one as depth (--depth)", "depth"
        )
    depth_map = open_depth_map(depth)
    if init and init.given_size and init.given_size != depth_map.size:
        found, expected = (
            f"{width}x{height}" for width, height in (depth_map.size, init.given_size)
        )
        raise UsageError(
            f"the depth map is {found} pixels and the image {expected}; expected both of one size",
            "depth",
        )
    return depth_map


def open_depth_map(depth: DepthSource) -> DepthMap:
    """Open a depth map: a grey picture, an array of (height, width), or the path of either.

    Raises `UsageError` for anything else, and for NaN, infinity, or one value everywhere.
    """
    array = _array(depth)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise UsageError(
            f"the depth map is an array of {array.dtype} of the shape {array.shape}; {EXPECTED}",
            "depth",
        )
    if not all(SMALLEST <= side <= LARGEST for side in array.shape):
        raise UsageError(
            f"the depth map is {array.shape[1]}x{array.shape[0]} pixels; expected sides from "
            f"{SMALLEST} to {LARGEST}",
            "depth",
        )
    with np.errstate(over="ignore"):
        values = np.array(array, np.float32)
    if not np.isfinite(values).all():
        raise UsageError("the depth map has NaN or infinity; expected finite numbers", "depth")
    if values.min() == values.max():
        raise UsageError(
            f"the depth map is {values.min():g} everywhere, which says nothing about depth; "
            "expected nearer and farther parts",
            "depth",
        )
    return DepthMap(values)


def _array(depth: DepthSource) -> npt.NDArray[np.generic]:
    if isinstance(depth, Image.Image):
        return _pixels(depth)
    if not isinstance(depth, str | Path):
        try:
            return np.asarray(depth)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"depth cannot be read as an array: {error}", "depth") from error
    try:
        if Path(depth).suffix.lower() == ARRAY_FILE:
            return np.asarray(np.load(depth, mmap_mode="r", allow_pickle=False))
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(depth, formats=FORMATS) as opened:
                return _pixels(opened)
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"there is no depth map {depth}", "depth") from error
    except (
        *(OSError, EOFError, UnidentifiedImageError, ValueError, SyntaxError),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise UsageError(
            f"cannot read the depth map {depth}: {error}; {EXPECTED}", "depth"
        ) from error


def _pixels(image: Image.Image) -> npt.NDArray[np.generic]:
    """The shades of a grey picture; nothing is decoded before its kind is checked."""
    if image.mode not in GREY:
        raise UsageError(
            f"the depth map has pixels of the kind {image.mode!r}; {EXPECTED}", "depth"
        )
    return np.asarray(image)


def _bicubic(given: int, kept: float, wanted: int) -> npt.NDArray[np.float64]:
    """The weights (wanted, given) that resize the middle `kept` of a side of `given` points.

    Keys 1981, "Cubic convolution interpolation", eq. 4, without smoothing where points are left
    out; beyond its ends a side goes on as it ends.
    """
    at = (given - kept) / 2 + (np.arange(wanted) + 0.5) * kept / wanted - 0.5
    first = np.floor(at).astype(np.int64)
    weights = np.zeros((wanted, given))
    for offset in (-1, 0, 1, 2):
        distance = np.abs(at - first - offset)
        near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance**2 + 1
        far = ((SHARPNESS * distance - 5 * SHARPNESS) * distance + 8 * SHARPNESS) * distance
        weight = np.where(distance <= 1, near, far - 4 * SHARPNESS)
        points = np.clip(first + offset, 0, given - 1)
        np.add.at(weights, (np.arange(wanted), points), weight)
    return weights
