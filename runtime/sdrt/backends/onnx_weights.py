"""Sizes of a network's convolutions, and weights of its layers: read from its ONNX file without the
package `onnx`.

ONNX Runtime does not show weights that it packed, and so not how large a convolution's kernel is.
The file is a protocol buffer (protobuf.dev/programming-guides/encoding) whose fields have the
numbers of onnx.proto.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from sdrt.backends import Array
from sdrt.backends.changes import check_named, is_table, layer_name
from sdrt.errors import ArtifactError

GRAPH = 7  # of a model
NODE, INITIALIZER = 1, 5  # of a graph
INPUT, OUTPUT, NAME, KIND, ATTRIBUTE = 1, 2, 3, 4, 5  # of a node
DIMENSION, TYPE, TENSOR_NAME, EXTERNAL, LOCATION = 1, 2, 8, 13, 14  # of an initializer
ATTRIBUTE_NAME, ATTRIBUTE_INTEGER = 1, 3
KEY, VALUE = 1, 2  # of what is said about external data
FLOAT, BFLOAT16 = 1, 16  # types
STORED = {FLOAT: "<f4", BFLOAT16: "<u2"}
LAYERS = ("Conv", "MatMul", "Gemm")
TABLE = "Gather"
IS_EXTERNAL = 1  # a location
WIDENING = ("Cast", "DequantizeLinear")
FIXED_BYTES = {1: 8, 5: 4}  # of the wire types of one size; 0 is a number, 2 has its length before

Span = tuple[int, int]


@dataclass(frozen=True)
class StoredWeight:
    """Where a layer's weight lies: in fp32, or in bf16, which is read as uint16."""

    name: str
    """Of the initializer."""
    kind: int
    shape: tuple[int, ...]
    is_turned: bool
    """Stored as (in, out), as a product of matrices takes it."""
    file: Path
    offset: int

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """As layers have it: (out, in), or (out, in, height, width)."""
        return self.shape[::-1] if self.is_turned else self.shape

    def read(self) -> Array:
        """The numbers, as they are stored."""
        dtype = np.dtype(STORED[self.kind])
        array = np.fromfile(self.file, dtype, prod(self.shape), offset=self.offset)
        if array.size != prod(self.shape):
            raise ArtifactError(f"{self.file} ended inside of {self.name}; export the model again")
        return array.reshape(self.shape)


def layer_weights(path: Path) -> dict[str, StoredWeight]:
    """Weights that are stored in float, by their layers' names: of linear layers, of convolutions,
    and the table of tokens.

    Raises `ArtifactError` where they do not bear the names.
    """
    found: dict[str, StoredWeight] = {}
    nameless = []
    with opened(path) as reader:
        (graph,) = reader.parts((0, reader.size), GRAPH)
        tensors = {
            reader.texts(tensor, TENSOR_NAME)[0]: tensor
            for tensor in reader.parts(graph, INITIALIZER)
            if reader.numbers(tensor, TYPE)[0] in STORED and reader.parts(tensor, EXTERNAL)
        }
        casts: dict[str, str] = {}  # weights in fp32, and what they are in the file
        for node in reader.parts(graph, NODE):
            kind, inputs = reader.texts(node, KIND)[0], reader.texts(node, INPUT)
            if kind == "Cast":
                casts[reader.texts(node, OUTPUT)[0]] = inputs[0]
            if kind not in (*LAYERS, TABLE):
                continue
            weight = inputs[0 if kind == TABLE else 1]
            stored = casts.get(weight, weight)
            layer = layer_name(stored)
            if stored not in tensors or (kind == TABLE and not is_table(layer or "")):
                continue
            if layer is None:
                nameless.append(stored)
                continue
            is_turned = kind == "MatMul" or (kind == "Gemm" and not reader.is_set(node, "transB"))
            found[layer] = reader.weight(path, tensors[stored], is_turned)
    check_named(path, nameless)
    return found


def resized(path: Path, weight: StoredWeight, shape: tuple[int, ...]) -> bytes:
    """The file's content where one weight has another shape; its numbers have to be given."""
    with opened(path) as reader:
        (graph,) = reader.parts((0, reader.size), GRAPH)
        old = next(
            tensor
            for tensor in reader.parts(graph, INITIALIZER)
            if reader.texts(tensor, TENSOR_NAME) == [weight.name]
        )
    entry = _text(KEY, "location") + _text(VALUE, weight.file.name)
    tensor = b"".join(
        [
            *(_number(DIMENSION, size) for size in shape),
            _number(TYPE, weight.kind),
            _text(TENSOR_NAME, weight.name),
            _bytes(EXTERNAL, entry),
            _number(LOCATION, IS_EXTERNAL),
        ]
    )
    data = path.read_bytes()
    inner = data[graph[0] : _before(INITIALIZER, old)] + _bytes(INITIALIZER, tensor)
    inner += data[old[1] : graph[1]]
    return data[: _before(GRAPH, graph)] + _bytes(GRAPH, inner) + data[graph[1] :]


def convolution_sizes(path: Path) -> dict[str, int]:
    """Multiply-adds for one value of its result, for each convolution by its name."""
    shapes: dict[str, list[int]] = {}
    stored: dict[str, str] = {}  # weights in float, and what they are in the file
    weights: dict[str, str] = {}
    with opened(path) as reader:
        (graph,) = reader.parts((0, reader.size), GRAPH)
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


@contextmanager
def opened(path: Path) -> "Iterator[Reader]":
    """A file whose fields can be read; raises `ValueError` for an empty one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Reader(data)


def _before(field: int, part: Span) -> int:
    """Where the field begins that has this content."""
    start, end = part
    return start - len(_bytes(field, b"")) + 1 - len(_varint(end - start))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


class Reader:
    """Reads fields of messages, which are spans of bytes in a file, without copying them."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    def weight(self, path: Path, tensor: Span, is_turned: bool) -> StoredWeight:
        """An initializer whose numbers lie beside the file."""
        said = dict(
            (self.texts(entry, KEY)[0], self.texts(entry, VALUE)[0])
            for entry in self.parts(tensor, EXTERNAL)
        )
        return StoredWeight(
            name=self.texts(tensor, TENSOR_NAME)[0],
            kind=self.numbers(tensor, TYPE)[0],
            shape=tuple(self.numbers(tensor, DIMENSION)),
            is_turned=is_turned,
            file=path.with_name(said["location"]),
            offset=int(said.get("offset", "0")),
        )

    def is_set(self, node: Span, attribute: str) -> bool:
        """Whether a node has an integer attribute that is not 0."""
        return any(
            self.numbers(one, ATTRIBUTE_INTEGER)[:1] not in ([], [0])
            for one in self.parts(node, ATTRIBUTE)
            if self.texts(one, ATTRIBUTE_NAME) == [attribute]
        )

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
