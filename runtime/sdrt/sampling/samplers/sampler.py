"""The types of samplers: arithmetic on latents and noise levels, nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdrt.arrays import Latents

Sigmas = Sequence[float]
Denoise = Callable[[Latents, float], Latents]
Draw = Callable[[], Latents]
"""Draws standard normal noise of the latents' shape, new with every call."""
Trajectory = Iterator[tuple[Latents, Latents]]
Method = Callable[..., Trajectory]
"""Takes `denoise, x, sigmas, draw`, and its options by name; yields (x, denoised) of each step."""
Between = Callable[[float, float, float], float]
"""The noise level at a share of the way, in timesteps, from one level to a lower one."""
Option = float | str | bool


@dataclass(frozen=True)
class NumberRange:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    is_whole: bool = False

    def __contains__(self, value: object) -> bool:
        kinds = int if self.is_whole else int | float
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        return f"a {'whole ' * self.is_whole}number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of a few values, where 1, 1.0 and True are different values."""

    values: tuple[Option, ...]

    def __contains__(self, value: object) -> bool:
        return any(value == known and type(value) is type(known) for known in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value).lower() for value in self.values)


Allowed = NumberRange | Choice
YES_OR_NO = Choice((False, True))
SHARE = NumberRange(0.0, 1.0)

Grid = Literal["points", "intervals", "continuous", "distilled"]
"""The timesteps that evenly spaced steps use, as in the sampler's class in diffusers.

"points" are whole timesteps, "intervals" the beginnings of whole intervals between them,
"continuous" timesteps may have fractions, and "distilled" are some of those that a model was
distilled on.
"""


@dataclass(frozen=True)
class Sampler:
    """A sampling method, and what a run needs to know about it."""

    method: Method
    a1111: str
    """Its name in AUTOMATIC1111's web UI."""
    summary: str
    grid: Grid = "continuous"
    options: Mapping[str, Allowed] = field(default_factory=dict)
    """Its own options, with the values that they allow."""
    ends_at_zero: bool = True
    """Whether the last noise level is 0 by default; else it is the lowest of training."""
    is_stochastic: bool = False
    """Whether it adds noise on the way, unless an option prevents that."""
    calls: int = 1
    """How often most of its steps call `denoise`, which is the cost of a step."""
    uses_time: bool = False
    """Whether it takes `between`, because it uses a level that is defined by its timestep."""
    is_consistent: bool = False
    """Whether it needs a network distilled to predict clean latents at once (consistency model)."""


FEW = 15  # runs of fewer steps lower the order towards their end


def usable_order(
    order: int,
    index: int,
    count: int,
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> int:
    """The order of a step; in short runs lower for the last steps, where extrapolation harms."""
    if euler_at_final and index == count - 1:
        return 1
    return min(order, count - index) if lower_order_final and count < FEW else order
