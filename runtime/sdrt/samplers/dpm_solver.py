"""DPM-Solver and DPM-Solver++: exponential integrators of orders 1 to 3.

In lambda = -log sigma the equation of sampling is linear but for the network's answer; the linear
part is solved exactly, and the answer extrapolated by a Taylor polynomial whose derivatives are
differences of earlier answers. DPM-Solver (Lu et al. 2022, arXiv 2206.00927) extrapolates the
noise, DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) the clean latents.
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from sdrt.samplers.sampler import Denoise, Draw, Latents, Sigmas, Trajectory, usable_order


def dpmpp_2m(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """DPM-Solver++(2M), algorithm 2 of arXiv 2211.01095."""
    return multistep(denoise, x, sigmas, draw, order=2)


def dpmpp_2m_sde(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """SDE-DPM-Solver++(2M), eq. 18 of arXiv 2211.01095."""
    return multistep(denoise, x, sigmas, draw, order=2, is_sde=True)


def dpmpp_3m_sde(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """Like `dpmpp_2m_sde` with one more answer, and so a second derivative."""
    return multistep(denoise, x, sigmas, draw, order=3, is_sde=True)


def dpm_solver(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    is_singlestep: bool = False,
) -> Trajectory:
    """DPM-Solver of order 1, 2 or 3, on earlier steps or in blocks of `order` steps."""
    if is_singlestep:
        return singlestep(denoise, x, sigmas, draw, order, on_noise=True)
    return multistep(denoise, x, sigmas, draw, order, on_noise=True)


def dpmpp_2s(denoise: Denoise, x: Latents, sigmas: Sigmas, draw: Draw) -> Trajectory:
    """DPM-Solver++(2S), algorithm 1 of arXiv 2211.01095, in blocks of two of the run's steps."""
    return singlestep(denoise, x, sigmas, draw, order=2)


def multistep(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int,
    on_noise: bool = False,
    is_sde: bool = False,
) -> Trajectory:
    """Extrapolate from up to `order` answers of earlier steps."""
    answers: deque[Latents] = deque(maxlen=order)
    levels: deque[float] = deque(maxlen=order)
    count = len(sigmas) - 1
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        answers.appendleft((x - denoised) / sigma if on_noise else denoised)
        levels.appendleft(sigma)
        if following == 0:
            x = denoised
        else:
            used = min(usable_order(order, index, count), len(answers))
            x = _advance(x, list(answers)[:used], list(levels)[:used], following, on_noise, is_sde)
            if is_sde:
                h = math.log(sigma / following)
                x = x + draw() * (following * math.sqrt(-math.expm1(-2 * h)))
        yield x, denoised


def singlestep(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int,
    on_noise: bool = False,
) -> Trajectory:
    """Take blocks of up to `order` steps, each from the block's start again.

    The steps inside of a block are the intermediate points of the papers' algorithms, so that a
    run of n steps asks the network n times.
    """
    answers: list[Latents] = []
    levels: list[float] = []
    start = x
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if index % order == 0:
            answers, levels, start = [], [], x
        answers.append((x - denoised) / sigma if on_noise else denoised)
        levels.append(sigma)
        if following == 0:
            x = denoised
        else:
            x = _block(start, answers, levels, following, on_noise)
        yield x, denoised


def _advance(
    x: Latents,
    answers: Sequence[Latents],
    levels: Sequence[float],
    following: float,
    on_noise: bool,
    is_sde: bool,
) -> Latents:
    """One multistep update from `levels[0]`; answers and levels the newest first."""
    step = _Step(levels[0], following, on_noise, is_sde)
    newest = answers[0]
    if len(answers) == 1:
        return step.take(x, newest)
    r0 = math.log(levels[1] / levels[0]) / step.h
    first = (newest - answers[1]) * (1 / r0)
    if len(answers) == 2:
        return step.take(x, newest + first * 0.5)
    r1 = math.log(levels[2] / levels[1]) / step.h
    earlier = (answers[1] - answers[2]) * (1 / r1)
    bend = (first - earlier) * (1 / (r0 + r1))
    return step.take(x, newest, first + bend * r0, bend * 2)


def _block(
    x: Latents,
    answers: Sequence[Latents],
    levels: Sequence[float],
    following: float,
    on_noise: bool,
) -> Latents:
    """One singlestep update from `levels[0]`, the start; answers and levels the oldest first."""
    step = _Step(levels[0], following, on_noise)
    start, last = answers[0], answers[-1]
    if len(answers) == 1:
        return step.take(x, start)
    slope = (last - start) * (step.h / math.log(levels[0] / levels[-1]))
    if len(answers) == 2:
        return step.take(x, start + slope * 0.5)
    return step.take(x, start, slope)


class _Step:
    """Integrates a Taylor polynomial of the answers over one step.

    The weights are those of arXiv 2206.00927, eq. 3.4 to 3.7: phi_k of h for the noise, of -h for
    clean latents, of -2h where noise is added on the way.
    """

    def __init__(
        self, sigma: float, following: float, on_noise: bool, is_sde: bool = False
    ) -> None:
        self.h = math.log(sigma / following)
        length = self.h if on_noise else -2 * self.h if is_sde else -self.h
        first = math.expm1(length)
        second = first / length - 1
        self._weights = (first, second, second / length - 0.5)
        self._unit = following if on_noise else 1.0
        self._carried = 1.0 if on_noise else following / sigma
        if is_sde:
            self._carried *= following / sigma

    def take(self, x: Latents, *derivatives: Latents) -> Latents:
        """Step with the answer and its derivatives by lambda, times h and h squared."""
        total = x * self._carried
        for weight, derivative in zip(self._weights, derivatives, strict=False):
            total -= derivative * (weight * self._unit)
        return total
