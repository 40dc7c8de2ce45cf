"""Safetensors files: named arrays, read and written with numpy alone.

A file is eight bytes with the header's length, a header in JSON, then the arrays' bytes. The
package `safetensors` is not used because its numpy interface does not read bf16, in which many
LoRAs are stored, and because files come from strangers: every claim of a header is checked here
against the file's size, and refused with a message that says what is wrong.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Array, Floats
from sdrt.errors import ArtifactError
from sdrt.files.atomic import whole_file

Bits = npt.NDArray[np.uint16]
"""Numbers in bf16, the upper half of fp32's bits: numpy has no type for them."""

MAX_HEADER = 1 << 24
TYPES = {"I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "|u1"}
BF16 = "BF16"  # read as fp32
READ = {**TYPES, BF16: "<u2"}
LENGTH = struct.Struct("<Q")
METADATA = "__metadata__"


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file, whole or not at all; raises `WriteError`."""
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    header: dict[str, Any] = {METADATA: dict(metadata)}
    begin = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + tensor.nbytes],
        }
        begin += tensor.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays lie at multiples of eight
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(LENGTH.pack(len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


@dataclass(frozen=True)
class Place:
    """The type, shape and place of an array in a file's data."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    nbytes: int


@dataclass(frozen=True)
class TensorFile:
    """A file whose header was read and checked; arrays are read one by one when needed."""

    path: Path
    metadata: Mapping[str, str]
    places: Mapping[str, Place]
    data: int
    """The offset in the file at which the arrays' bytes begin."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all arrays, by name."""
        return {name: place.shape for name, place in self.places.items()}

    def read(self, names: Iterable[str]) -> dict[str, Array]:
        """Read some of the arrays; raises `ArtifactError` for a file that has become shorter."""
        try:
            with self.path.open("rb") as file:
                arrays = {}
                for name in names:
                    place = self.places[name]
                    file.seek(self.data + place.begin)
                    arrays[name] = _array(self.path, name, place, file.read(place.nbytes))
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path}: {error.strerror or error}") from error
        return arrays


def widened(bits: Bits) -> Floats:
    """The same numbers in fp32."""
    wide: Floats = (bits.astype(np.uint32) << 16).view(np.float32)
    return wide


def open_tensors(path: Path) -> TensorFile:
    """Read a file's header; raises an `ArtifactError` that names the fault."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header, length = _header(path, file.read(LENGTH.size), file.read(MAX_HEADER), size)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    metadata = header.pop(METADATA, {})
    if not _is_text(metadata):
        raise _wrong(path, f"its {METADATA} is not made of texts")
    data = LENGTH.size + length
    return TensorFile(path, metadata, _places(path, header, size - data), data)


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Read all arrays and the metadata; raises an `ArtifactError` that names the fault."""
    file = open_tensors(path)
    return file.read(file.places), dict(file.metadata)


def _array(path: Path, name: str, place: Place, data: bytes) -> Array:
    if len(data) != place.nbytes:
        raise _wrong(path, f"it ended after {len(data)} of {place.nbytes} bytes of {name!r}")
    array: Array = np.frombuffer(data, READ[place.kind]).reshape(place.shape)
    # Copied, because engines need arrays that are aligned and writable.
    return widened(array) if place.kind == BF16 else array.copy()


def _header(path: Path, start: bytes, rest: bytes, size: int) -> tuple[dict[str, Any], int]:
    if len(start) < LENGTH.size:
        raise _wrong(path, f"it has {size} bytes")
    (length,) = LENGTH.unpack(start)
    if length > MAX_HEADER or length > size - LENGTH.size:
        raise _wrong(path, f"its header has {length} bytes, and the file {size}")
    try:
        header = json.loads(rest[:length].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"its header is not valid JSON ({error})") from error
    if not isinstance(header, dict):
        raise _wrong(path, "its header is no JSON object")
    return header, length


def _places(path: Path, header: Mapping[str, Any], size: int) -> dict[str, Place]:
    """The place of each array; together they must cover all of `size` bytes exactly once."""
    places: dict[str, Place] = {}
    spans = []
    for name, entry in header.items():
        match entry:
            case {
                "dtype": str(kind),
                "shape": list(shape),
                "data_offsets": [int(begin), int(end)],
            } if kind in READ and len(entry) == 3 and all(_is_count(n) for n in shape):
                pass
            case _:
                raise _wrong(path, f"tensor {name!r} is described as {str(entry)[:100]}")
        nbytes = math.prod(shape) * np.dtype(READ[kind]).itemsize
        if not 0 <= begin <= end <= size or end - begin != nbytes:
            raise _wrong(
                path,
                f"tensor {name!r} of {nbytes} bytes is said to lie from {begin} to {end} of {size}",
            )
        places[name] = Place(kind, tuple(shape), begin, nbytes)
        spans.append((begin, end, name))
    done = 0
    for begin, end, name in sorted(spans):
        if begin != done:
            raise _wrong(path, f"tensor {name!r} begins at {begin}, and the one before ends {done}")
        done = end
    if done != size:
        raise _wrong(path, f"its tensors have {done} bytes, and its data {size}")
    return places


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def _is_text(metadata: object) -> bool:
    return isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands there twice")
    return names


def _wrong(path: Path, finding: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is no whole safetensors file: {finding}; write or copy the file again"
    )
