"""Consistency sampling, for networks distilled to reach clean latents in a few steps."""

import math
from itertools import pairwise

from sdrt.arrays import Latents
from sdrt.sampling.samplers.sampler import Between, Denoise, Draw, Sigmas, Trajectory


def lcm(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """Jump to the clean latents, and back up with new noise to the next level.

    Multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, algorithm 1; for latents
    Luo et al. 2023, arXiv 2310.04378, algorithm 3).
    """
    last = len(sigmas) - 2
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        x = denoised = denoise(x, sigma)
        if index < last:
            x = denoised + draw() * following
        yield x, denoised


def tcd(
    denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw, between: Between, eta: float = 0.3
) -> Trajectory:
    """Strategic stochastic sampling (Zheng et al. 2024, arXiv 2402.19159, algorithm 4).

    Steps down beyond the next level, to (1 - eta) of its timestep, and back up to it with new
    noise. With eta = 0 no noise is new; with eta = 1 all of it is, except for that of the first
    timestep's level.
    """
    last = len(sigmas) - 2
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        down = between(following, 0.0, eta) if index < last else following
        x = denoised + (x - denoised) * (down / sigma)
        if eta > 0 and index < last:
            x = x + draw() * math.sqrt(max(0.0, following**2 - down**2))
        yield x, denoised
