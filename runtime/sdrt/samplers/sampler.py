"""What a sampler is: arithmetic on latents and noise levels, nothing else."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Latents = npt.NDArray[np.floating[Any]]
"""float32 in a run; samplers keep whatever they are given."""
Sigmas = Sequence[float]
Denoise = Callable[[Latents, float], Latents]
Draw = Callable[[], Latents]
"""Standard normal noise of the latents' shape, new with every call."""
Trajectory = Iterator[tuple[Latents, Latents]]
Method = Callable[[Denoise, Latents, Sigmas, Draw], Trajectory]


@dataclass(frozen=True)
class Sampler:
    """A method with what a run needs to know about it."""

    method: Method
    a1111: str
    """Its name in AUTOMATIC1111's web UI."""
    summary: str
    ends_at_zero: bool = True
    """Whether the last noise level is 0, or the lowest that the model was trained on."""
    is_stochastic: bool = False
    """Whether it adds noise on the way."""
    calls: int = 1
    """How often most of its steps ask for the clean latents: what a step costs."""


FEW = 15  # steps of a run, below which the order falls towards its end


def usable_order(order: int, index: int, count: int) -> int:
    """Lower the order of the last steps of a short run, where extrapolation does harm."""
    return order if count >= FEW else min(order, count - index)
