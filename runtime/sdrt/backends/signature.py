"""What a graph's file says of itself: its inputs and outputs, and how its weights are stored."""

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
"""By OpenVINO's name of a type."""


@dataclass(frozen=True)
class Signature:
    """Read from a file, without loading its weights."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """With the file's own names of what is free."""
    weights: Mapping[str, int]
    """How many numbers it stores of each type, named as in OpenVINO."""
    is_quantized: bool
    """Whether it rounds what it computes to integers, and not its weights alone."""
    beside: tuple[str, ...] = ()
    """Names of files beside it that hold weights."""
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
