"""Statistics of a tensor -> scale and zero point of its unsigned 8 bits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdrt_export.quantization.observation import Statistics

LEVELS = 255
SHARES = np.geomspace(1.0, 0.05, 48)  # shares of an end that are tried


@dataclass(frozen=True)
class QuantizationRange:
    """Values from `low` to `high` in 256 levels, one of which is exactly 0."""

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        """Distance of two levels."""
        return np.float32((self.high - self.low) / LEVELS)

    @property
    def zero_point(self) -> np.uint8:
        """The level of 0."""
        return np.uint8(np.rint(-self.low / self.scale).clip(0, LEVELS))


def choose_range(statistics: Statistics) -> QuantizationRange:
    """The range of least mean squared error of rounding and clipping together.

    Zero is in it, because padding is zero. Both ends are found by trying; clipping a rare value
    often costs less than coarse levels for all others.
    """
    low, high = min(statistics.low, 0.0), max(statistics.high, 0.0)
    if high - low < 1e-12:
        return QuantizationRange(0.0, 1.0)
    best = QuantizationRange(low, high)
    for _ in range(2):
        best = min(
            (QuantizationRange(best.low, high * share) for share in SHARES),
            key=lambda tried: squared_error(statistics, tried),
        )
        best = min(
            (QuantizationRange(low * share, best.high) for share in SHARES),
            key=lambda tried: squared_error(statistics, tried),
        )
    return best


def squared_error(statistics: Statistics, tried: QuantizationRange) -> float:
    """Mean squared error of a tensor in 8 bits: scale^2 / 12 inside, the distance outside."""
    values, counts = statistics.centers, statistics.counts
    scale = float(tried.scale)
    if scale <= 0:
        return float("inf")
    low = -float(tried.zero_point) * scale
    outside = values - values.clip(low, low + LEVELS * scale)
    errors = np.where(outside == 0, scale * scale / 12, outside**2)
    return float((errors * counts).sum() / counts.sum())


def weight_scales(weights: npt.NDArray[np.float32], out_axis: int) -> npt.NDArray[np.float32]:
    """One scale for each output of a layer, whose greatest weight becomes 127."""
    others = tuple(axis for axis in range(weights.ndim) if axis != out_axis)
    greatest = np.abs(weights).max(axis=others)
    scales: npt.NDArray[np.float32] = (np.where(greatest > 0, greatest, 1) / 127).astype(np.float32)
    return scales


def round_weights(
    weights: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], out_axis: int
) -> npt.NDArray[np.int8]:
    """Weights in signed 8 bits, -127 to 127."""
    units = along(scales, weights.ndim, out_axis)
    return np.asarray(np.rint(weights / units).clip(-127, 127), np.int8)


def along(scales: npt.NDArray[np.float32], rank: int, out_axis: int) -> npt.NDArray[np.float32]:
    """The scales in a shape that multiplies weights of this rank."""
    return scales.reshape([-1 if axis == out_axis else 1 for axis in range(rank)])
