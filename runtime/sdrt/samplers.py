"""Samplers: arithmetic on latents and noise levels, nothing else.

A sampler goes from pure noise to a picture's latents in the form x = x0 + sigma * noise. It asks
`denoise(x, sigma)` for the clean latents it should aim at, and yields (x, denoised) after each
step, so that whoever iterates can watch, time or stop it. No sampler knows a network, a prompt,
guidance or a timestep.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Latents = npt.NDArray[np.float32]
Denoise = Callable[[Latents, float], Latents]
Trajectory = Iterator[tuple[Latents, Latents]]


def euler(denoise: Denoise, x: Latents, sigmas: Sequence[float]) -> Trajectory:
    """Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without churn)."""
    for sigma, following in zip(sigmas, sigmas[1:], strict=False):
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        x = x + slope * (following - sigma)
        yield x, denoised


def ddim(denoise: Denoise, x: Latents, sigmas: Sequence[float]) -> Trajectory:
    """DDIM without added noise (Song et al. 2020, arXiv 2010.02502, eq. 12 with sigma_t = 0)."""
    for sigma, following in zip(sigmas, sigmas[1:], strict=False):
        denoised = denoise(x, sigma)
        # In this form the predicted noise is (x - denoised) / sigma, and eq. 12 keeps it.
        x = denoised + (x - denoised) * (following / sigma)
        yield x, denoised


def dpmpp_2m(denoise: Denoise, x: Latents, sigmas: Sequence[float]) -> Trajectory:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2); lambda is -log sigma."""
    previous, last_h = None, 0.0
    for sigma, following in zip(sigmas, sigmas[1:], strict=False):
        denoised = denoise(x, sigma)
        if following == 0:
            yield denoised, denoised
            return
        h = math.log(sigma / following)
        target = denoised
        if previous is not None:
            target = denoised + (denoised - previous) * (h / (2 * last_h))
        x = x * (following / sigma) - target * math.expm1(-h)
        previous, last_h = denoised, h
        yield x, denoised


Method = Callable[[Denoise, Latents, Sequence[float]], Trajectory]


@dataclass(frozen=True)
class Sampler:
    """A method with what it needs to know about the run's noise levels."""

    method: Method
    a1111: str
    """Its name in AUTOMATIC1111's web UI."""
    summary: str
    ends_at_zero: bool = True
    """Whether the last noise level is 0, or the lowest that the model was trained on."""


SAMPLERS = {
    "ddim": Sampler(ddim, "DDIM", "DDIM (Song et al. 2020), first order", ends_at_zero=False),
    "euler": Sampler(euler, "Euler", "Euler (Karras et al. 2022), first order"),
    "dpm++2m": Sampler(
        dpmpp_2m, "DPM++ 2M", "DPM-Solver++ 2M (Lu et al. 2022), second order, multistep"
    ),
}
