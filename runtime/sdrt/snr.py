"""Signal-to-noise ratio: how far an array is from another."""

import math

import numpy as np
import numpy.typing as npt


def snr_db(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Signal-to-noise ratio of `actual` as a copy of `expected`, dB; infinite when equal."""
    signal = np.asarray(expected, np.float64)
    noise = float(((signal - np.asarray(actual, np.float64)) ** 2).sum())
    power = float((signal**2).sum())
    if noise == 0:
        return math.inf
    return -math.inf if power == 0 or math.isinf(noise) else 10 * math.log10(power / noise)
