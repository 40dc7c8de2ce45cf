"""ONNX files read and changed without the package `onnx`.

A file is a protocol buffer (protobuf.dev/programming-guides/encoding) whose fields have the numbers
of onnx.proto.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

GRAPH = 7  # of a model
NODE, INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12  # of a graph
INPUT, OUTPUT, NAME, KIND, ATTRIBUTE = 1, 2, 3, 4, 5  # of a node
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INTEGER, ATTRIBUTE_TYPE = 1, 2, 3, 20
IS_INTEGER = 2  # an attribute
DIMENSION, TYPE, TENSOR_NAME, RAW_DATA, EXTERNAL, LOCATION = 1, 2, 8, 9, 13, 14  # of an initializer
KEY, VALUE = 1, 2  # of what is said about external data
IS_EXTERNAL = 1  # a location
VALUE_NAME, VALUE_TYPE = 1, 2  # of an input or output of a graph
TENSOR_TYPE, ELEMENT, SHAPE, AXIS = 1, 1, 2, 1  # of its type
FLOAT, INT64, BFLOAT16 = 1, 7, 16  # types
FIXED_BYTES = {1: 8, 5: 4}  # of the wire types of one size; 0 is a number, 2 has its length before

Span = tuple[int, int]


@contextmanager
def opened(path: Path) -> "Iterator[Reader]":
    """A file whose fields can be read; raises `ValueError` for an empty one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Reader(data)


class Reader:
    """Reads fields of messages, which are spans of bytes in a file, without copying them."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    @property
    def whole(self) -> Span:
        """The model."""
        return 0, len(self._data)

    def parts(self, message: Span, field: int) -> list[Span]:
        """Messages and texts in a field."""
        return [
            one
            for number, one, _ in self._fields(message)
            if number == field and isinstance(one, tuple)
        ]

    def numbers(self, message: Span, field: int) -> list[int]:
        """Numbers in a field."""
        return [
            one
            for number, one, _ in self._fields(message)
            if number == field and isinstance(one, int)
        ]

    def texts(self, message: Span, field: int) -> list[str]:
        """Texts in a field."""
        return [self._data[start:end].decode() for start, end in self.parts(message, field)]

    def integer(self, node: Span, attribute: str, otherwise: int = 0) -> int:
        """An attribute of a node."""
        values = [self.numbers(one, ATTRIBUTE_INTEGER) for one in self._attributes(node, attribute)]
        return next((value[0] for value in values if value), otherwise)

    def real(self, node: Span, attribute: str, otherwise: float) -> float:
        """An attribute of a node."""
        spans = [self.parts(one, ATTRIBUTE_FLOAT) for one in self._attributes(node, attribute)]
        found = [struct.unpack("<f", self._data[start:end])[0] for ((start, end),) in spans]
        return float(found[0]) if found else otherwise

    def fields(self, message: Span) -> Iterator[tuple[int, Span, bytes]]:
        """Every field with its number, its content, and the whole of it as it is stored."""
        for number, one, (start, end) in self._fields(message):
            yield number, one if isinstance(one, tuple) else (end, end), self._data[start:end]

    def _attributes(self, node: Span, name: str) -> list[Span]:
        parts = self.parts(node, ATTRIBUTE)
        return [one for one in parts if self.texts(one, ATTRIBUTE_NAME) == [name]]

    def _fields(self, message: Span) -> Iterator[tuple[int, int | Span, Span]]:
        at, end = message
        while at < end:
            begin = at
            key, at = self._number(at)
            wire_type = key & 7
            if wire_type == 0:
                value, at = self._number(at)
                yield key >> 3, value, (begin, at)
                continue
            length, at = (
                (FIXED_BYTES[wire_type], at) if wire_type in FIXED_BYTES else self._number(at)
            )
            yield key >> 3, (at, at + length), (begin, at + length)
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


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return _varint(field << 3) + _varint(value)


def text(field: int, content: str) -> bytes:
    """A field that holds a text."""
    return part(field, content.encode())


def part(field: int, content: bytes) -> bytes:
    """A field that holds a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    """A node, named as its output is."""
    taken = b"".join(text(INPUT, name) for name in inputs)
    said = b"".join(
        part(
            ATTRIBUTE,
            text(ATTRIBUTE_NAME, name)
            + number(ATTRIBUTE_INTEGER, value)
            + number(ATTRIBUTE_TYPE, IS_INTEGER),
        )
        for name, value in attributes.items()
    )
    return part(NODE, taken + text(OUTPUT, output) + text(NAME, output) + text(KIND, kind) + said)


def external(name: str, kind: int, shape: Sequence[int], file: str) -> bytes:
    """An initializer whose numbers lie in another file."""
    where = part(EXTERNAL, text(KEY, "location") + text(VALUE, file))
    return _initializer(name, kind, shape, where + number(LOCATION, IS_EXTERNAL))


def row(name: str, numbers: Sequence[int]) -> bytes:
    """An initializer of whole numbers, such as a shape or axes."""
    raw = struct.pack(f"<{len(numbers)}q", *numbers)
    return _initializer(name, INT64, [len(numbers)], part(RAW_DATA, raw))


def scalar(name: str, value: float) -> bytes:
    """An initializer of one number in fp32."""
    return _initializer(name, FLOAT, [], part(RAW_DATA, struct.pack("<f", value)))


def floats(field: int, name: str) -> bytes:
    """An input or an output of a graph: an fp32 tensor of any shape."""
    kind = part(VALUE_TYPE, part(TENSOR_TYPE, number(ELEMENT, FLOAT)))
    return part(field, text(VALUE_NAME, name) + kind)


def rebuilt(reader: Reader, graph: bytes) -> bytes:
    """The model with another graph."""
    fields = reader.fields(reader.whole)
    return b"".join(part(GRAPH, graph) if field == GRAPH else raw for field, _, raw in fields)


def _initializer(name: str, kind: int, shape: Sequence[int], numbers: bytes) -> bytes:
    sizes = b"".join(number(DIMENSION, size) for size in shape)
    return part(INITIALIZER, sizes + number(TYPE, kind) + text(TENSOR_NAME, name) + numbers)


def _varint(value: int) -> bytes:
    """Groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
