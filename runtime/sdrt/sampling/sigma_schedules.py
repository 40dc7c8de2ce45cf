"""Schedules of noise levels, such as Karras's: what `--scheduler` selects.

Each is a function of the highest level, the lowest level and their number, and returns (count,)
falling levels.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from sdrt.arrays import Doubles


def karras(high: float, low: float, count: int, rho: float = 7.0) -> Doubles:
    """Even in the rho-th root (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    roots = np.linspace(high ** (1 / rho), low ** (1 / rho), count)
    return np.asarray(roots**rho)


def exponential(high: float, low: float, count: int) -> Doubles:
    """Even in the logarithm."""
    return np.geomspace(high, low, count)


def polyexponential(high: float, low: float, count: int, rho: float = 1.0) -> Doubles:
    """Even in the logarithm, up to a power `rho` of the place: above 1 denser at the low end.

    From k-diffusion (Crowson 2022); with rho = 1 the same as `exponential`.
    """
    places = np.linspace(1, 0, count) ** rho
    return np.asarray(low * (high / low) ** places)


def beta(high: float, low: float, count: int, alpha: float = 0.6) -> Doubles:
    """At even quantiles of Beta(alpha, alpha): dense at both ends (Lee et al. 2024, 2407.12173)."""
    quantiles = [_beta_quantile(p, alpha) for p in np.linspace(1, 0, count)]
    return low + np.array(quantiles) * (high - low)


def align_your_steps(table: tuple[float, ...], high: float, low: float, count: int) -> Doubles:
    """Levels optimised for ten steps (Sabour et al. 2024, arXiv 2404.14507).

    Other counts are interpolated in the logarithm, as the authors propose; `high` and `low` are
    ignored, because the range is the table's.
    """
    at = np.linspace(0, 1, count + 1)
    levels = np.exp(np.interp(at, np.linspace(0, 1, len(table)), np.log(table)))
    return np.asarray(levels[:-1])


AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
AYS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)

SIGMA_SCHEDULES: dict[str, Callable[..., Doubles]] = {
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "beta": beta,
    "ays": partial(align_your_steps, AYS_SD15),
    "ays-sdxl": partial(align_your_steps, AYS_SDXL),
}
"""Schedules by the names that `--scheduler` takes."""
WITH_RHO = ("karras", "polyexponential")
"""Schedules with the option `rho`."""
WITH_SIGMA_MIN = ("karras", "exponential", "polyexponential", "beta")
"""Schedules with the option `sigma_min`: those whose range is not a table's."""


def _beta_quantile(p: float, alpha: float) -> float:
    """The quantile p of Beta(alpha, alpha)."""
    if p > 0.5:  # symmetric about one half
        return 1 - _beta_quantile(1 - p, alpha)
    low, high = 0.0, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(middle, alpha) < p else (low, middle)
    return (low + high) / 2


def _beta_cdf(x: float, alpha: float) -> float:
    """Distribution function of Beta(alpha, alpha) for x up to one half, by its power series."""
    scale = math.gamma(2 * alpha) / math.gamma(alpha) ** 2
    term, total = 1.0, 1.0 / alpha
    for k in range(1, 80):
        term *= (k - alpha) / k * x
        total += term / (alpha + k)
    return float(scale * x**alpha * total)
