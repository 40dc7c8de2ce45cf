"""Noise levels of training, and those of a run.

Everything is in the variance-exploding form of Karras et al. 2022 (arXiv 2206.00364): a noisy
latent is x = x0 + sigma * noise, so sigma alone is its noise level.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdrt.arrays import Doubles
from sdrt.errors import UsageError
from sdrt.manifest import Schedule, Spacing
from sdrt.sampling.samplers.sampler import Grid


@dataclass(frozen=True)
class TrainingNoise:
    """The noise levels of training: `sigmas[t]` for each timestep t, ascending."""

    sigmas: Doubles

    @classmethod
    def from_schedule(cls, schedule: Schedule) -> "TrainingNoise":
        """Compute the levels from the betas (Ho et al. 2020, arXiv 2006.11239, eq. 4)."""
        alphas_cumprod = np.asarray(np.cumprod(1 - betas(schedule)), np.float64)
        if schedule.zero_terminal_snr:
            alphas_cumprod = without_signal_at_the_end(alphas_cumprod)
        return cls(np.sqrt((1 - alphas_cumprod) / alphas_cumprod))

    @property
    def steps(self) -> int:
        """The number of timesteps of training."""
        return len(self.sigmas)

    @cached_property
    def log_sigmas(self) -> Doubles:
        """Natural logarithms of the levels."""
        return np.log(self.sigmas)

    def sigma(self, timestep: Doubles) -> Doubles:
        """The level at a timestep; between whole timesteps interpolated linearly."""
        return np.interp(timestep, np.arange(self.steps), self.sigmas)

    def timestep(self, sigma: float) -> float:
        """The timestep of a level; between those of training interpolated in the logarithm."""
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

    The signal left there is 2**-24 instead of 0, so that sigma is finite: 4096, as in diffusers.
    """
    signal = np.sqrt(alphas_cumprod)
    shifted = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return np.append(shifted[:-1] ** 2, 2.0**-24)


@dataclass(frozen=True)
class Steps:
    """The noise levels of a run: step i goes from `sigmas[i]`, at `timesteps[i]`, to the next.

    `sigmas` has one entry more than `timesteps`; the last is the level after the run: 0, or the
    lowest level of training.
    """

    sigmas: Doubles
    timesteps: Doubles
    noise: TrainingNoise

    @classmethod
    def at_timesteps(cls, noise: TrainingNoise, timesteps: Doubles, last: float = 0.0) -> "Steps":
        """Go through the levels of these timesteps, then to `last`."""
        return cls(np.append(noise.sigma(timesteps), last), timesteps, noise)

    @classmethod
    def at_levels(cls, noise: TrainingNoise, sigmas: Doubles, last: float = 0.0) -> "Steps":
        """Go through these levels, then to `last`."""
        timesteps = np.array([noise.timestep(sigma) for sigma in sigmas])
        return cls(np.append(sigmas, last), timesteps, noise)

    def __len__(self) -> int:
        return len(self.timesteps)

    def last(self, count: int) -> "Steps":
        """The last `count` steps."""
        begin = len(self) - count
        return Steps(self.sigmas[begin:], self.timesteps[begin:], self.noise)

    def timestep(self, sigma: float) -> float:
        """The U-Net's timestep for a level: exact for the levels of the run."""
        for level, timestep in zip(self.sigmas, self.timesteps, strict=False):
            if level == sigma:
                return float(timestep)
        return self.noise.timestep(sigma)

    def between(self, sigma: float, lower: float, share: float) -> float:
        """The level at a share of the way from `sigma` to `lower`, measured in timesteps.

        Level 0 counts as timestep 0.
        """
        start = self.timestep(sigma)
        end = self.timestep(lower) if lower > 0 else 0.0
        # The small number makes up for rounding in timesteps that were computed from levels.
        whole = math.floor(start + (end - start) * share + 1e-6)
        return float(self.noise.sigmas[whole])

    def progress(self, sigma: float) -> float:
        """The share of the run's steps that are done at a level; 0 at the first."""
        return float(np.count_nonzero(self.sigmas[:-1] > sigma) / len(self))


def spaced_timesteps(
    total: int, count: int, spacing: Spacing, offset: int = 0, grid: Grid = "points"
) -> Doubles:
    """`count` of `total` training timesteps, falling (Lin et al. 2023, arXiv 2305.08891, table 2).

    diffusers' schedulers differ in the grid that they space; see `distilled_timesteps` for that of
    distilled models.
    """
    if spacing == "trailing":
        return np.asarray(np.arange(total, 0, -total / count).round()[:count] - 1)
    # One point more than steps, as long as there are timesteps for it.
    points = count + 1 if grid == "intervals" and count < total else count
    if spacing == "leading":
        chosen = np.arange(points, dtype=np.float64)[::-1] * (total // points)
        shifted: Doubles = chosen[:count] + min(offset, total - 1 - chosen[0])
        return shifted
    chosen = np.linspace(0, total - 1, points)[::-1][:count]
    return chosen if grid == "continuous" else np.round(chosen)


def distilled_timesteps(total: int, count: int, original: int, share: float = 1.0) -> Doubles:
    """`count` of the `original` timesteps that a model was distilled on, falling.

    They are taken from the lowest `share` of those. Luo et al. 2023, arXiv 2310.04378, section 4.3.
    Raises `UsageError` for more steps than there are timesteps.
    """
    available = int(original * share)
    if count > available:
        limit = "" if share == 1 else f", and at a strength of {share:g} to {available}"
        raise UsageError(
            f"steps is {count}; a model distilled on {original} takes from 1 to {original}{limit} "
            "(2 to 8 are usual)"
        )
    timesteps = np.arange(available, 0, -1) * (total // original) - 1
    places = np.linspace(0, available, count, endpoint=False).astype(int)
    return np.asarray(timesteps[places], np.float64)
