"""Inputs, outputs and weight storage of a graph, as its file declares them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdrt.errors import UnsupportedError
from sdrt.manifest import Storage, TensorSpec

STORAGES: Mapping[str, Storage] = {
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i8": "int8-weights",
    "u8": "int8-weights",
    "i4": "int4-weights",
    "u4": "int4-weights",
}
"""Storage precisions by OpenVINO's names of types."""


@dataclass(frozen=True)
class Signature:
    """What a file declares, read without loading its weights."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """The outputs; free dimensions have the names that the file gives them."""
    weights: Mapping[str, int]
    """How many numbers it stores of each type, named as in OpenVINO."""
    is_quantized: bool
    """Whether activations are rounded to integers too, and not the weights alone."""
    weight_files: tuple[str, ...] = ()
    """Names of the files in the same folder that hold its weights."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages that made it."""

    @property
    def stored(self) -> Storage:
        """How most of its weights are stored; raises `UnsupportedError` for an unknown type."""
        most = max(self.weights, key=lambda kind: self.weights[kind], default="f32")
        if most not in STORAGES:
            raise UnsupportedError(
                f"its weights are stored in {most}; expected one of {', '.join(STORAGES)}"
            )
        stored = STORAGES[most]
        return "int8" if stored == "int8-weights" and self.is_quantized else stored
