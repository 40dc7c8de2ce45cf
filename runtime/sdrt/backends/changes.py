"""Changes of the weights that a graph stores, made when an engine opens it.

A layer's weight bears the layer's name, in ONNX files as in OpenVINO's.
"""

import zlib
from collections.abc import Callable, Iterable

import numpy as np

from sdrt.backends import Array
from sdrt.bf16 import rounded_by_chance, widened
from sdrt.errors import ArtifactError

TOKENS = "embeddings.token_embedding"
START, END, STORED_BF16 = "network.", ".weight", "_bf16"


def layer_name(weight: str) -> str | None:
    """`down_blocks.0.resnets.0.conv1` of the name of its weight; None of other names."""
    name = weight.removesuffix(STORED_BF16)
    if not (name.startswith(START) and name.endswith(END)):
        return None
    return name[len(START) : -len(END)]


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
