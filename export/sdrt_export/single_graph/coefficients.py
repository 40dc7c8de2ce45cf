"""A whole run as tables of coefficients, computed with the runtime's own samplers.

Samplers, the scales around the U-Net and the kinds of prediction are all linear in the latents and
the U-Net's outputs. Running them once on the vectors of a basis gives the coefficients, which can
therefore never differ from the runtime's code.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array, Doubles, Latents
from sdrt.backends import Network
from sdrt.backends.cancellation import Cancellation
from sdrt.errors import UnsupportedError
from sdrt.generation.initial_latents import from_unit_variance, to_unit_variance
from sdrt.manifest import Manifest
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.guidance import Clipping
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise

START = 1  # rows of the basis before the draws


@dataclass(frozen=True)
class Coefficients:
    """A run of `calls` evaluations of the U-Net, as sums over the rows of a basis.

    The rows are the first noise, `draws` of more noise, then the clean latents of each call.
    """

    latents: Doubles
    """(calls + 1, rows): x at each call, in the form x0 + sigma * noise; last, the result."""
    scales: Doubles
    """(calls,): the factor of x in the U-Net's input."""
    timesteps: Doubles
    """(calls,): the timestep of each call."""
    of_x: Doubles
    """(calls,): the factor of x in the clean latents."""
    of_answer: Doubles
    """(calls,): the factor of the U-Net's output in the clean latents."""
    draws: int
    """The number of times that the sampler draws noise on the way."""

    @property
    def calls(self) -> int:
        """The number of evaluations of the U-Net."""
        return len(self.timesteps)


def coefficients(manifest: Manifest, sampler_settings: SamplerSettings, count: int) -> Coefficients:
    """Tables of a run of `count` steps; raises `UsageError`, or `UnsupportedError`."""
    if sampler_settings.clipping != Clipping():
        raise UnsupportedError(
            "clip and thresholding are not linear, and one graph cannot hold them; leave them out"
        )
    steps = sampler_settings.steps(TrainingNoise.from_schedule(manifest.schedule), count)
    counted = _walk(sampler_settings, steps, 0, 1)  # only to count evaluations and draws
    draws = counted.drawn
    walked = _walk(sampler_settings, steps, draws, len(counted.sigmas))
    sigmas = walked.sigmas
    denoisers = [_linear(manifest, sampler_settings, steps, sigma) for sigma in sigmas]
    return Coefficients(
        latents=walked.latents,
        scales=1 / np.sqrt(1 + np.square(sigmas)),
        timesteps=np.array([steps.timestep(sigma) for sigma in sigmas]),
        of_x=np.array([of_x for of_x, _ in denoisers]),
        of_answer=np.array([of_answer for _, of_answer in denoisers]),
        draws=draws,
    )


@dataclass(frozen=True)
class _Walk:
    sigmas: list[float]
    latents: Doubles
    drawn: int


def _walk(sampler_settings: SamplerSettings, steps: Steps, draws: int, calls: int) -> _Walk:
    """Sample with vectors of a basis, with the last one for all that it has no room for."""
    basis = np.eye(START + draws + calls)
    inputs: list[Doubles] = []
    sigmas: list[float] = []
    drawn = 0

    def vector(row: int) -> Latents:
        chosen: Latents = basis[min(row, len(basis) - 1)].reshape(1, -1, 1, 1)
        return chosen

    def denoise(x: Latents, sigma: float) -> Latents:
        inputs.append(x.reshape(-1).astype(np.float64))
        sigmas.append(sigma)
        return vector(draws + len(sigmas))

    def draw() -> Latents:
        nonlocal drawn
        drawn += 1
        return vector(drawn)

    x = from_unit_variance(vector(0), float(steps.sigmas[0]))
    for after, _ in sampler_settings.trajectory(denoise, x, steps, draw):
        x = after
    result = to_unit_variance(x, float(steps.sigmas[-1])).reshape(-1)
    return _Walk(sigmas, np.stack([*inputs, result]), drawn)


def _linear(
    manifest: Manifest, sampler_settings: SamplerSettings, steps: Steps, sigma: float
) -> tuple[float, float]:
    """The factors of x and of the U-Net's output in the clean latents."""
    factors = []
    for x, answer in ((1.0, 0.0), (0.0, 1.0)):
        denoiser = Denoiser(
            unet=_Constant(manifest, answer),
            steps=steps,
            prediction=manifest.prediction,
            positive=np.zeros((1, 1, 1), np.float32),
            timestep_scaling=sampler_settings.timestep_scaling,
        )
        factors.append(float(denoiser(np.full((1, 1, 1, 1), x), sigma).item()))
    return factors[0], factors[1]


@dataclass(frozen=True)
class _Constant:
    """A U-Net with a constant output."""

    manifest: Manifest
    answer: float

    @property
    def network(self) -> Network:
        return Network("unet", self.manifest.graphs["unet"], (), self.manifest.stored("unet"))

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        return {"out_sample": np.full((1, 1, 1, 1), self.answer)}
