"""Methods that keep nothing from one step to the next."""

import math
from itertools import pairwise

from sdrt.arrays import Latents
from sdrt.sampling.samplers.sampler import Denoise, Draw, Sigmas, Trajectory


def euler(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw, eta: float = 0.0) -> Trajectory:
    """Keep the predicted noise and lower its level.

    With eta = 0 this is Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without
    churn) and DDIM (Song et al. 2020, arXiv 2010.02502, eq. 12), which are the same in this form.
    `eta` replaces that share of the noise by new noise (eq. 16); 1 gives DDPM (Ho et al. 2020,
    arXiv 2006.11239, algorithm 2), also known as ancestral sampling.
    """
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        down, up = split(sigma, following, eta)
        x = denoised + (x - denoised) * (down / sigma)
        if up:
            x = x + draw() * up
        yield x, denoised


def heun(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """Heun's method (Karras et al. 2022, arXiv 2206.00364, algorithm 1)."""
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        ahead = x + slope * (following - sigma)
        if following > 0:
            slope = (slope + (ahead - denoise(ahead, following)) / following) / 2
            ahead = x + slope * (following - sigma)
        x = ahead
        yield x, denoised


def dpm2(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw, eta: float = 0.0) -> Trajectory:
    """Take the slope in the middle, in logarithms, of each step.

    DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927, algorithm 1) as Karras et al. 2022 (arXiv
    2206.00364, algorithm 2) step through it; with `eta`, ancestral noise as in `euler`.
    """
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        down, up = split(sigma, following, eta)
        slope = (x - denoised) / sigma
        if down > 0:
            middle = math.sqrt(sigma * down)
            halfway = x + slope * (middle - sigma)
            slope = (halfway - denoise(halfway, middle)) / middle
        x = x + slope * (down - sigma)
        if up:
            x = x + draw() * up
        yield x, denoised


def dpmpp_2s_a(
    denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw, eta: float = 1.0
) -> Trajectory:
    """DPM-Solver++(2S) (Lu et al. 2022, arXiv 2211.01095, algorithm 1) with r = 1/2.

    `eta` as in `euler`; 1 is the ancestral form that web interfaces offer.
    """
    for sigma, following in pairwise(sigmas):
        denoised = aim = denoise(x, sigma)
        down, up = split(sigma, following, eta)
        if down > 0:
            middle = math.sqrt(sigma * down)
            aim = denoise(aim + (x - aim) * (middle / sigma), middle)
        x = aim + (x - aim) * (down / sigma)
        if up:
            x = x + draw() * up
        yield x, denoised


def dpmpp_sde(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """SDE-DPM-Solver++ of second order, singlestep, with new noise in both halves of a step.

    Lu et al. 2022, arXiv 2211.01095, appendix B.3, with r = 1/2; each half is ancestral as in
    `euler` with eta = 1.
    """
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if following == 0:
            x = denoised
            yield x, denoised
            return
        middle = math.sqrt(sigma * following)
        down, up = split(sigma, middle, 1.0)
        halfway = denoised + (x - denoised) * (down / sigma) + draw() * up
        aim = denoise(halfway, middle)
        down, up = split(sigma, following, 1.0)
        x = aim + (x - aim) * (down / sigma) + draw() * up
        yield x, denoised


def split(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """The level to step down to, and of the noise to add then; together they make `following`.

    Song et al. 2020, arXiv 2010.02502, eq. 16, in this form.
    """
    up = eta * following * math.sqrt(max(0.0, 1 - (following / sigma) ** 2))
    return math.sqrt(max(0.0, following**2 - up**2)), up
