"""Arrays as a graph's own file takes them, where that is not how sdrt gives them.

Tools that export the same networks disagree in small things: a timestep is a single number or one
for each row, a whole number or any. Everything above the engines gives it in one form.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.manifest import TensorSpec

Shape = tuple[int, ...]
InputCasts = Mapping[str, TensorSpec]
"""By its name, an input as the file has it; of those that are given otherwise."""


def cast_feeds(
    feeds: Mapping[str, npt.NDArray[Any]], native: InputCasts
) -> Mapping[str, npt.NDArray[Any]]:
    """The same numbers in the files' types and ranks; fractions become the nearest whole number."""
    if not native:
        return feeds
    return {
        name: _as(native[name], array) if name in native else array for name, array in feeds.items()
    }


def native_shapes(shapes: Mapping[str, Shape], native: InputCasts) -> Mapping[str, Shape]:
    """Shapes of what `cast_feeds` makes of arrays with these shapes."""
    return {
        name: _shape(native[name], shape) if name in native else shape
        for name, shape in shapes.items()
    }


def _as(spec: TensorSpec, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "i" and array.dtype.kind == "f":
        array = np.rint(array)
    return np.broadcast_to(array, _shape(spec, array.shape)).astype(dtype)


def _shape(spec: TensorSpec, given: Shape) -> Shape:
    """A single number may be taken as a row of them, whose length is free or fixed."""
    if given:
        return given
    return tuple(size if isinstance(size, int) else 1 for size in spec.shape)
