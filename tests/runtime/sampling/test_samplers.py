"""Samplers against closed forms.

For data that are normal with deviation s, the ideal denoiser is x s^2 / (s^2 + sigma^2), and the
path from sigma_0 to sigma multiplies x by sqrt((s^2 + sigma^2) / (s^2 + sigma_0^2)).
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.sampling.sampler_settings import check_options, parse_option
from sdrt.sampling.samplers.aliases import find_sampler
from sdrt.sampling.samplers.consistency import tcd
from sdrt.sampling.samplers.dpm_solver import dpm_solver, dpmpp_2m, dpmpp_2s
from sdrt.sampling.samplers.linear_multistep import deis, lms, plms
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.samplers.sampler import Method
from sdrt.sampling.samplers.single_step import dpmpp_2s_a
from sdrt.sampling.samplers.unipc import unipc

S = 0.6


def between(sigma: float, lower: float, share: float) -> float:
    """As if training time were the logarithm of the level."""
    return sigma * (lower / sigma) ** share if lower > 0 else sigma * (1 - share)


METHODS: dict[str, Method] = {
    name: partial(sampler.method, between=between) if sampler.uses_time else sampler.method
    for name, sampler in SAMPLERS.items()
}
METHODS |= {
    "dpm++2s_a eta=0": partial(dpmpp_2s_a, eta=0.0),
    "dpm-solver-1": partial(dpm_solver, order=1),
    "dpm-solver-3": partial(dpm_solver, order=3),
    "dpm-solver heun": partial(dpm_solver, solver_type="heun"),
    "dpm-solver sde": partial(dpm_solver, sde=True),
    "dpm-solver-2s": partial(dpm_solver, order=2, singlestep=True, lower_order_final=False),
    "dpm-solver-3s": partial(dpm_solver, order=3, singlestep=True),
    "dpm++3m": partial(dpmpp_2m, order=3),
    "dpm++2m heun": partial(dpmpp_2m, solver_type="heun"),
    "dpm++3s": partial(dpmpp_2s, order=3),
    "dpm++3s heun": partial(dpmpp_2s, order=3, solver_type="heun"),
    "plms runge_kutta": partial(plms, between=between, runge_kutta=True),
    "unipc-3": partial(unipc, order=3),
    "unipc bh1": partial(unipc, solver_type="bh1"),
    "unipc on noise": partial(unipc, predict_x0=False),
    "deis-3": partial(deis, order=3),
    "lms-2": partial(lms, order=2),
    "tcd eta=0": partial(tcd, between=between, eta=0.0),
}


def ideal(x: Any, sigma: float) -> Any:
    return x * (S * S / (S * S + sigma * sigma))


def no_noise() -> Latents:
    raise AssertionError("this sampler is deterministic")


def end(name: str, sigmas: npt.NDArray[np.float64]) -> Any:
    start: Any = np.ones((1, 1)) * np.sqrt(S * S + sigmas[0] ** 2)
    return list(METHODS[name](ideal, start, sigmas.tolist(), no_noise))[-1][0]


def error(name: str, steps: int) -> float:
    """Distance from the exact end of the path, on noise levels evenly spaced in their logarithm.

    A few short steps at both ends keep what a method does at a lower order there out of it.
    """
    place, short = np.linspace(0, 1, steps + 1), steps**-2.5
    place = np.concatenate([np.arange(6) * short, place[1:-1], [1 - short, 1]])
    sigmas = 10.0 * 0.01**place
    return float(abs(end(name, sigmas) - np.sqrt(S * S + sigmas[-1] ** 2))[0, 0])


@pytest.mark.parametrize(
    ("name", "order", "steps"),
    [
        ("euler", 1, 200),
        ("ddim", 1, 200),
        ("dpm-solver-1", 1, 200),
        ("tcd eta=0", 1, 200),
        ("heun", 2, 200),
        ("dpm2", 2, 200),
        ("dpm++2s_a eta=0", 2, 200),
        ("plms", 2, 200),
        ("lms-2", 2, 200),
        ("deis", 2, 200),
        ("dpm-solver", 2, 200),
        ("dpm-solver heun", 2, 200),
        ("dpm-solver-2s", 2, 200),
        ("dpm++2m", 2, 200),
        ("dpm++2m heun", 2, 200),
        ("dpm++2s", 2, 200),
        ("unipc", 3, 100),  # the corrector adds one
        ("unipc bh1", 3, 100),
        ("unipc on noise", 3, 100),
        ("deis-3", 3, 400),
        ("dpm-solver-3", 3, 400),
        ("dpm++3m", 3, 200),
    ],
)
def test_doubling_the_steps_divides_the_error_as_the_order_says(
    name: str, order: int, steps: int
) -> None:
    measured = np.log2(error(name, steps) / error(name, 2 * steps))
    assert measured == pytest.approx(order, rel=0.15)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_perfect_denoiser_of_one_picture_leads_to_it(name: str) -> None:
    picture = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    x = picture + 14 * np.ones_like(picture)
    sigmas = [*np.geomspace(14, 0.03, 10).tolist(), 0.0]
    draw = partial(np.ones_like, picture)
    path = list(METHODS[name](lambda x, sigma: picture, x, sigmas, draw))
    assert len(path) == 10
    np.testing.assert_allclose(path[-1][0], picture, atol=1e-5)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_samplers_keep_float32_and_leave_their_input_alone(name: str) -> None:
    x = np.ones((1, 4, 2, 2), np.float32)
    before = x.copy()
    answers = []

    def denoise(x: Latents, sigma: float) -> Latents:
        given: Latents = ideal(x, sigma)
        answers.append((given, given.copy()))
        return given

    sigmas = [5.0, 2.0, 1.0, 0.5, 0.2, 0.0]
    for latents, denoised in METHODS[name](denoise, x, sigmas, partial(np.ones_like, x)):
        assert latents.dtype == denoised.dtype == np.float32
        latents.flags.writeable = denoised.flags.writeable = False
    np.testing.assert_array_equal(x, before)
    for given, kept in answers:
        np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_noise_on_the_way_comes_only_from_samplers_that_say_so(name: str) -> None:
    drawn = []

    def draw() -> Any:
        drawn.append(np.ones((1, 1), np.float32))
        return drawn[-1]

    x = np.ones((1, 1), np.float32)
    list(METHODS[name](ideal, x, [5.0, 2.0, 1.0, 0.0], draw))
    assert bool(drawn) == SAMPLERS[name].is_stochastic


def at_once(x: Any, sigma: float) -> Any:
    """Where the path from `x` ends: what a consistency model is distilled to give."""
    return x * (S / np.sqrt(S * S + sigma * sigma))


STOCHASTIC = [name for name, sampler in SAMPLERS.items() if sampler.is_stochastic and name != "tcd"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STOCHASTIC, "dpm-solver sde"])
def test_added_noise_leaves_the_right_variance(name: str) -> None:
    """What is drawn from normal data stays normal, with variance s^2 + sigma^2 at each level."""
    rng = np.random.default_rng(0)
    sigmas = np.geomspace(10, 0.1, 200)
    shape = (1, 100_000)
    x = (rng.standard_normal(shape) * np.sqrt(S * S + sigmas[0] ** 2)).astype(np.float32)
    draw: Any = partial(rng.standard_normal, shape, np.float32)
    path = METHODS[name](at_once if name == "lcm" else ideal, x, sigmas.tolist(), draw)
    for (latents, _), sigma in zip(path, sigmas[1:], strict=True):
        assert latents.std() == pytest.approx(np.sqrt(S * S + sigma**2), rel=0.02)


@pytest.mark.parametrize("name", ["dpm++3m", "dpm++3m_sde"])
def test_three_answers_are_exact_for_parabolas(name: str) -> None:
    """Clean latents that are a parabola in lambda = -log sigma, and no noise drawn.

    Then dx/dlambda = speed * (clean - x), with speed 1, or 2 where noise is added on the way.
    """
    speed = 2 if name.endswith("sde") else 1
    clean = np.polynomial.Polynomial([0.3, 0.5, -0.2])
    lambdas = np.cumsum(np.tile([0.11, 0.07, 0.13, 0.05], 5))
    nodes, weights = np.polynomial.legendre.leggauss(12)
    x: Any = np.ones((1, 1))
    sigmas = np.exp(-lambdas).tolist()
    path = METHODS[name](
        lambda x, sigma: np.full((1, 1), clean(-np.log(sigma))), x, sigmas, lambda: x * 0
    )
    values = [x, *(latents for latents, _ in path)]
    for i in range(2, len(lambdas) - 1):
        low, high = lambdas[i], lambdas[i + 1]
        at = low + (high - low) * (nodes + 1) / 2
        forced = np.sum(weights * speed * np.exp(speed * (at - high)) * clean(at)) * (high - low)
        exact = values[i] * np.exp(speed * (low - high)) + forced / 2
        np.testing.assert_allclose(values[i + 1], exact, rtol=1e-10)


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        ("euler", {"eta": 0.5}, "euler has no option 'eta'; it has: final, rho, sigma_min"),
        ("ddim", {"etta": 0.5}, "did you mean 'eta'"),
        ("ddim", {"eta": 1.5}, "eta of ddim is 1.5; expected a number from 0 to 1"),
        ("ddim", {"eta": float("nan")}, "expected a number from 0 to 1"),
        ("dpm++2m", {"order": 4}, "expected one of 1, 2, 3"),
        ("dpm++2m", {"order": True}, "expected one of 1, 2, 3"),
        ("unipc", {"solver_type": "heun"}, "expected one of bh1, bh2"),
        ("lcm", {"original_steps": 50.5}, "expected a whole number from 1 to 1000"),
        ("plms", {"runge_kutta": 1}, "expected one of false, true"),
    ],
)
def test_options_that_cannot_be_are_refused(
    sampler: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_options(sampler, options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eta=0.5", ("eta", 0.5)),
        ("order=3", ("order", 3)),
        ("lower-order-final=no", ("lower_order_final", False)),
        ("solver_type = heun", ("solver_type", "heun")),
    ],
)
def test_options_are_read_as_people_type_them(text: str, expected: tuple[str, object]) -> None:
    found = parse_option(text)
    assert found == expected
    assert type(found[1]) is type(expected[1])


@pytest.mark.parametrize("text", ["eta", "=3", ""])
def test_an_option_without_a_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected for example eta=0.5"):
        parse_option(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lcm", ("lcm", None)),
        ("TCDScheduler", ("tcd", None)),
        ("DPM++ 2M Karras", ("dpm++2m", "karras")),
        ("DPM++ 3M SDE Exponential", ("dpm++3m_sde", "exponential")),
        ("dpmpp_2m", ("dpm++2m", None)),
        ("DPM2 a Karras", ("dpm2_a", "karras")),
        ("Euler Beta", ("euler", "beta")),
        ("LMS Polyexponential", ("lms", "polyexponential")),
        ("no such sampler", None),
    ],
)
def test_samplers_answer_to_their_names_elsewhere(name: str, expected: object) -> None:
    assert find_sampler(name) == expected
