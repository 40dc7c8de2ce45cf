"""PSNR and SSIM of images and latents against a reference, and how such figures spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Floats = npt.NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5  # of SSIM, pixels
K1, K2 = 0.01, 0.03
WHITE = 255


def psnr_db(expected: npt.ArrayLike, measured: npt.ArrayLike, peak: float = WHITE) -> float:
    """Peak signal-to-noise ratio: 10 log10(peak^2 / mean((expected - found)^2)).

    `peak` is the largest signal: by default that of 8-bit pictures. Infinite for equal arrays.
    """
    signal, copy = np.asarray(expected, np.float64), np.asarray(measured, np.float64)
    _check_shapes(signal, copy)
    error = float(((signal - copy) ** 2).mean())
    if error == 0:
        return math.inf
    return 10 * math.log10(peak**2 / error) if peak > 0 else -math.inf


def latent_psnr_db(expected: npt.ArrayLike, measured: npt.ArrayLike) -> float:
    """PSNR of latents; the peak is the range of the expected ones, their maximum less minimum.

    Latents have no largest value of their own. The range makes the figure independent of the
    convention by which a step's latents are scaled.
    """
    signal = np.asarray(expected, np.float64)
    return psnr_db(signal, measured, float(signal.max() - signal.min()))


def ssim(expected: Pixels, measured: Pixels) -> float:
    """Mean structural similarity, 1 for equal pictures: Wang et al. 2004, equation 13.

    Moments are weighted by a Gaussian of 11x11 pixels with deviation 1.5, as in the paper, where
    the window lies inside the picture; red, green and blue are averaged. Pictures are 8-bit.
    """
    x, y = np.asarray(expected, np.float64), np.asarray(measured, np.float64)
    _check_shapes(x, y)
    if min(x.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM takes pictures from {WINDOW}x{WINDOW} pixels on, not {x.shape}")
    c1, c2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2
    mean_x, mean_y = _weighted(x), _weighted(y)
    variances = _weighted(x * x) - mean_x**2 + _weighted(y * y) - mean_y**2
    covariance = _weighted(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def _weighted(values: Floats) -> Floats:
    """Means under the Gaussian window, at each place that it fits: both sides shorter by 10."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(at**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        values = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis) @ weights
    return values


def _check_shapes(expected: Floats, measured: Floats) -> None:
    if expected.shape != measured.shape:
        raise ValueError(f"cannot compare shapes {expected.shape} and {measured.shape}")


@dataclass(frozen=True)
class Spread:
    """How figures are distributed; quantiles between two of them are interpolated."""

    min: float
    p10: float
    median: float
    p90: float
    max: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> "Spread":
        """Summarize one value or more, which may be infinite."""
        ordered = sorted(values)
        return cls(*(_quantile(ordered, share) for share in (0, 0.1, 0.5, 0.9, 1)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Like numpy's, which gives NaN between infinite values."""
    whole, part = divmod(share * (len(ordered) - 1), 1)
    low = ordered[int(whole)]
    high = ordered[math.ceil(share * (len(ordered) - 1))]
    return low if low == high else low + part * (high - low)
