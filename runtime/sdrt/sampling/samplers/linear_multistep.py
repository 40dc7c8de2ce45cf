"""Methods that extrapolate the predicted noise from earlier steps (Adams and Bashforth).

The noise eps = (x - denoised) / sigma obeys dx = eps dsigma, so a step adds the integral of a
polynomial through the last few eps. The methods differ in what the polynomial runs over.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial

from sdrt.arrays import Latents
from sdrt.sampling.samplers.sampler import Between, Denoise, Draw, Sigmas, Trajectory, usable_order

Weights = Sequence[float]


def lms(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw, order: int = 4) -> Trajectory:
    """Linear multistep: a polynomial over sigma, integrated exactly.

    Adams and Bashforth's method for uneven steps (Hairer, Norsett and Wanner 1993, Solving Ordinary
    Differential Equations I, section III.5).
    """
    return _multistep(denoise, x, sigmas, order, over_sigma)


def deis(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    lower_order_final: bool = True,
) -> Trajectory:
    """DEIS, tAB in log rho (Zhang and Chen 2022, arXiv 2204.13902, eq. 15): over log sigma."""
    return _multistep(denoise, x, sigmas, order, over_log_sigma, lower_order_final)


def ipndm(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """Fourth order with the weights of equal steps, orders rising (Zhang and Chen 2022, iPNDM)."""
    return _multistep(denoise, x, sigmas, 4, over_equal_steps)


def plms(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    between: Between,
    runge_kutta: bool = False,
) -> Trajectory:
    """Pseudo linear multistep (Liu et al. 2022, arXiv 2202.09778, eq. 12), eq. 11 through DDIM.

    What is extrapolated is always the noise, whatever the network predicts. The first step is done
    twice: its end shows a second slope. With `runge_kutta` the first three steps are those of
    eq. 13 instead, with four calls each (the paper's F-PNDM).
    """
    past: deque[Latents] = deque(maxlen=4)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        past.appendleft((x - denoised) / sigma)
        slope = _sum(EQUAL_STEPS[len(past)], past)
        if runge_kutta and index < 3:
            middle = between(sigma, following, 0.5)
            slope = _runge_kutta(denoise, x, past[0], (sigma, middle, following))
        elif index == 0 and following > 0:
            ahead = x + slope * (following - sigma)
            slope = (slope + (ahead - denoise(ahead, following)) * (1 / following)) * 0.5
        x = x + slope * (following - sigma)
        yield x, denoised


def _runge_kutta(denoise: Denoise, x: Latents, slope: Latents, levels: Weights) -> Latents:
    """Mean slope of a step over three levels that begins with `slope`."""
    total, ahead = slope * (1 / 6), slope
    for level, weight in ((levels[1], 1 / 3), (levels[1], 1 / 3), (levels[2], 1 / 6)):
        there = x + ahead * (level - levels[0])
        ahead = (there - denoise(there, level)) * (1 / level)
        total += ahead * weight
    return total


def _multistep(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    order: int,
    weigh: Callable[[Weights, float], Weights],
    lower_order_final: bool = False,
) -> Trajectory:
    past: deque[Latents] = deque(maxlen=order)
    levels: deque[float] = deque(maxlen=order)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        past.appendleft((x - denoised) / sigma)
        levels.appendleft(sigma)
        used = usable_order(order, index, len(sigmas) - 1, lower_order_final)
        x = x + _sum(weigh(list(levels)[:used], following), past)
        yield x, denoised


def over_sigma(levels: Weights, following: float) -> Weights:
    """Weights of the noise at `levels`, the newest first, for a step to `following`."""
    return [float(np.diff(basis.integ()([levels[0], following]))[0]) for basis in lagrange(levels)]


def over_log_sigma(levels: Weights, following: float) -> Weights:
    """Like `over_sigma`, for a polynomial in v = log(sigma / levels[0])."""
    newest = levels[0]
    if following == 0:  # the logarithm ends there: first order
        return [-newest]
    ends = np.array([0.0, math.log(following / newest)])
    moments = [math.expm1(ends[1])]  # integrals of v^k exp(v)
    for k in range(1, len(levels)):
        moments.append(float(ends[1] ** k * math.exp(ends[1])) - k * moments[-1])
    nodes = [math.log(level / newest) for level in levels]
    return [newest * float(np.dot(b.coef, moments[: len(b.coef)])) for b in lagrange(nodes)]


def over_equal_steps(levels: Weights, following: float) -> Weights:
    """Like `over_sigma`, as if the levels were evenly spaced."""
    return [weight * (following - levels[0]) for weight in EQUAL_STEPS[len(levels)]]


def lagrange(nodes: Sequence[float]) -> list[Polynomial]:
    """Polynomials that are 1 at their own node and 0 at the others."""
    basis = []
    for i, own in enumerate(nodes):
        others = [node for j, node in enumerate(nodes) if j != i]
        scale = math.prod(own - other for other in others)
        basis.append(Polynomial.fromroots(others) / scale if others else Polynomial([1.0]))
    return basis


# Adams and Bashforth's weights for one to four earlier slopes, the newest first.
EQUAL_STEPS: dict[int, Weights] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def _sum(weights: Weights, arrays: Sequence[Latents]) -> Latents:
    total = arrays[0] * weights[0]
    for weight, array in zip(weights[1:], list(arrays)[1:], strict=False):
        total += array * weight
    return total
