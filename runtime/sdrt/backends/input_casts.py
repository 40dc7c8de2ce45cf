"""Casts inputs to the dtypes and ranks that a foreign graph declares.

Tools that export the same networks disagree in details: a timestep is a single number or one for
each row, an integer or a float. Everything above the engines passes it in one form.
"""

from collections.abc import Mapping

import numpy as np

from sdrt.arrays import Array
from sdrt.manifest import TensorSpec

Shape = tuple[int, ...]
InputCasts = Mapping[str, TensorSpec]
"""The inputs that a file declares in another form, by name, each as the file has it."""


def cast_feeds(feeds: Mapping[str, Array], casts: InputCasts) -> Mapping[str, Array]:
    """The same numbers in the file's dtypes and ranks; fractions are rounded to whole numbers."""
    if not casts:
        return feeds
    return {
        name: _cast(casts[name], array) if name in casts else array for name, array in feeds.items()
    }


def cast_shapes(shapes: Mapping[str, Shape], casts: InputCasts) -> Mapping[str, Shape]:
    """Shapes of the arrays that `cast_feeds` returns for arrays of these shapes."""
    return {
        name: _shape(casts[name], shape) if name in casts else shape
        for name, shape in shapes.items()
    }


def _cast(spec: TensorSpec, array: Array) -> Array:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "i" and array.dtype.kind == "f":
        array = np.rint(array)
    return np.broadcast_to(array, _shape(spec, array.shape)).astype(dtype)


def _shape(spec: TensorSpec, shape: Shape) -> Shape:
    """A file may take a single number as a row, whose length is free or fixed."""
    if shape:
        return shape
    return tuple(size if isinstance(size, int) else 1 for size in spec.shape)
