"""Checks of embeddings that callers give in place of prompts."""

import hashlib

import numpy as np

from sdrt.arrays import Array, Embeddings
from sdrt.errors import UsageError
from sdrt.manifest import Dimension


def checked_embeddings(name: str, value: object, width: Dimension, images: int) -> Embeddings:
    """A float32 copy of token embeddings, (1 or images, tokens, width); raises `UsageError`.

    The value may also be (tokens, width), of any floating type, and anything that numpy converts,
    such as a torch tensor on the CPU.
    """
    array = checked_floats(name, value)
    stack = array[None] if array.ndim == 2 else array
    is_right = stack.ndim == 3 and stack.shape[0] in (1, images) and stack.shape[1] > 0
    if not is_right or (isinstance(width, int) and stack.shape[2] != width):
        several = f" or ({images}, tokens, {width})" if images > 1 else ""
        raise UsageError(
            f"{name} has the shape {array.shape}; expected (tokens, {width}), (1, tokens, {width})"
            f"{several}, as Pipeline.encode gives them"
        )
    return stack


def checked_pooled(name: str, value: object, width: Dimension, images: int) -> Embeddings:
    """A float32 copy of pooled embeddings, (1 or images, width); raises `UsageError`.

    The value may also be (width,), and is otherwise as for `checked_embeddings`.
    """
    array = checked_floats(name, value)
    rows = array[None] if array.ndim == 1 else array
    is_right = rows.ndim == 2 and rows.shape[0] in (1, images)
    if not is_right or (isinstance(width, int) and rows.shape[1] != width):
        several = f" or ({images}, {width})" if images > 1 else ""
        raise UsageError(
            f"{name} has the shape {array.shape}; expected ({width},), (1, {width}){several}, as "
            "Pipeline.encode_text gives them"
        )
    return rows


def checked_floats(name: str, value: object) -> Embeddings:
    """A float32 copy of an array of any floating type and shape; raises `UsageError`."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} cannot be read as a numpy array: {error}") from error
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"{name} has the type {array.dtype}; expected an array of float32")
    with np.errstate(over="ignore"):
        copy = array.astype(np.float32)
    if not np.all(np.isfinite(copy)):
        raise UsageError(f"{name} has NaN or infinity; expected finite numbers in float32's range")
    return copy


def check_lengths(positive: Embeddings | None, negative: Embeddings | None, chunk: int) -> None:
    """Raise `UsageError` unless padding by whole chunks makes both equally long.

    None stands for a prompt that is text, whose embeddings always are whole chunks.
    """
    tokens = [chunk if given is None else given.shape[1] for given in (positive, negative)]
    if (tokens[0] - tokens[1]) % chunk:
        lengths = [
            f"a multiple of {chunk}" if given is None else str(given.shape[1])
            for given in (positive, negative)
        ]
        raise UsageError(
            f"tokens of the prompt: {lengths[0]}, of the negative prompt: {lengths[1]}; expected "
            f"numbers that are equal, or differ by a multiple of {chunk}"
        )


def digest(array: Array) -> str:
    """SHA-256 of an array's bytes in row-major order."""
    return hashlib.sha256(array.tobytes()).hexdigest()
