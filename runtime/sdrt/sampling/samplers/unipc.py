"""UniPC: a predictor, and a corrector that uses the next step's answer for free."""

import math
from collections import deque
from functools import partial
from itertools import pairwise

import numpy as np

from sdrt.arrays import Latents
from sdrt.sampling.samplers.sampler import Denoise, Draw, Sigmas, Trajectory


def unipc(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    solver_type: str = "bh2",
    predict_x0: bool = True,
    lower_order_final: bool = True,
) -> Trajectory:
    """UniPC (Zhao et al. 2023, arXiv 2302.04867, algorithms 5 to 8), on clean latents or on noise.

    `solver_type` is its B(h): "bh1" for h, "bh2" for exp(h) - 1.
    """
    answers: deque[Latents] = deque(maxlen=order)
    levels: deque[float] = deque(maxlen=order)
    start, used = x, 0
    count = len(sigmas) - 1
    step = partial(_unify, solver_type=solver_type, predict_x0=predict_x0)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        answer = denoised if predict_x0 else (x - denoised) / sigma
        if used:
            x = step(start, list(answers), list(levels), sigma, used, arrived=answer)
        answers.appendleft(answer)
        levels.appendleft(sigma)
        start, used = x, min(order, index + 1, count - index if lower_order_final else order)
        if following == 0:
            x = denoised
        else:
            x = step(start, list(answers), list(levels), following, used)
        yield x, denoised


def _unify(
    x: Latents,
    answers: list[Latents],
    levels: list[float],
    following: float,
    order: int,
    solver_type: str,
    predict_x0: bool,
    arrived: Latents | None = None,
) -> Latents:
    """Step from `levels[0]`; with the answer where the step arrives it is the corrector."""
    newest = answers[0]
    h = math.log(levels[0] / following)
    length = -h if predict_x0 else h
    grown = math.expm1(length)
    scale = length if solver_type == "bh1" else grown
    carried, unit = (following / levels[0], 1.0) if predict_x0 else (1.0, following)
    # Where the other answers lie, in steps, and how much they differ from the newest.
    places = [math.log(levels[0] / level) / h for level in levels[1:order]]
    slopes = [(a - newest) / r for a, r in zip(answers[1:order], places, strict=True)]
    if arrived is not None:
        places.append(1.0)
        slopes.append(arrived - newest)
    total = x * carried - newest * (grown * unit)
    for weight, slope in zip(_weights(places, length, scale), slopes, strict=True):
        total -= slope * (scale * weight * unit)
    return total


def _weights(places: list[float], length: float, scale: float) -> list[float]:
    """Solve eq. 10; for a single place with the papers' code's choice of one half."""
    if len(places) < 2:
        return [0.5] * len(places)
    phi = math.expm1(length) / length - 1
    targets, factorial = [], 1
    for k in range(1, len(places) + 1):
        targets.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / length - 1 / factorial
    matrix = np.array([[place**k for place in places] for k in range(len(places))])
    return [float(w) for w in np.linalg.solve(matrix, targets)]
