"""Files of arrays are those that the library safetensors reads and writes."""

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


def same(tensors: dict[str, Any]) -> bool:
    return set(tensors) == set(TENSORS) and all(
        tensors[name].dtype == array.dtype and np.array_equal(tensors[name], array)
        for name, array in TENSORS.items()
    )


def test_the_library_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    write_tensors(tmp_path / "ours", TENSORS, {"format": "é"})
    assert same(load_file(tmp_path / "ours"))
    with safe_open(tmp_path / "ours", "numpy") as file:
        assert file.metadata() == {"format": "é"}
    save_file(TENSORS, tmp_path / "theirs")
    tensors, metadata = read_tensors(tmp_path / "theirs")
    assert same(tensors)
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
