"""An ONNX graph as an artifact has it: its files' names, its inputs and outputs. Needs no torch."""

import onnx_ir as ir

from sdrt.artifact.detect import GRAPH_FILES, WEIGHTS_FILES
from sdrt.manifest import TensorSpec

GRAPH_FILE, WEIGHTS_FILE = GRAPH_FILES["onnx"], WEIGHTS_FILES["onnx"]

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


def signature(model: ir.Model) -> Signature:
    """Inputs and outputs as the manifest states them."""
    inputs = tuple(_spec(value) for value in model.graph.inputs)
    return inputs, tuple(_spec(value) for value in model.graph.outputs)


def _spec(value: ir.Value) -> TensorSpec:
    assert value.shape is not None
    assert value.dtype is not None
    shape = [size if isinstance(size, int) else str(size.value) for size in value.shape]
    return TensorSpec(name=str(value.name), dtype=value.dtype.numpy().name, shape=tuple(shape))
