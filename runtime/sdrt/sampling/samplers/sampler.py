"""What a sampler is: arithmetic on latents and noise levels, nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdrt.arrays import Latents

Sigmas = Sequence[float]
Denoise = Callable[[Latents, float], Latents]
Draw = Callable[[], Latents]
"""Standard normal noise of the latents' shape, new with every call."""
Trajectory = Iterator[tuple[Latents, Latents]]
Method = Callable[..., Trajectory]
"""Takes `denoise, x, sigmas, draw`, and its own options by name."""
Between = Callable[[float, float, float], float]
"""The noise level at a share of the way, in training time, from one level to a lower one."""
Option = float | str | bool


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included."""

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
    """One of a few values; whether numbers are whole and truths are truths matters."""

    values: tuple[Option, ...]

    def __contains__(self, value: object) -> bool:
        return any(value == known and type(value) is type(known) for known in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value).lower() for value in self.values)


Allowed = Range | Choice
YES_OR_NO = Choice((False, True))
SHARE = Range(0.0, 1.0)

Grid = Literal["points", "intervals", "continuous", "distilled"]
"""Which timesteps evenly spaced steps take, as its scheduler in diffusers does: so many whole ones;
the beginnings of so many whole intervals; so many, broken where they fall; or some of those that a
model was distilled on."""


@dataclass(frozen=True)
class Sampler:
    """A method with what a run needs to know about it."""

    method: Method
    a1111: str
    """Its name in AUTOMATIC1111's web UI."""
    summary: str
    grid: Grid = "continuous"
    options: Mapping[str, Allowed] = field(default_factory=dict)
    """Options of its own, with their values."""
    ends_at_zero: bool = True
    """Whether the last noise level is 0, or the lowest that the model was trained on."""
    is_stochastic: bool = False
    """Whether it adds noise on the way, unless an option says otherwise."""
    calls: int = 1
    """How often most of its steps ask for the clean latents: what a step costs."""
    uses_time: bool = False
    """Whether it takes `between`, because a level of its own is told by training time."""
    is_consistent: bool = False
    """Whether the network was distilled to give clean latents at once (consistency models)."""


FEW = 15  # steps of a run, below which the order falls towards its end


def usable_order(
    order: int,
    index: int,
    count: int,
    lower_order_final: bool = True,
    euler_at_final: bool = False,
) -> int:
    """Lower the order of a run's last steps, where extrapolation does harm, if it is short."""
    if euler_at_final and index == count - 1:
        return 1
    return min(order, count - index) if lower_order_final and count < FEW else order
