"""Weights of a network's layers, and sizes of its convolutions, read from its ONNX file.

ONNX Runtime does not show weights that it has packed, and so not the size of a convolution.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.onnxruntime.onnx_file import (
    BFLOAT16,
    DIMENSION,
    EXTERNAL,
    FLOAT,
    GRAPH,
    INITIALIZER,
    INPUT,
    KEY,
    KIND,
    NAME,
    NODE,
    OUTPUT,
    TENSOR_NAME,
    TYPE,
    VALUE,
    Reader,
    Span,
    external,
    opened,
    rebuilt,
)
from sdrt.backends.weight_patches import check_layer_names, is_token_table, layer_name
from sdrt.errors import ArtifactError

STORED = {FLOAT: "<f4", BFLOAT16: "<u2"}
LAYERS = ("Conv", "MatMul", "Gemm")
TABLE = "Gather"
WIDENING = ("Cast", "DequantizeLinear")


@dataclass(frozen=True)
class StoredWeight:
    """The place of a layer's weight in a file: in fp32, or in bf16, which is read as uint16."""

    name: str
    """The name of its initializer."""
    kind: int
    """The number of its type in ONNX."""
    shape: tuple[int, ...]
    """Its shape as stored."""
    is_transposed: bool
    """Whether it is stored as (in, out), as a matrix product takes it."""
    file: Path
    offset: int
    """Where in the file its first byte is."""

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Its shape as layers have it: (out, in), or (out, in, height, width)."""
        return self.shape[::-1] if self.is_transposed else self.shape

    def read(self) -> Array:
        """Read its numbers, as they are stored."""
        dtype = np.dtype(STORED[self.kind])
        array = np.fromfile(self.file, dtype, prod(self.shape), offset=self.offset)
        if array.size != prod(self.shape):
            raise ArtifactError(f"{self.file} ended inside of {self.name}; export the model again")
        return array.reshape(self.shape)


def layer_weights(path: Path) -> dict[str, StoredWeight]:
    """Weights stored in float, by layer: of linear layers, convolutions and the table of tokens.

    Raises `ArtifactError` where they do not have the layers' names.
    """
    weights: dict[str, StoredWeight] = {}
    unnamed = []
    with opened(path) as reader:
        (graph,) = reader.parts(reader.whole, GRAPH)
        tensors = {
            reader.texts(tensor, TENSOR_NAME)[0]: tensor
            for tensor in reader.parts(graph, INITIALIZER)
            if reader.numbers(tensor, TYPE)[0] in STORED and reader.parts(tensor, EXTERNAL)
        }
        casts: dict[str, str] = {}  # weights in fp32, and the tensors that they are cast from
        for node in reader.parts(graph, NODE):
            kind, inputs = reader.texts(node, KIND)[0], reader.texts(node, INPUT)
            if kind == "Cast":
                casts[reader.texts(node, OUTPUT)[0]] = inputs[0]
            if kind not in (*LAYERS, TABLE):
                continue
            weight = inputs[0 if kind == TABLE else 1]
            stored = casts.get(weight, weight)
            layer = layer_name(stored)
            if stored not in tensors or (kind == TABLE and not is_token_table(layer or "")):
                continue
            if layer is None:
                unnamed.append(stored)
                continue
            is_gemm = kind == "Gemm" and not reader.integer(node, "transB")
            is_transposed = kind == "MatMul" or is_gemm
            weights[layer] = _stored(reader, path, tensors[stored], is_transposed)
    check_layer_names(path, unnamed)
    return weights


def resized(path: Path, weight: StoredWeight, shape: tuple[int, ...]) -> bytes:
    """The file's content with another shape for one weight, whose numbers the session is given."""
    initializer = external(weight.name, weight.kind, shape, weight.file.name)
    with opened(path) as reader:
        (graph,) = reader.parts(reader.whole, GRAPH)
        fields = [
            initializer
            if field == INITIALIZER and reader.texts(content, TENSOR_NAME) == [weight.name]
            else raw
            for field, content, raw in reader.fields(graph)
        ]
        return rebuilt(reader, b"".join(fields))


def convolution_sizes(path: Path) -> dict[str, int]:
    """Multiply-adds per value of the result, for each convolution by its name."""
    shapes: dict[str, list[int]] = {}
    stored: dict[str, str] = {}  # weights in float, and the tensors that they are made from
    weights: dict[str, str] = {}
    with opened(path) as reader:
        (graph,) = reader.parts(reader.whole, GRAPH)
        for tensor in reader.parts(graph, INITIALIZER):
            shapes[reader.texts(tensor, TENSOR_NAME)[0]] = reader.numbers(tensor, DIMENSION)
        for node in reader.parts(graph, NODE):
            kind, inputs = reader.texts(node, KIND), reader.texts(node, INPUT)
            if kind[0] in WIDENING:
                stored[reader.texts(node, OUTPUT)[0]] = inputs[0]
            elif kind == ["Conv"]:
                weights["".join(reader.texts(node, NAME))] = inputs[1]
    known = {name: shapes.get(stored.get(tensor, tensor)) for name, tensor in weights.items()}
    return {name: prod(shape[1:]) for name, shape in known.items() if shape}


def _stored(reader: Reader, path: Path, tensor: Span, is_transposed: bool) -> StoredWeight:
    """An initializer whose numbers are in another file."""
    location = dict(
        (reader.texts(entry, KEY)[0], reader.texts(entry, VALUE)[0])
        for entry in reader.parts(tensor, EXTERNAL)
    )
    return StoredWeight(
        name=reader.texts(tensor, TENSOR_NAME)[0],
        kind=reader.numbers(tensor, TYPE)[0],
        shape=tuple(reader.numbers(tensor, DIMENSION)),
        is_transposed=is_transposed,
        file=path.with_name(location["location"]),
        offset=int(location.get("offset", "0")),
    )
