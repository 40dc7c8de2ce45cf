"""ONNX files, read and changed without the package `onnx`.

A file is a protocol buffer (protobuf.dev/programming-guides/encoding) whose fields have the numbers
of onnx.proto. The runtime reads a few of them: signatures, names of weights, and the nodes around
norms and attention. For that `onnx` would be a dependency of 31 MB. `protobuf` itself comes with
onnxruntime, but it has no classes for these messages without `onnx`, it parses a whole model where
`Reader` skips what is not asked for, and OpenVINO works without it.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Numbers of fields, by message.
GRAPH = 7  # ModelProto
NODE, INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12  # GraphProto
INPUT, OUTPUT, NAME, KIND, ATTRIBUTE = 1, 2, 3, 4, 5  # NodeProto
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INTEGER, ATTRIBUTE_TYPE = 1, 2, 3, 20  # AttributeProto
DIMENSION, TYPE, TENSOR_NAME, RAW_DATA, EXTERNAL, LOCATION = 1, 2, 8, 9, 13, 14  # TensorProto
KEY, VALUE = 1, 2  # StringStringEntryProto
VALUE_NAME, VALUE_TYPE = 1, 2  # ValueInfoProto
TENSOR_TYPE, ELEMENT, SHAPE, AXIS = 1, 1, 2, 1  # TypeProto and the messages in it
# Values of enumerations.
IS_INTEGER = 2  # ATTRIBUTE_TYPE
IS_EXTERNAL = 1  # LOCATION
FLOAT, INT64, BFLOAT16 = 1, 7, 16  # TYPE and ELEMENT
# Wire types of fixed size, in bytes; type 0 is a varint, type 2 begins with its length.
FIXED_BYTES = {1: 8, 5: 4}

Span = tuple[int, int]


@contextmanager
def opened(path: Path) -> "Iterator[Reader]":
    """Open a file for reading its fields; raises `ValueError` for an empty one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Reader(data)


class Reader:
    """Reads fields of messages, which are spans of bytes in a file, without copying them."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data

    @property
    def whole(self) -> Span:
        """The span of the model, which is the whole file."""
        return 0, len(self._data)

    def parts(self, message: Span, field: int) -> list[Span]:
        """The messages or strings of a field."""
        return [
            value
            for number, value, _ in self._fields(message)
            if number == field and isinstance(value, tuple)
        ]

    def numbers(self, message: Span, field: int) -> list[int]:
        """The integers of a field."""
        return [
            value
            for number, value, _ in self._fields(message)
            if number == field and isinstance(value, int)
        ]

    def texts(self, message: Span, field: int) -> list[str]:
        """The strings of a field."""
        return [self.text(span) for span in self.parts(message, field)]

    def text(self, span: Span) -> str:
        """The string that a span holds."""
        return self._data[span[0] : span[1]].decode()

    def integer(self, node: Span, attribute: str, default: int = 0) -> int:
        """An integer attribute of a node."""
        attributes = self._attributes(node, attribute)
        values = [self.numbers(span, ATTRIBUTE_INTEGER) for span in attributes]
        return next((value[0] for value in values if value), default)

    def real(self, node: Span, attribute: str, default: float) -> float:
        """A float attribute of a node."""
        spans = [self.parts(span, ATTRIBUTE_FLOAT) for span in self._attributes(node, attribute)]
        values = [struct.unpack("<f", self._data[start:end])[0] for ((start, end),) in spans]
        return float(values[0]) if values else default

    def fields(self, message: Span) -> Iterator[tuple[int, Span, bytes]]:
        """Every field: its number, the span of its content, and its bytes with key and length."""
        for number, value, (start, end) in self._fields(message):
            yield number, value if isinstance(value, tuple) else (end, end), self._data[start:end]

    def _attributes(self, node: Span, name: str) -> list[Span]:
        attributes = self.parts(node, ATTRIBUTE)
        return [span for span in attributes if self.texts(span, ATTRIBUTE_NAME) == [name]]

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
        """The varint at a position (groups of seven bits, lowest first), and where it ends."""
        value = shift = 0
        while True:
            byte = self._data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at


def number(field: int, value: int) -> bytes:
    """A field with an integer."""
    return _varint(field << 3) + _varint(value)


def text(field: int, content: str) -> bytes:
    """A field with a string."""
    return part(field, content.encode())


def part(field: int, content: bytes) -> bytes:
    """A field with a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    """A node with integer attributes, named like its output."""
    names = b"".join(text(INPUT, name) for name in inputs)
    fields = b"".join(
        part(
            ATTRIBUTE,
            text(ATTRIBUTE_NAME, name)
            + number(ATTRIBUTE_INTEGER, value)
            + number(ATTRIBUTE_TYPE, IS_INTEGER),
        )
        for name, value in attributes.items()
    )
    return part(NODE, names + text(OUTPUT, output) + text(NAME, output) + text(KIND, kind) + fields)


def external(name: str, kind: int, shape: Sequence[int], file: str) -> bytes:
    """An initializer whose numbers are in another file."""
    location = part(EXTERNAL, text(KEY, "location") + text(VALUE, file))
    return _initializer(name, kind, shape, location + number(LOCATION, IS_EXTERNAL))


def row(name: str, numbers: Sequence[int]) -> bytes:
    """An initializer with a row of integers, such as a shape or axes."""
    raw = struct.pack(f"<{len(numbers)}q", *numbers)
    return _initializer(name, INT64, [len(numbers)], part(RAW_DATA, raw))


def scalar(name: str, value: float) -> bytes:
    """An initializer with a single number in fp32."""
    return _initializer(name, FLOAT, [], part(RAW_DATA, struct.pack("<f", value)))


def floats(field: int, name: str) -> bytes:
    """A graph's input or output, as `field` says: an fp32 tensor of any shape."""
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
    """An integer as groups of seven bits, lowest first."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
