"""A pickle runs nothing: what is not an ordinary checkpoint is refused before it is loaded."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.errors import ArtifactError
from sdrt_export.sources.single_file.pickled import ALLOWED, STAND_INS, read_pickled


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def archive(path: Path, content: bytes, name: str = "model/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, content)
        file.writestr("model/version", "3\n")
    return path


@pytest.mark.parametrize("nested", [True, False])
def test_an_ordinary_checkpoint_is_read(tmp_path: Path, nested: bool) -> None:
    weights = OrderedDict(a=torch.arange(6).reshape(2, 3), b=torch.ones(2).half())
    weights["c"] = torch.nn.Parameter(torch.ones(3))
    content = {"state_dict": weights, "epoch": 3, "lr": [0.1, None, True]} if nested else weights
    torch.save(content, tmp_path / "model.ckpt")
    tensors = read_pickled(tmp_path / "model.ckpt")
    assert tensors.keys() == {"a", "b", "c"}
    for name, weight in weights.items():
        assert torch.equal(tensors[name], weight)


def test_a_trainers_record_is_no_obstacle(tmp_path: Path) -> None:
    """Lightning names a class of its own in each file, as a key, and keeps numpy's numbers."""
    module, _, name = STAND_INS[0].rpartition(".")
    key = type(name, (), {"__module__": module})
    path = tmp_path / "model.ckpt"
    with pytest.MonkeyPatch.context() as patch:
        names = module.split(".")
        for i in range(len(names)):
            part = type(os)(".".join(names[: i + 1]))
            patch.setitem(__import__("sys").modules, part.__name__, part)
        setattr(part, name, key)
        record = {"best": np.float64(0.5), "step": np.array([3])[0], "path": b"x"}
        torch.save({"callbacks": {key: record}, "state_dict": {"a": torch.ones(2)}}, path)
    assert torch.equal(read_pickled(path)["a"], torch.ones(2))


@pytest.mark.parametrize("how", ["reduce", "build", "nested"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, how: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    evil: Any = Calls(os.system, f"touch {canary}")
    if how == "build":
        evil = Calls(eval, f"open({str(canary)!r}, 'w')")
    if how == "nested":
        evil = {"state_dict": {"a": torch.ones(2), "b": [evil]}}
        path = tmp_path / "model.ckpt"
        torch.save(evil, path, pickle_protocol=protocol)
    else:
        path = archive(tmp_path / "model.ckpt", pickle.dumps(evil, protocol=protocol))
    message = "calls (posix.system|__builtin__.eval) when" if protocol == 2 else "STACK_GLOBAL"
    with pytest.raises(ArtifactError, match=f"{message}.*so it was not loaded"):
        read_pickled(path)
    assert not canary.exists()


def test_the_second_lock_holds_without_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    monkeypatch.setattr("sdrt_export.sources.single_file.pickled.scan", lambda path: None)
    torch.save({"a": Calls(os.system, f"touch {canary}")}, tmp_path / "model.ckpt")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_pickled(tmp_path / "model.ckpt")
    assert not canary.exists()


def test_nothing_that_is_allowed_can_run_a_program() -> None:
    modules = {name.rpartition(".")[0] for name in ALLOWED}
    assert modules == {
        "_codecs",
        "collections",
        "numpy",
        "numpy.core.multiarray",
        "numpy._core.multiarray",
        "torch",
        "torch._utils",
        "pytorch_lightning.callbacks.model_checkpoint",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "is no zip file as torch writes"),
        (lambda path: path.write_bytes(b""), "is no zip file"),
        (lambda path: archive(path, pickle.dumps({}), "model/other.pkl"), "holds 1 pickles"),
        (lambda path: archive(path, b"\x80\x02}q\x00"), "cannot read"),
        (lambda path: archive(path, b"cos\nsystem"), "cannot read"),
        (lambda path: torch.save([torch.ones(2)], path), "holds no weights by name"),
        (lambda path: torch.save({"state_dict": 3}, path), "holds no weights by name"),
    ],
)
def test_damaged_and_foreign_files_are_named(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "model.ckpt"
    make(path)
    with pytest.raises(ArtifactError, match=message):
        read_pickled(path)


def test_two_pickles_under_one_name_are_refused(tmp_path: Path) -> None:
    """Readers of zip files disagree on which of them counts."""
    path = archive(tmp_path / "model.ckpt", pickle.dumps({}, protocol=2))
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("model/data.pkl", pickle.dumps(Calls(os.system, "true"), protocol=2))
    with pytest.raises(ArtifactError, match="holds 2 pickles"):
        read_pickled(path)
