"""What a network's norms and attention see of a whole picture, for a network that has a part of it.

A norm sees mean and variance of each group of channels, attention keys and values of all places. A
network can be opened so that it gives them beside its outputs (`Network.gives`), or takes them in
place of its own (`Network.takes`): then it computes a tile as a part of the picture.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

MEAN, VARIANCE = "mean", "variance"  # of a norm: (1, groups, 1)
KEY, VALUE = "key", "value"  # of attention, in the engine's own layout
LEAST = 0.25  # of a variance that is left of it

Role = Literal["gives", "takes"]
Context = Mapping[str, npt.NDArray[Any]]


def name_of(place: int, part: str) -> str:
    """Name of the input or output: places are counted from the graph's beginning."""
    return f"context_{place}_{part}"


def extrapolated(near: Context, far: Context, share: float) -> Context:
    """The statistics beyond `near`, as much farther from `far` as this share of their distance.

    A variance keeps at least a quarter of itself, and is not below 0, where rounding may bring one
    that is next to nothing. Keys and values are those of `near`.
    """
    found = dict(near)
    for name, one in near.items():
        if name.endswith((MEAN, VARIANCE)):
            found[name] = (one + share * (one - far[name])).astype(np.float32)
        if name.endswith(VARIANCE):
            found[name] = np.maximum(found[name], LEAST * one.clip(0))
    return found
