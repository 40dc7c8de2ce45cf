"""Changes of the weights that a graph stores, made when an engine opens it.

A layer's weight bears the layer's name, in ONNX files as in OpenVINO's. Of a gated layer the graph
has two, for the first and the second half of its rows; changes are of the whole.
"""

import zlib
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.graph import Changes, Shapes
from sdrt.errors import ArtifactError
from sdrt.files.bf16 import rounded_by_chance, widened

TOKENS = "embeddings.token_embedding"
START, END, STORED_BF16 = "network.", ".weight", "_bf16"
HALVES = ("value", "gate")
"""Names of the layers that a gated layer was split into, behind its own."""


def layer_name(weight: str) -> str | None:
    """`down_blocks.0.resnets.0.conv1` of the name of its weight; None of other names."""
    name = weight.removesuffix(STORED_BF16)
    if not (name.startswith(START) and name.endswith(END)):
        return None
    return name[len(START) : -len(END)]


def with_whole_layers(shapes: Shapes) -> Shapes:
    """The shapes of a graph's layers, with one for both halves of a gated layer."""
    joined: dict[str, tuple[int, ...]] = {}
    for layer, shape in shapes.items():
        whole, _ = _whole(layer)
        rows = joined[whole][0] if whole in joined else 0
        joined[whole] = (rows + shape[0], *shape[1:])
    return joined


def change_of(changes: Changes, layer: str) -> Callable[[Array], Array] | None:
    """What changes the weight of a layer of a graph; of a half, what changes the whole."""
    whole, half = _whole(layer)
    change = changes.get(whole)
    return change if change is None or half is None else partial(_changed_half, change, half)


def _whole(layer: str) -> tuple[str, int | None]:
    """The layer that one of a graph is of, and which half of its rows it is."""
    whole, _, last = layer.rpartition(".")
    return (whole, HALVES.index(last)) if last in HALVES else (layer, None)


def _changed_half(change: Callable[[Array], Array], half: int, weight: Array) -> Array:
    """Change half of the rows; a change of a row depends on no other row."""
    rows = [weight if i == half else np.zeros_like(weight) for i in range(len(HALVES))]
    return np.split(change(np.concatenate(rows)), len(HALVES))[half]


def is_table(layer: str) -> bool:
    """Whether a layer is a text encoder's table, with a vector for each token."""
    return layer.endswith(TOKENS)


def changed(name: str, stored: Array, change: Callable[[Array], Array], is_turned: bool) -> Array:
    """A layer's new weight as it is to be stored: in fp32, or in bf16 as uint16, like the old one.

    `is_turned` says that it is stored as (in, out).
    """
    is_bf16 = stored.dtype == np.uint16
    before = widened(stored) if is_bf16 else stored
    after = change(before.T if is_turned else before)
    after = np.ascontiguousarray(after.T if is_turned else after, np.float32)
    # By chance, but the same numbers in every run and on every engine.
    return rounded_by_chance(after, zlib.crc32(name.encode())) if is_bf16 else after


def check_named(where: object, nameless: Iterable[str]) -> None:
    """Raise `ArtifactError` for weights of layers that do not bear the layers' names."""
    if found := list(nameless):
        raise ArtifactError(
            f"{where} does not say which layer {len(found)} of its weights belong to, for example "
            f"{found[0]}, so that they cannot be changed: an older sdrt wrote it; export the model "
            "again"
        )
