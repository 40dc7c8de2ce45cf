"""Noise levels: what the model was trained on, and which of them a run goes through.

Everything is in the variance-exploding form of Karras et al. 2022 (arXiv 2206.00364): a noisy
latent is x = x0 + sigma * noise, so that sigma alone tells how noisy it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from sdrt.errors import UsageError
from sdrt.manifest import Schedule, Spacing

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrainingNoise:
    """The noise levels of training: `sigmas[t]` for each timestep t, ascending."""

    sigmas: Doubles

    @classmethod
    def of(cls, schedule: Schedule) -> "TrainingNoise":
        """Compute the levels from the betas (Ho et al. 2020, arXiv 2006.11239, eq. 4)."""
        alphas_cumprod = np.asarray(np.cumprod(1 - betas(schedule)), np.float64)
        if schedule.zero_terminal_snr:
            alphas_cumprod = without_signal_at_the_end(alphas_cumprod)
        return cls(np.sqrt((1 - alphas_cumprod) / alphas_cumprod))

    @property
    def steps(self) -> int:
        """How many timesteps training had."""
        return len(self.sigmas)

    @cached_property
    def log_sigmas(self) -> Doubles:
        """Natural logarithms of the levels."""
        return np.log(self.sigmas)

    def sigma(self, timestep: Doubles) -> Doubles:
        """The level at any timestep; between two, in proportion."""
        return np.interp(timestep, np.arange(self.steps), self.sigmas)

    def timestep(self, sigma: float) -> float:
        """The timestep of any level; between two, in proportion of the logarithms."""
        return float(np.interp(np.log(sigma), self.log_sigmas, np.arange(self.steps)))


def betas(schedule: Schedule) -> Doubles:
    """Variance added by each training step: (train_steps,)."""
    n = schedule.train_steps
    if schedule.curve == "linear":
        return np.linspace(schedule.beta_start, schedule.beta_end, n)
    if schedule.curve == "scaled_linear":
        return np.linspace(schedule.beta_start**0.5, schedule.beta_end**0.5, n) ** 2
    # Nichol and Dhariwal 2021 (arXiv 2102.09672), eq. 17
    at = np.arange(n + 1) / n
    alpha_bar = np.cos((at + 0.008) / 1.008 * np.pi / 2) ** 2
    clipped: Doubles = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    return clipped


def without_signal_at_the_end(alphas_cumprod: Doubles) -> Doubles:
    """Shift and scale so that the last level is noise alone (Lin et al. 2023, algorithm 1).

    What is left there is 2**-24 instead of 0, so that sigma is finite: 4096, as in diffusers.
    """
    signal = np.sqrt(alphas_cumprod)
    shifted = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return np.append(shifted[:-1] ** 2, 2.0**-24)


@dataclass(frozen=True)
class Steps:
    """One run's noise levels: from `sigmas[i]`, at `timesteps[i]`, to `sigmas[i + 1]`.

    `sigmas` has one entry more than `timesteps` and ends with the level that is left: 0, or the
    lowest level of training.
    """

    sigmas: Doubles
    timesteps: Doubles
    noise: TrainingNoise

    def __len__(self) -> int:
        return len(self.timesteps)

    def timestep(self, sigma: float) -> float:
        """The timestep to tell the U-Net for a level: exact for the run's own levels."""
        for own, timestep in zip(self.sigmas, self.timesteps, strict=False):
            if own == sigma:
                return float(timestep)
        return self.noise.timestep(sigma)

    def progress(self, sigma: float) -> float:
        """The share of the run's steps that are done at a level: 0 at the first."""
        return float(np.count_nonzero(self.sigmas[:-1] > sigma) / len(self))


def plan_steps(
    noise: TrainingNoise,
    count: int,
    spacing: Spacing,
    offset: int,
    last: float = 0.0,
    scheduler: str = "default",
) -> Steps:
    """Choose `count` noise levels, and `last` after them.

    By default the levels are those of evenly spaced timesteps (Lin et al. 2023, arXiv 2305.08891);
    every other of the `SCHEDULERS` spaces the levels themselves, over the whole range of training.
    """
    if not 1 <= count <= noise.steps:
        raise UsageError(f"steps is {count}; expected a whole number from 1 to {noise.steps}")
    if scheduler == "default":
        timesteps = spaced(noise.steps, count, spacing, offset)
        return Steps(np.append(noise.sigma(timesteps), last), timesteps, noise)
    sigmas = SCHEDULERS[scheduler](noise.sigmas[-1], noise.sigmas[0], count)
    timesteps = np.array([noise.timestep(sigma) for sigma in sigmas])
    return Steps(np.append(sigmas, last), timesteps, noise)


def spaced(total: int, count: int, spacing: Spacing, offset: int) -> Doubles:
    """`count` of `total` training timesteps, falling."""
    if spacing == "linspace":
        chosen = np.linspace(0, total - 1, count).round()[::-1]
    elif spacing == "trailing":
        chosen = np.arange(total, 0, -total / count).round()[:count] - 1
    else:
        chosen = np.arange(count, dtype=np.float64)[::-1] * (total // count) + offset
    return np.clip(chosen, 0, total - 1)


def karras(high: float, low: float, count: int, rho: float = 7.0) -> Doubles:
    """Even in the rho-th root (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    roots = np.linspace(high ** (1 / rho), low ** (1 / rho), count)
    return np.asarray(roots**rho)


def exponential(high: float, low: float, count: int) -> Doubles:
    """Even in the logarithm."""
    return np.geomspace(high, low, count)


def beta(high: float, low: float, count: int, alpha: float = 0.6) -> Doubles:
    """At even quantiles of Beta(alpha, alpha): dense at both ends (Lee et al. 2024, 2407.12173)."""
    quantiles = [_beta_quantile(p, alpha) for p in np.linspace(1, 0, count)]
    return low + np.array(quantiles) * (high - low)


def align_your_steps(table: tuple[float, ...], high: float, low: float, count: int) -> Doubles:
    """Levels optimised for ten steps (Sabour et al. 2024, arXiv 2404.14507).

    For other counts interpolated in logarithms, as the authors propose; the range is the table's.
    """
    at = np.linspace(0, 1, count + 1)
    levels = np.exp(np.interp(at, np.linspace(0, 1, len(table)), np.log(table)))
    return np.asarray(levels[:-1])


AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
AYS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)

# Spacings by the names that --scheduler knows. Each is a function of the highest and lowest level
# and the number of levels: (count,), falling from the one to the other.
SCHEDULERS: dict[str, Callable[[float, float, int], Doubles]] = {
    "karras": karras,
    "exponential": exponential,
    "beta": beta,
    "ays": partial(align_your_steps, AYS_SD15),
    "ays-sdxl": partial(align_your_steps, AYS_SDXL),
}


def _beta_quantile(p: float, alpha: float) -> float:
    """Where the distribution function of Beta(alpha, alpha) reaches p."""
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
