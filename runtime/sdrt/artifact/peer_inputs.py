"""Inputs and outputs of networks that other tools exported, compared with those of sdrt's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdrt.backends.input_casts import InputCasts
from sdrt.errors import UnsupportedError
from sdrt.manifest import GUIDANCE_INPUT, PICTURE, POOLED, TensorSpec

FREE = ("batch", "tokens", "height", "width", "image_height", "image_width")
"""Axes that may have any size; the sizes of all others are facts of the model."""


@dataclass(frozen=True)
class ExpectedInput:
    """An input as sdrt gives it: names of its axes and its type."""

    axes: tuple[str, ...]
    dtype: Literal["float32", "int64"] = "float32"
    is_needed: bool = True


INPUTS: Mapping[str, Mapping[str, ExpectedInput]] = {
    **dict.fromkeys(
        ("text_encoder", "text_encoder_2"),
        {"input_ids": ExpectedInput(("batch", "tokens"), "int64")},
    ),
    "unet": {
        "sample": ExpectedInput(("batch", "channels", "height", "width")),
        "timestep": ExpectedInput(()),
        "encoder_hidden_states": ExpectedInput(("batch", "tokens", "features")),
        POOLED: ExpectedInput(("batch", "features"), is_needed=False),
        PICTURE: ExpectedInput(("batch", "numbers"), is_needed=False),
        GUIDANCE_INPUT: ExpectedInput(("batch", "features"), is_needed=False),
    },
    "vae_decoder": {"latent_sample": ExpectedInput(("batch", "channels", "height", "width"))},
    "vae_encoder": {"sample": ExpectedInput(("batch", "channels", "image_height", "image_width"))},
}


OUTPUTS: Mapping[str, Sequence[str]] = {
    "text_encoder": ("last_hidden_state",),
    "text_encoder_2": ("last_hidden_state", POOLED),
    "unet": ("out_sample",),
    "vae_decoder": ("sample",),
    "vae_encoder": ("latent_parameters",),
}
"""Outputs that sdrt needs from each network."""


def canonical(where: Path, network: str, tensor: TensorSpec) -> TensorSpec:
    """A declared input in the form in which sdrt gives it, with the sizes that the file fixes.

    Raises `UnsupportedError` for an input that sdrt has no value for, or of another form.
    """
    known = INPUTS[network]
    if tensor.name not in known:
        raise UnsupportedError(
            f"{where} takes {tensor.name}, for which sdrt has no value; expected {', '.join(known)}"
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


def differing(specs: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> InputCasts:
    """The declared inputs whose type or rank differs from the form in which sdrt gives them."""
    return {
        tensor.name: tensor
        for spec, tensor in zip(specs, declared, strict=True)
        if spec.dtype != tensor.dtype or len(spec.shape) != len(tensor.shape)
    }


def _fits(tensor: TensorSpec, expected: ExpectedInput) -> bool:
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
