"""Sizes of a network's convolutions, read from its ONNX file without the package `onnx`.

ONNX Runtime does not show weights that it packed, and so not how large a convolution's kernel is.
The file is a protocol buffer (protobuf.dev/programming-guides/encoding) whose fields have the
numbers of onnx.proto.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

GRAPH = 7  # of a model
NODE, INITIALIZER = 1, 5  # of a graph
INPUT, OUTPUT, NAME, KIND = 1, 2, 3, 4  # of a node
DIMENSION, TENSOR_NAME = 1, 8  # of an initializer
WIDENING = ("Cast", "DequantizeLinear")
FIXED_BYTES = {1: 8, 5: 4}  # of the wire types of one size; 0 is a number, 2 has its length before

Span = tuple[int, int]


def convolution_sizes(path: Path) -> dict[str, int]:
    """Multiply-adds for one value of its result, for each convolution by its name."""
    shapes: dict[str, list[int]] = {}
    stored: dict[str, str] = {}  # weights in float, and what they are in the file
    weights: dict[str, str] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data)
        (graph,) = reader.parts((0, len(data)), GRAPH)
        for tensor in reader.parts(graph, INITIALIZER):
            shapes[reader.texts(tensor, TENSOR_NAME)[0]] = reader.numbers(tensor, DIMENSION)
        for node in reader.parts(graph, NODE):
            kind, inputs = reader.texts(node, KIND), reader.texts(node, INPUT)
            if kind[0] in WIDENING:
                stored[reader.texts(node, OUTPUT)[0]] = inputs[0]
            elif kind == ["Conv"]:
                weights["".join(reader.texts(node, NAME))] = inputs[1]
    found = {name: shapes.get(stored.get(tensor, tensor)) for name, tensor in weights.items()}
    return {name: prod(shape[1:]) for name, shape in found.items() if shape}


class _Reader:
    """Reads fields of messages, which are spans of bytes in a file, without copying them."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def parts(self, message: Span, field: int) -> list[Span]:
        """Messages and texts in a field."""
        return [
            one
            for number, one in self._fields(message)
            if number == field and isinstance(one, tuple)
        ]

    def numbers(self, message: Span, field: int) -> list[int]:
        """Numbers in a field."""
        return [
            one for number, one in self._fields(message) if number == field and isinstance(one, int)
        ]

    def texts(self, message: Span, field: int) -> list[str]:
        """Texts in a field."""
        return [self._data[start:end].decode() for start, end in self.parts(message, field)]

    def _fields(self, message: Span) -> Iterator[tuple[int, int | Span]]:
        at, end = message
        while at < end:
            key, at = self._number(at)
            wire_type = key & 7
            if wire_type == 0:
                value, at = self._number(at)
                yield key >> 3, value
                continue
            length, at = (
                (FIXED_BYTES[wire_type], at) if wire_type in FIXED_BYTES else self._number(at)
            )
            yield key >> 3, (at, at + length)
            at += length

    def _number(self, at: int) -> tuple[int, int]:
        """A number in groups of seven bits, the lowest first, and where it ends."""
        value = shift = 0
        while True:
            byte = self._data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
