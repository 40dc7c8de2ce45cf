"""Array types that several packages name, and how far two arrays are apart."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any type and shape."""
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Latents = npt.NDArray[np.floating[Any]]
"""(images, channels, height / 8, width / 8)."""
Embeddings = npt.NDArray[np.float32]
"""(images, tokens, width)."""


def snr_db(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Signal-to-noise ratio of `actual` as a copy of `expected`, dB; infinite when equal."""
    signal = np.asarray(expected, np.float64)
    noise = float(((signal - np.asarray(actual, np.float64)) ** 2).sum())
    power = float((signal**2).sum())
    if noise == 0:
        return math.inf
    return -math.inf if power == 0 or math.isinf(noise) else 10 * math.log10(power / noise)
