"""Files of arrays that lie about what they hold end in a typed error."""

import json
import struct
from pathlib import Path

import pytest

from sdrt.errors import ArtifactError
from sdrt.files.safetensors import read_tensors

ENTRY = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


def header(content: object, data: bytes = b"1234", length: int | None = None) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        header({"a": ENTRY}, length=2**63),
        header({"a": ENTRY}, length=2**64 - 1),
        header({"a": ENTRY}, length=1000),
        header({"a": ENTRY}, length=3),
        header(b"\xff\xfe"),
        header(b"[" * 100_000),
        header([ENTRY]),
        header(b'{"a": 1, "a": 2}'),
        header({"a": 5}),
        header({"a": {**ENTRY, "dtype": "BF16"}}),
        header({"a": {**ENTRY, "more": 1}}),
        header({"a": {**ENTRY, "shape": [-4]}}),
        header({"a": {**ENTRY, "shape": [True, 4]}}),
        header({"a": {**ENTRY, "shape": [2**31, 2**31, 2**31]}}),
        header({"a": {**ENTRY, "shape": [3]}}),
        header({"a": {**ENTRY, "data_offsets": [-4, 0]}}),
        header({"a": {**ENTRY, "data_offsets": [4, 0]}}),
        header({"a": {**ENTRY, "data_offsets": [1, 5]}}),
        header({"a": {**ENTRY, "data_offsets": [0, 2**64]}}),
        header({"a": {**ENTRY, "data_offsets": [0.0, 4.0]}}),
        header({"a": ENTRY}, b"123"),
        header({"a": ENTRY}, b"12345"),
        header({"a": ENTRY, "b": ENTRY}),
        header({"a": ENTRY, "b": {**ENTRY, "data_offsets": [5, 9]}}, b"123456789"),
        header({"a": ENTRY, "__metadata__": {"cases": 1}}),
        header({"a": ENTRY, "__metadata__": "text"}),
    ],
)
def test_a_file_that_lies_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is no whole safetensors file"):
        read_tensors(path)


def test_a_file_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ArtifactError, match="cannot read"):
            read_tensors(path)
