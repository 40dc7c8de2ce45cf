"""Patches of a graph's weights, applied when an engine opens it: LoRAs, and new rows of tables.

A layer's weight has the layer's name, in ONNX files as in OpenVINO's. A graph stores a gated layer
as two, for the first and the second half of its rows; a patch is for the whole layer.
"""

import zlib
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from sdrt.arrays import Array, Floats
from sdrt.backends.graph import Shapes, WeightPatches
from sdrt.errors import ArtifactError
from sdrt.files.safetensors import Bits, widened

WeightPatch = Callable[[Array], Array]

TOKEN_TABLE = "embeddings.token_embedding"
PREFIX, SUFFIX, STORED_BF16 = "network.", ".weight", "_bf16"
HALVES = ("value", "gate")
"""The last part of the names of the two layers that a gated layer is stored as."""


def layer_name(weight: str) -> str | None:
    """`down_blocks.0.resnets.0.conv1` from the name of its weight; None for other names."""
    name = weight.removesuffix(STORED_BF16)
    if not (name.startswith(PREFIX) and name.endswith(SUFFIX)):
        return None
    return name[len(PREFIX) : -len(SUFFIX)]


def with_joined_halves(shapes: Shapes) -> Shapes:
    """The shapes of a graph's layers, with a single one for both halves of a gated layer."""
    joined: dict[str, tuple[int, ...]] = {}
    for layer, shape in shapes.items():
        whole, _ = _whole(layer)
        rows = joined[whole][0] if whole in joined else 0
        joined[whole] = (rows + shape[0], *shape[1:])
    return joined


def patch_of(patches: WeightPatches, layer: str) -> WeightPatch | None:
    """The patch of a stored layer, if there is one; for a half, made from that of the whole."""
    whole, half = _whole(layer)
    patch = patches.get(whole)
    return patch if patch is None or half is None else partial(_patched_half, patch, half)


def _whole(layer: str) -> tuple[str, int | None]:
    """The layer of the network that a stored layer belongs to, and which half of its rows it is."""
    whole, _, last = layer.rpartition(".")
    return (whole, HALVES.index(last)) if last in HALVES else (layer, None)


def _patched_half(patch: WeightPatch, half: int, weight: Array) -> Array:
    """Patch half of the rows; how a row changes depends on no other row."""
    rows = [weight if i == half else np.zeros_like(weight) for i in range(len(HALVES))]
    return np.split(patch(np.concatenate(rows)), len(HALVES))[half]


def is_token_table(layer: str) -> bool:
    """Whether a layer is a text encoder's table, with a vector for each token."""
    return layer.endswith(TOKEN_TABLE)


def patched(layer: str, stored: Array, patch: WeightPatch, is_transposed: bool) -> Array:
    """A layer's new weight, in the type of the stored one: fp32, or bf16 as uint16.

    `is_transposed` says that it is stored as (in, out).
    """
    is_bf16 = stored.dtype == np.uint16
    before = widened(stored) if is_bf16 else stored
    after = patch(before.T if is_transposed else before)
    after = np.ascontiguousarray(after.T if is_transposed else after, np.float32)
    # Rounded at random, but to the same numbers in every run and on every engine.
    return rounded_at_random(after, zlib.crc32(layer.encode())) if is_bf16 else after


def rounded_at_random(numbers: Floats, seed: int) -> Bits:
    """Round each finite number to one of its two neighbours in bf16, the nearer the likelier.

    The mean stays right. A patch often adds less than half of a weight's last bit: rounding to
    nearest would lose it from all weights, and this keeps it in the right share of them.
    """
    low = np.random.default_rng(seed).integers(0, 1 << 16, numbers.shape, np.uint16)
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32) + low
    upper: Bits = (bits >> 16).astype(np.uint16)
    return upper


def check_layer_names(file: object, unnamed: Iterable[str]) -> None:
    """Raise `ArtifactError` for weights that do not have their layers' names."""
    if names := list(unnamed):
        raise ArtifactError(
            f"{file} does not say which layer {len(names)} of its weights belong to, for example "
            f"{names[0]}, so that they cannot be changed: an older sdrt wrote it; export the model "
            "again"
        )
