"""Files of arrays: what another reader finds in them, and what hostile ones end in."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from sdrt.errors import ArtifactError
from sdrt.files.safetensors import open_tensors, read_tensors, write_tensors

TENSORS = {
    "ids": np.arange(6).reshape(2, 3),
    "levels": np.array([0.5, 2.5]),
    "level": np.array(7.5, np.float32),
    "pixels": np.arange(5, dtype=np.uint8),
}
ENTRY = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


def same(found: dict[str, Any]) -> bool:
    return set(found) == set(TENSORS) and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array)
        for name, array in TENSORS.items()
    )


def test_the_library_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    write_tensors(tmp_path / "ours", TENSORS, {"format": "é"})
    assert same(load_file(tmp_path / "ours"))
    with safe_open(tmp_path / "ours", "numpy") as file:
        assert file.metadata() == {"format": "é"}
    save_file(TENSORS, tmp_path / "theirs")
    found, metadata = read_tensors(tmp_path / "theirs")
    assert same(found)
    assert metadata == {}


def test_halves_of_both_kinds_are_read_one_by_one(tmp_path: Path) -> None:
    numbers = torch.tensor([[0.5, -3.0, 1e-3]])
    save_torch(
        {"half": numbers.to(torch.float16), "brain": numbers.to(torch.bfloat16)}, tmp_path / "a"
    )
    file = open_tensors(tmp_path / "a")
    assert file.shapes == {"half": (1, 3), "brain": (1, 3)}
    assert file.read(["half"])["half"].tolist() == numbers.to(torch.float16).tolist()
    brain = file.read(["brain"])["brain"]
    assert brain.dtype == np.float32
    assert brain.tolist() == numbers.to(torch.bfloat16).tolist()
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="it ended after"):
        file.read(file.places)


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
