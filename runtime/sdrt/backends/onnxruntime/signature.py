"""Inputs, outputs and weight types of an ONNX file, read without the package `onnx`."""

from collections import Counter
from math import prod
from pathlib import Path

from sdrt.backends.onnxruntime.onnx_file import (
    AXIS,
    DIMENSION,
    ELEMENT,
    EXTERNAL,
    GRAPH,
    GRAPH_INPUT,
    GRAPH_OUTPUT,
    INITIALIZER,
    KEY,
    KIND,
    NODE,
    SHAPE,
    TENSOR_NAME,
    TENSOR_TYPE,
    TYPE,
    VALUE,
    VALUE_NAME,
    VALUE_TYPE,
    Reader,
    Span,
    opened,
)
from sdrt.backends.signature import Signature
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.manifest import TensorSpec

PRODUCER, PRODUCER_VERSION = 2, 3  # of a model
FIXED, FREE = 1, 2  # of an axis: its size, or a name for any
DTYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool"}
TYPES = {1: "f32", 2: "u8", 3: "i8", 10: "f16", 11: "f64", 16: "bf16", 21: "u4", 22: "i4"}
ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear")


def read_onnx_signature(path: Path) -> Signature:
    """Read a file's header; raises `ArtifactError` for one that is no ONNX model."""
    try:
        with opened(path) as reader:
            return _signature(path, reader)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (IndexError, ValueError) as error:
        raise ArtifactError(
            f"{path} is no whole ONNX model; copy or export the model again"
        ) from error


def _signature(path: Path, reader: Reader) -> Signature:
    model = reader.whole
    (graph,) = reader.parts(model, GRAPH)
    weights: Counter[str] = Counter()
    weight_files: dict[str, None] = {}
    names = set()
    for tensor in reader.parts(graph, INITIALIZER):
        names.update(reader.texts(tensor, TENSOR_NAME))
        (kind,) = reader.numbers(tensor, TYPE)
        if kind in TYPES:
            weights[TYPES[kind]] += prod(reader.numbers(tensor, DIMENSION))
        for entry in reader.parts(tensor, EXTERNAL):
            if reader.texts(entry, KEY) == ["location"]:
                weight_files.update(dict.fromkeys(reader.texts(entry, VALUE)))
    kinds = {kind for node in reader.parts(graph, NODE) for kind in reader.texts(node, KIND)}
    inputs = [_tensor(path, reader, value) for value in reader.parts(graph, GRAPH_INPUT)]
    outputs = [_tensor(path, reader, value) for value in reader.parts(graph, GRAPH_OUTPUT)]
    producer = " ".join(reader.texts(model, PRODUCER)) or "unknown"
    return Signature(
        # Old files list their weights among the inputs.
        inputs=tuple(spec for spec in inputs if spec.name not in names),
        outputs=tuple(outputs),
        weights=weights,
        is_quantized=any(kind in kinds for kind in ROUNDING),
        weight_files=tuple(weight_files),
        made_with={producer: " ".join(reader.texts(model, PRODUCER_VERSION))},
    )


def _tensor(path: Path, reader: Reader, value: Span) -> TensorSpec:
    (name,) = reader.texts(value, VALUE_NAME)
    (kind,) = reader.parts(value, VALUE_TYPE)
    (tensor,) = reader.parts(kind, TENSOR_TYPE)
    (element,) = reader.numbers(tensor, ELEMENT)
    if element not in DTYPES:
        known = ", ".join(DTYPES.values())
        found = TYPES.get(element, f"type {element} of ONNX")
        raise UnsupportedError(f"{path} has {name} as {found}; expected one of {known}")
    axes = [axis for shape in reader.parts(tensor, SHAPE) for axis in reader.parts(shape, AXIS)]
    return TensorSpec(
        name=name,
        dtype=DTYPES[element],
        shape=tuple(_size(reader, axis) for axis in axes),
    )


def _size(reader: Reader, axis: Span) -> int | str:
    fixed = reader.numbers(axis, FIXED)
    return fixed[0] if fixed else "".join(reader.texts(axis, FREE)) or "any"
