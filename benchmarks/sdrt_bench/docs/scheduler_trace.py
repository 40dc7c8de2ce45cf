"""What a scheduler of diffusers does with latents, step by step, on a known denoiser.

The data are normal with deviation `S`, for which the ideal denoiser has a closed form. Latents have
the form x = x0 + sigma * noise.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

S = 0.6
SHAPE = (1, 4, 8, 8)


def ideal_denoiser(x: Any, sigma: float) -> Any:
    """Give the clean latents that the best possible network predicts."""
    return x * (S * S / (S * S + sigma * sigma))


def network_output(clean: Any, x: Any, sigma: float, prediction: str) -> Any:
    """Give the output of a network that was trained on a kind of prediction."""
    noise, scale = (x - clean) / sigma, np.sqrt(1 + sigma**2)
    return {"epsilon": noise, "v_prediction": (noise - clean * sigma) / scale, "sample": clean}[
        prediction
    ]


@dataclass
class SchedulerTrace:
    """Levels, latents and noise of one run, in the form x = x0 + sigma * noise."""

    sigmas: list[float]
    timesteps: list[float]
    start: npt.NDArray[np.float64]
    latents: list[npt.NDArray[np.float64]]
    noise: list[npt.NDArray[np.float64]]


def trace_scheduler(
    scheduler: Any, count: int, prediction: str, step_arguments: Mapping[str, Any] | None = None
) -> SchedulerTrace:
    """Run a scheduler of diffusers on the ideal denoiser, in float64."""
    scheduler.set_timesteps(count)
    levels = NoiseLevels(scheduler)
    rng, noise = np.random.default_rng(1), []

    def draw(shape: Any = SHAPE, *_: Any, **__: Any) -> torch.Tensor:
        noise.append(rng.standard_normal(SHAPE))
        return torch.from_numpy(noise[-1])

    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = draw
    sample = torch.from_numpy(np.random.default_rng(0).standard_normal(SHAPE))
    sample = sample * float(scheduler.init_noise_sigma)
    start = sample.numpy() * levels.scale(levels.sigmas[0])
    states, called = [], []
    module = sys.modules[type(scheduler).__module__]
    with patch.object(module, "randn_tensor", draw, create=True):
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(sample, t).numpy()
            sigma = levels.at(t)
            called.append(sigma)
            x = scaled * np.sqrt(1 + sigma**2)
            output = torch.from_numpy(
                network_output(ideal_denoiser(x, sigma), x, sigma, prediction)
            )
            sample = scheduler.step(output, t, sample, **(step_arguments or {})).prev_sample
            states.append(sample.numpy())
    ends = [_last_call(levels.sigmas, i, called) for i in range(count)]
    latents = [
        states[end] * levels.scale(sigma)
        for end, sigma in zip(ends, levels.sigmas[1:], strict=True)
    ]
    timesteps = [float(t) for t in dict.fromkeys(scheduler.timesteps.tolist())]
    return SchedulerTrace(levels.sigmas, timesteps, start, latents, noise)


def _last_call(run: list[float], step: int, called: list[float]) -> int:
    """Index of the call that ends a step: the last before one at a lower level begins the next."""
    if step == len(run) - 2:
        return len(called) - 1
    at_next = [i for i, sigma in enumerate(called) if sigma == run[step + 1]]
    # Methods with a call at the step's end make two there: the first ends this step.
    begins_next = at_next[-1] if len(at_next) > 1 else at_next[0]
    return begins_next - 1


class NoiseLevels:
    """Noise levels of a scheduler, of which there are three kinds."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.has_sigmas = hasattr(scheduler, "sigmas")
        if self.has_sigmas:
            scheduler.sigmas = scheduler.sigmas.double()
            self.sigmas = list(dict.fromkeys(scheduler.sigmas.tolist()))
            return
        sigmas = list(dict.fromkeys(self._of_timestep(t) for t in scheduler.timesteps))
        if hasattr(scheduler, "prk_timesteps"):  # calls in the middle of Runge-Kutta's steps
            sigmas = [self._of_timestep(t) for t in scheduler._timesteps[::-1]]
        last = scheduler.alphas_cumprod[0]
        if type(scheduler).__name__ != "TCDScheduler":
            last = getattr(scheduler, "final_alpha_cumprod", torch.tensor(1.0))
        self.sigmas = [*sigmas, self._of_alpha(last)]

    def at(self, t: torch.Tensor) -> float:
        """Give the level of the next call."""
        scheduler = self.scheduler
        if not self.has_sigmas:
            return self._of_timestep(t)
        if scheduler.step_index is None:
            scheduler._init_step_index(t)
        index = scheduler.step_index
        if hasattr(scheduler, "sigmas_interpol") and not scheduler.state_in_first_order:
            is_ancestral = hasattr(scheduler, "sigmas_up")
            return float(scheduler.sigmas_interpol[index - is_ancestral])
        if hasattr(scheduler, "mid_point_sigma") and not scheduler.state_in_first_order:
            return float(scheduler.mid_point_sigma)
        return float(scheduler.sigmas[index])

    def scale(self, sigma: float) -> float:
        """Give the factor that turns the scheduler's latents at a level into x0 + sigma * noise."""
        name = type(self.scheduler).__name__
        is_exploding = "Discrete" in name or name == "DPMSolverSDEScheduler"
        return 1.0 if is_exploding else float(np.sqrt(1 + sigma**2))

    def _of_timestep(self, t: Any) -> float:
        return self._of_alpha(self.scheduler.alphas_cumprod[int(t)])

    @staticmethod
    def _of_alpha(alpha: torch.Tensor) -> float:
        return float(((1 - alpha.double()) / alpha.double()).sqrt())
