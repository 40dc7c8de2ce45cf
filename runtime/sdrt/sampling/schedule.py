"""Noise levels: what the model was trained on, and which of them a run goes through.

Everything is in the variance-exploding form of Karras et al. 2022 (arXiv 2206.00364): a noisy
latent is x = x0 + sigma * noise, so that sigma alone tells how noisy it is.
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
        """The last so many of them."""
        begin = len(self) - count
        return Steps(self.sigmas[begin:], self.timesteps[begin:], self.noise)

    def timestep(self, sigma: float) -> float:
        """The timestep to tell the U-Net for a level: exact for the run's own levels."""
        for own, timestep in zip(self.sigmas, self.timesteps, strict=False):
            if own == sigma:
                return float(timestep)
        return self.noise.timestep(sigma)

    def between(self, sigma: float, lower: float, share: float) -> float:
        """The level at a share of the way, in timesteps, to a lower level; 0 is the first one's."""
        start = self.timestep(sigma)
        end = self.timestep(lower) if lower > 0 else 0.0
        # The small number makes up for timesteps that were found by their levels.
        whole = math.floor(start + (end - start) * share + 1e-6)
        return float(self.noise.sigmas[whole])

    def progress(self, sigma: float) -> float:
        """The share of the run's steps that are done at a level: 0 at the first."""
        return float(np.count_nonzero(self.sigmas[:-1] > sigma) / len(self))


def spaced(
    total: int, count: int, spacing: Spacing, offset: int = 0, grid: Grid = "points"
) -> Doubles:
    """`count` of `total` training timesteps, falling (Lin et al. 2023, arXiv 2305.08891, table 2).

    Schedulers of one spacing differ in their grid; for the grid of distilled models see
    `distilled`.
    """
    if spacing == "trailing":
        return np.asarray(np.arange(total, 0, -total / count).round()[:count] - 1)
    # As many intervals as there are timesteps have no beginnings of their own.
    points = count + 1 if grid == "intervals" and count < total else count
    if spacing == "leading":
        chosen = np.arange(points, dtype=np.float64)[::-1] * (total // points)
        shifted: Doubles = chosen[:count] + min(offset, total - 1 - chosen[0])
        return shifted
    chosen = np.linspace(0, total - 1, points)[::-1][:count]
    return chosen if grid == "continuous" else np.round(chosen)


def distilled(total: int, count: int, original: int, share: float = 1.0) -> Doubles:
    """`count` of the `original` timesteps that a model was distilled on, falling.

    They are taken from the lowest `share` of those. Luo et al. 2023, arXiv 2310.04378, section 4.3.
    Raises `UsageError` for more than there are.
    """
    there = int(original * share)
    if count > there:
        of = "" if share == 1 else f", and at a strength of {share:g} to {there}"
        raise UsageError(
            f"steps is {count}; a model distilled on {original} takes from 1 to {original}{of} "
            "(2 to 8 are usual)"
        )
    own = np.arange(there, 0, -1) * (total // original) - 1
    places = np.linspace(0, there, count, endpoint=False).astype(int)
    return np.asarray(own[places], np.float64)
