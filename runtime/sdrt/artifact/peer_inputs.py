"""Inputs and outputs of networks that others exported, and what they differ in from ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdrt.backends.input_casts import InputCasts
from sdrt.errors import UnsupportedError
from sdrt.manifest import GUIDANCE_INPUT, PICTURE, POOLED, TensorSpec

FREE = ("batch", "tokens", "height", "width", "image_height", "image_width")
"""Axes that may have any size; others say what the model is."""


@dataclass(frozen=True)
class Input:
    """How sdrt gives an input."""

    axes: tuple[str, ...]
    dtype: Literal["float32", "int64"] = "float32"
    is_needed: bool = True


INPUTS: Mapping[str, Mapping[str, Input]] = {
    **dict.fromkeys(
        ("text_encoder", "text_encoder_2"), {"input_ids": Input(("batch", "tokens"), "int64")}
    ),
    "unet": {
        "sample": Input(("batch", "channels", "height", "width")),
        "timestep": Input(()),
        "encoder_hidden_states": Input(("batch", "tokens", "features")),
        POOLED: Input(("batch", "features"), is_needed=False),
        PICTURE: Input(("batch", "numbers"), is_needed=False),
        GUIDANCE_INPUT: Input(("batch", "features"), is_needed=False),
    },
    "vae_decoder": {"latent_sample": Input(("batch", "channels", "height", "width"))},
    "vae_encoder": {"sample": Input(("batch", "channels", "image_height", "image_width"))},
}


OUTPUTS: Mapping[str, Sequence[str]] = {
    "text_encoder": ("last_hidden_state",),
    "text_encoder_2": ("last_hidden_state", POOLED),
    "unet": ("out_sample",),
    "vae_decoder": ("sample",),
    "vae_encoder": ("latent_parameters",),
}
"""What sdrt needs of each network."""


def canonical(where: Path, network: str, tensor: TensorSpec) -> TensorSpec:
    """An input as sdrt gives it, with the sizes that the file fixes.

    Raises `UnsupportedError` for one that sdrt has nothing for, or that has another form.
    """
    known = INPUTS[network]
    if tensor.name not in known:
        raise UnsupportedError(
            f"{where} takes {tensor.name}, for which sdrt has nothing; expected {', '.join(known)}"
        )
    expected = known[tensor.name]
    if not _fits(tensor, expected):
        raise UnsupportedError(
            f"{where} takes {tensor.name} as {tensor.dtype} {_axes(tensor.shape)}; expected "
            f"{expected.dtype} {_axes(expected.axes)}"
        )
    shape = tuple(
        size if isinstance(size, int) else axis
        for axis, size in zip(expected.axes, tensor.shape, strict=False)
    )
    return TensorSpec(name=tensor.name, dtype=expected.dtype, shape=shape)


def differing(specs: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> InputCasts:
    """Inputs whose type or rank in the file is not the one that they are given in."""
    return {
        tensor.name: tensor
        for spec, tensor in zip(specs, found, strict=True)
        if spec.dtype != tensor.dtype or len(spec.shape) != len(tensor.shape)
    }


def _fits(tensor: TensorSpec, expected: Input) -> bool:
    if not expected.axes:  # a number, or a row of it
        return len(tensor.shape) <= 1 and tensor.dtype != "bool"
    is_number = tensor.dtype == "float32" or expected.dtype == "int64" and tensor.dtype != "bool"
    return (
        (tensor.dtype == "float32") == (expected.dtype == "float32")
        and is_number
        and len(tensor.shape) == len(expected.axes)
        and all(
            isinstance(size, int) or axis in FREE
            for axis, size in zip(expected.axes, tensor.shape, strict=True)
        )
    )


def _axes(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})" if shape else "a single number"
