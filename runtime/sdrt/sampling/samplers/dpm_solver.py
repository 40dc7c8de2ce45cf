"""DPM-Solver and DPM-Solver++: exponential integrators of orders 1 to 3.

In lambda = -log sigma the equation of sampling is linear but for the network's answer; the linear
part is solved exactly, and the answer extrapolated by a Taylor polynomial whose derivatives are
differences of earlier answers. DPM-Solver (Lu et al. 2022, arXiv 2206.00927) extrapolates the
noise, DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) the clean latents.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sdrt.arrays import Latents
from sdrt.sampling.samplers.sampler import Denoise, Draw, Sigmas, Trajectory, usable_order


@dataclass(frozen=True)
class Form:
    """Which equation is integrated, and how."""

    on_noise: bool = False
    """Extrapolate the noise, and not the clean latents."""
    is_sde: bool = False
    """Replace noise on the way (arXiv 2211.01095, eq. 18, and for the noise eq. 21)."""
    solver_type: str = "midpoint"
    """ "midpoint" takes the slope for the answer in the middle, "heun" integrates it exactly; both
    are of second order, and higher derivatives make no difference between them in multistep."""


def dpm_solver(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    singlestep: bool = False,
    sde: bool = False,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> Trajectory:
    """DPM-Solver of order 1, 2 or 3, on earlier steps or in blocks of `order` steps."""
    form = Form(True, sde and not singlestep, solver_type)
    if singlestep:
        return by_blocks(denoise, x, sigmas, order, form, lower_order_final)
    return multistep(denoise, x, sigmas, draw, order, form, lower_order_final, euler_at_final)


def dpmpp_2m(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
    euler_at_final: bool = False,
    sde: bool = False,
) -> Trajectory:
    """DPM-Solver++(2M), algorithm 2 of arXiv 2211.01095; `sde` is SDE-DPM-Solver++(2M), eq. 18.

    Order 3 takes one more answer, and so a second derivative.
    """
    form = Form(False, sde, solver_type)
    return multistep(denoise, x, sigmas, draw, order, form, lower_order_final, euler_at_final)


def dpmpp_2s(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
) -> Trajectory:
    """DPM-Solver++(2S), algorithm 1 of arXiv 2211.01095, in blocks of `order` steps."""
    return by_blocks(denoise, x, sigmas, order, Form(solver_type=solver_type), lower_order_final)


def multistep(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    draw: Draw,
    order: int,
    form: Form,
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> Trajectory:
    """Extrapolate from up to `order` answers of earlier steps."""
    answers: deque[Latents] = deque(maxlen=order)
    levels: deque[float] = deque(maxlen=order)
    count = len(sigmas) - 1
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        answers.appendleft((x - denoised) / sigma if form.on_noise else denoised)
        levels.appendleft(sigma)
        if following == 0:
            x = denoised
        else:
            used = usable_order(order, index, count, lower_order_final, euler_at_final)
            step = _Step(sigma, following, form)
            x = _advance(x, list(answers)[:used], list(levels)[:used], step)
            if form.is_sde:
                x = x + draw() * step.new_noise
        yield x, denoised


def by_blocks(
    denoise: Denoise,
    x: Latents,
    sigmas: Sigmas,
    order: int,
    form: Form,
    lower_order_final: bool = True,
) -> Trajectory:
    """Take blocks of up to `order` steps, each from the block's start again.

    The steps inside of a block are the intermediate points of the papers' algorithms, so that a
    run of n steps asks the network n times. With `lower_order_final` the last of whole blocks ends
    with a step of first order, as every run does that ends at zero.
    """
    answers: list[Latents] = []
    levels: list[float] = []
    start, count = x, len(sigmas) - 1
    alone = count - 1 if lower_order_final and count % order == 0 else None
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if index % order == 0 or index == alone:
            answers, levels, start = [], [], x
        answers.append((x - denoised) / sigma if form.on_noise else denoised)
        levels.append(sigma)
        if following == 0:
            x = denoised
        else:
            x = _block(start, answers, levels, _Step(levels[0], following, form))
        yield x, denoised


def _advance(
    x: Latents, answers: Sequence[Latents], levels: Sequence[float], step: "_Step"
) -> Latents:
    """One multistep update from `levels[0]`; answers and levels the newest first."""
    newest = answers[0]
    if len(answers) == 1:
        return step.take(x, newest)
    r0 = math.log(levels[1] / levels[0]) / step.h
    first = (newest - answers[1]) * (1 / r0)
    if len(answers) == 2:
        return step.take_slope(x, newest, first)
    r1 = math.log(levels[2] / levels[1]) / step.h
    earlier = (answers[1] - answers[2]) * (1 / r1)
    bend = (first - earlier) * (1 / (r0 + r1))
    return step.take(x, newest, first + bend * r0, bend * 2)


def _block(
    x: Latents, answers: Sequence[Latents], levels: Sequence[float], step: "_Step"
) -> Latents:
    """One singlestep update from `levels[0]`, the start; answers and levels the oldest first."""
    start = answers[0]
    if len(answers) == 1:
        return step.take(x, start)
    places = [math.log(levels[0] / level) / step.h for level in levels[1:]]
    slopes = [(a - start) * (1 / r) for a, r in zip(answers[1:], places, strict=True)]
    if len(answers) == 2:
        return step.take_slope(x, start, slopes[0])
    if step.form.solver_type == "midpoint":
        return step.take(x, start, slopes[1])
    bend = (slopes[1] - slopes[0]) * (1 / (places[1] - places[0]))
    return step.take(x, start, slopes[0] - bend * places[0], bend * 2)


class _Step:
    """Integrates a Taylor polynomial of the answers over one step.

    The weights are those of arXiv 2206.00927, eq. 3.4 to 3.7: phi_k of h for the noise, of -h for
    clean latents, of -2h where noise is added to those on the way.
    """

    def __init__(self, sigma: float, following: float, form: Form) -> None:
        self.h = math.log(sigma / following)
        self.form = form
        ratio = following / sigma
        if form.on_noise:
            length, self._carried = self.h, 1.0
            self._unit = following * (2 if form.is_sde else 1)
            self.new_noise = following * math.sqrt(math.expm1(2 * self.h))
        else:
            length = -2 * self.h if form.is_sde else -self.h
            self._carried, self._unit = (ratio * ratio if form.is_sde else ratio), 1.0
            self.new_noise = following * math.sqrt(-math.expm1(-2 * self.h))
        first = math.expm1(length)
        second = first / length - 1
        self._weights = (first, second, second / length - 0.5)

    def take(self, x: Latents, *derivatives: Latents) -> Latents:
        """Step with the answer and its derivatives by lambda, times h and h squared."""
        total = x * self._carried
        for weight, derivative in zip(self._weights, derivatives, strict=False):
            total -= derivative * (weight * self._unit)
        return total

    def take_slope(self, x: Latents, answer: Latents, slope: Latents) -> Latents:
        """Step with the answer and its first derivative, in one of the two ways."""
        if self.form.solver_type == "midpoint":
            return self.take(x, answer + slope * 0.5)
        return self.take(x, answer, slope)
