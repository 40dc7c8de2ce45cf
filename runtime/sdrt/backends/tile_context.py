"""Group-norm statistics and attention keys/values of the whole image, for a network run on a tile.

A norm needs mean and variance of each group of channels, attention the keys and values of all
positions. A network can be opened as the source of such a context, which it then has among its
outputs (`Network.context_outputs`), or as its consumer, which takes a context as inputs in place of
what it would compute itself (`Network.context_inputs`): so it treats a tile as a part of the image.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from sdrt.arrays import Array

MEAN, VARIANCE = "mean", "variance"
"""Statistics of a norm: (1, groups, 1)."""
KEY, VALUE = "key", "value"
"""Tensors of attention, in the engine's own layout."""
LEAST = 0.25
"""The share of a variance that extrapolation leaves at least."""

ContextRole = Literal["source", "consumer"]
Context = Mapping[str, Array]


def tensor_name(place: int, tensor: str) -> str:
    """Name of an input or output; norms and attentions are counted from the graph's beginning."""
    return f"context_{place}_{tensor}"


def extrapolated(near: Context, far: Context, share: float) -> Context:
    """The statistics beyond `near`: `share` of the distance from `far`, added once more.

    A variance keeps at least a quarter of itself, and is never below 0, where rounding may bring
    one that is almost nothing. Keys and values are those of `near`.
    """
    context = dict(near)
    for name, statistic in near.items():
        if name.endswith((MEAN, VARIANCE)):
            context[name] = (statistic + share * (statistic - far[name])).astype(np.float32)
        if name.endswith(VARIANCE):
            context[name] = np.maximum(context[name], LEAST * statistic.clip(0))
    return context
