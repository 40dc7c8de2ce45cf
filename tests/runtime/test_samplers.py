"""Samplers against closed forms, and against diffusers on the same analytic denoiser.

For data that are normal with deviation s, the ideal denoiser is x s^2 / (s^2 + sigma^2), and the
path from sigma_0 to sigma multiplies x by sqrt((s^2 + sigma^2) / (s^2 + sigma_0^2)).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import numpy.typing as npt
import pytest
import torch

from sdrt.manifest import Schedule
from sdrt.samplers import SAMPLERS, Latents, Method
from sdrt.samplers.adams import deis, lms
from sdrt.samplers.dpm_solver import dpm_solver, multistep, singlestep
from sdrt.samplers.one_step import dpmpp_2s_a
from sdrt.samplers.unipc import unipc
from sdrt.schedule import TrainingNoise, plan_steps

S = 0.6

METHODS: dict[str, Method] = {
    **{name: sampler.method for name, sampler in SAMPLERS.items()},
    "dpm++2s_a eta=0": partial(dpmpp_2s_a, eta=0.0),
    "dpm-solver-1": partial(dpm_solver, order=1),
    "dpm-solver-3": partial(dpm_solver, order=3),
    "dpm-solver-2s": partial(dpm_solver, order=2, is_singlestep=True),
    "dpm-solver-3s": partial(dpm_solver, order=3, is_singlestep=True),
    "dpm++3m": partial(multistep, order=3),
    "dpm++3s": partial(singlestep, order=3),
    "unipc-3": partial(unipc, order=3),
    "unipc bh1": partial(unipc, variant="bh1"),
    "deis-3": partial(deis, order=3),
    "lms-2": partial(lms, order=2),
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
        ("heun", 2, 200),
        ("dpm2", 2, 200),
        ("dpm++2s_a eta=0", 2, 200),
        ("plms", 2, 200),
        ("lms-2", 2, 200),
        ("deis", 2, 200),
        ("dpm-solver", 2, 200),
        ("dpm-solver-2s", 2, 200),
        ("dpm++2m", 2, 200),
        ("dpm++2s", 2, 200),
        ("unipc", 3, 100),  # the corrector adds one
        ("unipc bh1", 3, 100),
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
    path = list(SAMPLERS[name].method(lambda x, sigma: picture, x, sigmas, draw))
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
    list(SAMPLERS[name].method(ideal, x, [5.0, 2.0, 1.0, 0.0], draw))
    assert bool(drawn) == SAMPLERS[name].is_stochastic


@pytest.mark.parametrize("name", [n for n, s in SAMPLERS.items() if s.is_stochastic])
def test_added_noise_leaves_the_right_variance(name: str) -> None:
    """What is drawn from normal data stays normal, with variance s^2 + sigma^2 at each level."""
    rng = np.random.default_rng(0)
    sigmas = np.geomspace(10, 0.1, 200)
    shape = (1, 100_000)
    x = (rng.standard_normal(shape) * np.sqrt(S * S + sigmas[0] ** 2)).astype(np.float32)
    draw: Any = partial(rng.standard_normal, shape, np.float32)
    path = SAMPLERS[name].method(ideal, x, sigmas.tolist(), draw)
    for (latents, _), sigma in zip(path, sigmas[1:], strict=True):
        assert latents.std() == pytest.approx(np.sqrt(S * S + sigma**2), rel=0.02)


@dataclass
class Reference:
    """A scheduler of diffusers with its options."""

    cls: Any
    options: dict[str, Any] = field(default_factory=dict)


_MULTI, _SINGLE = diffusers.DPMSolverMultistepScheduler, diffusers.DPMSolverSinglestepScheduler
_NOISE = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
REFERENCES = {
    "ddim": Reference(diffusers.DDIMScheduler, {"set_alpha_to_one": False, "clip_sample": False}),
    "ddpm": Reference(diffusers.DDPMScheduler, {"clip_sample": False}),
    "plms": Reference(diffusers.PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": False}),
    "euler": Reference(diffusers.EulerDiscreteScheduler),
    "euler_a": Reference(diffusers.EulerAncestralDiscreteScheduler),
    "heun": Reference(diffusers.HeunDiscreteScheduler),
    "dpm2": Reference(diffusers.KDPM2DiscreteScheduler),
    "dpm2_a": Reference(diffusers.KDPM2AncestralDiscreteScheduler),
    "lms": Reference(diffusers.LMSDiscreteScheduler),
    "deis": Reference(diffusers.DEISMultistepScheduler),
    "deis-3": Reference(diffusers.DEISMultistepScheduler, {"solver_order": 3}),
    "dpm-solver-1": Reference(_MULTI, {**_NOISE, "solver_order": 1}),
    "dpm-solver": Reference(_MULTI, _NOISE),
    "dpm-solver-2s": Reference(_SINGLE, _NOISE),
    "dpm-solver-3s": Reference(_SINGLE, {**_NOISE, "solver_order": 3}),
    "dpm++2m": Reference(_MULTI),
    "dpm++2m_sde": Reference(_MULTI, {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++2s": Reference(_SINGLE),
    "dpm++3s": Reference(_SINGLE, {"solver_order": 3}),
    "unipc": Reference(diffusers.UniPCMultistepScheduler),
    "unipc-3": Reference(diffusers.UniPCMultistepScheduler, {"solver_order": 3}),
    "unipc bh1": Reference(diffusers.UniPCMultistepScheduler, {"solver_type": "bh1"}),
}

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass
class Path:
    """What a scheduler did, in the form x = x0 + sigma * noise."""

    sigmas: list[float]
    start: Latents
    latents: list[Latents]
    drawn: list[Any]


def follow(reference: Reference, count: int, prediction: str) -> Path:
    """Run a scheduler of diffusers on the ideal denoiser."""
    spacing = {"timestep_spacing": "trailing"} if reference.cls is not _SINGLE else {}
    scheduler = reference.cls(**BETAS, **spacing, prediction_type=prediction, **reference.options)
    scheduler.set_timesteps(count)
    levels = Levels(scheduler)
    rng, drawn = np.random.default_rng(1), []

    def draw(shape: Any, **_: Any) -> torch.Tensor:
        drawn.append(rng.standard_normal(shape))
        return torch.from_numpy(drawn[-1])

    unit = np.random.default_rng(0).standard_normal((1, 4, 8, 8))
    sample = torch.from_numpy(unit) * float(scheduler.init_noise_sigma)
    start = sample.numpy() * levels.scale(levels.run[0])
    states = []
    module = sys.modules[reference.cls.__module__]
    with patch.object(module, "randn_tensor", draw, create=True):
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(sample, t).numpy()
            sigma = levels.at(t)
            x = scaled * np.sqrt(1 + sigma**2)
            output = predicted(ideal(x, sigma), x, sigma, prediction)
            sample = scheduler.step(torch.from_numpy(output), t, sample).prev_sample
            states.append(sample.numpy())
    # Where a step takes two calls, only the second ends it; PNDM does so in its first step.
    calls = len(states)
    if calls == 2 * count - 1:
        states = [*states[1::2], states[-1]]
    elif calls == count + 1:
        states = states[1:]
    latents = [state * levels.scale(s) for state, s in zip(states, levels.run[1:], strict=True)]
    return Path(levels.run, start, latents, drawn)


def predicted(clean: Any, x: Any, sigma: float, prediction: str) -> Any:
    """What a network says that was trained on a kind of prediction."""
    noise, scale = (x - clean) / sigma, np.sqrt(1 + sigma**2)
    return {"epsilon": noise, "v_prediction": (noise - clean * sigma) / scale, "sample": clean}[
        prediction
    ]


class Levels:
    """The noise levels of a scheduler, which keeps them in one of three ways."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.has_sigmas = hasattr(scheduler, "sigmas")
        if self.has_sigmas:
            scheduler.sigmas = scheduler.sigmas.double()
            self.run = list(dict.fromkeys(scheduler.sigmas.tolist()))
        else:
            own = [self._of_alpha(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]
            last = getattr(scheduler, "final_alpha_cumprod", torch.tensor(1.0))
            self.run = [*dict.fromkeys(own), self._of_alpha(last)]

    def at(self, t: torch.Tensor) -> float:
        """The level of the next call."""
        scheduler = self.scheduler
        if not self.has_sigmas:
            return self._of_alpha(scheduler.alphas_cumprod[int(t)])
        if scheduler.step_index is None:
            scheduler._init_step_index(t)
        index = scheduler.step_index
        if hasattr(scheduler, "sigmas_interpol") and not scheduler.state_in_first_order:
            is_ancestral = hasattr(scheduler, "sigmas_up")
            return float(scheduler.sigmas_interpol[index - is_ancestral])
        return float(scheduler.sigmas[index])

    def scale(self, sigma: float) -> float:
        """What turns the scheduler's latents at a level into x0 + sigma * noise."""
        scales_input = "Discrete" in type(self.scheduler).__name__
        return 1.0 if scales_input else float(np.sqrt(1 + sigma**2))

    @staticmethod
    def _of_alpha(alpha: torch.Tensor) -> float:
        return float(((1 - alpha.double()) / alpha.double()).sqrt())


def distance(name: str, path: Path) -> float:
    """Largest relative difference of sdrt's latents over a whole path."""
    drawn = iter(path.drawn)
    ours = METHODS[name](ideal, path.start, path.sigmas, lambda: next(drawn))
    pairs = zip((x for x, _ in ours), path.latents, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def supported(name: str) -> Iterator[str]:
    """Kinds of prediction that the reference gets right."""
    yield "epsilon"
    if name != "plms":  # see below
        yield "v_prediction"
    if name not in ("dpm2", "dpm2_a", "plms", "euler_a"):  # refused there
        yield "sample"


CASES = [(name, prediction) for name in REFERENCES for prediction in supported(name)]


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
@pytest.mark.parametrize(("name", "prediction"), CASES)
@pytest.mark.parametrize("count", [4, 10, 20, 50])
def test_paths_equal_diffusers(name: str, prediction: str, count: int) -> None:
    assert distance(name, follow(REFERENCES[name], count, prediction)) <= 1e-4


@pytest.mark.parametrize("name", ["ddim", "dpm++2m"])
@pytest.mark.parametrize("count", [4, 10, 20, 50])
def test_noise_levels_equal_diffusers(name: str, count: int) -> None:
    reference = REFERENCES[name]
    theirs = reference.cls(**BETAS, timestep_spacing="trailing", **reference.options)
    theirs.set_timesteps(count)
    noise = TrainingNoise.of(Schedule(spacing="trailing"))
    last = 0.0 if SAMPLERS[name].ends_at_zero else float(noise.sigmas[0])
    steps = plan_steps(noise, count, "trailing", 0, last)
    np.testing.assert_array_equal(steps.timesteps, theirs.timesteps.numpy())
    np.testing.assert_allclose(steps.sigmas, Levels(theirs).run, rtol=1e-4)


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
    ("name", "options"),
    [
        ("dpm-solver-3", _NOISE),  # half the weight of the second derivative
        ("dpm++3m", {}),  # the same
        ("dpm++3m_sde", {"algorithm_type": "sde-dpmsolver++"}),  # its constant has the wrong sign
    ],
)
def test_diffusers_weighs_the_second_derivative_of_multistep_methods_otherwise(
    name: str, options: dict[str, Any]
) -> None:
    path = follow(Reference(_MULTI, {**options, "solver_order": 3}), 20, "epsilon")
    assert distance(name, path) > 1e-3
    path = follow(Reference(_MULTI, {**options, "solver_order": 3}), 2, "epsilon")
    assert distance(name, path) <= 1e-4  # no second derivative yet


def test_plms_extrapolates_the_noise_whatever_is_predicted() -> None:
    """diffusers extrapolates v itself, whose meaning changes with the level of noise.

    The ideal denoiser is the same for every kind of prediction, and so must the path be.
    """
    right, other = (follow(REFERENCES["plms"], 20, p) for p in ("epsilon", "v_prediction"))
    assert np.abs(right.latents[-1] - other.latents[-1]).max() > 1e-2
    assert distance("plms", right) <= 1e-4
