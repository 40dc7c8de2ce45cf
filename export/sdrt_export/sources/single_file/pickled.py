"""Pickled checkpoints: scanned before anything is unpickled, then loaded as data only.

Two locks, one behind the other: a pickle that names anything but the few functions of an ordinary
checkpoint is refused unread, and torch's own unpickler (`weights_only`) knows no others either.
"""

import pickle
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sdrt.errors import ArtifactError

MAX_PICKLE_BYTES = 100_000_000  # of names and shapes; the weights are files of their own

STAND_INS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)
"""Classes in trainers' records of their progress. None of them is needed, or called."""

STORAGES = (
    *("Float", "Double", "Half", "BFloat16", "Long", "Int"),
    *("Short", "Char", "Byte", "Bool"),
)
ALLOWED = {
    "_codecs.encode",  # of bytes, in numpy's scalars
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(f"torch.{kind}Storage" for kind in STORAGES),
    *STAND_INS,
}
# Everything that plain values, tensors and the names above are made of; none of it calls anything
# but what GLOBAL names.
OPCODES = set(
    "PROTO STOP FRAME MARK POP POP_MARK GLOBAL REDUCE BUILD BINPERSID "
    "BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE DUP "
    "NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINSTRING SHORT_BINSTRING "
    "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_SET ADDITEMS".split()
)


class StandIn:
    """Takes the place of a class in a trainer's records: accepts everything, does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def read_pickled(path: Path) -> Mapping[str, torch.Tensor]:
    """The weights in a `.ckpt` file, mapped and not read; raises `ArtifactError`."""
    stand_ins: list[Any] = [(StandIn, name) for name in STAND_INS]
    try:
        scan(path)
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except _BROKEN as error:
        text = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"cannot read {path}: {text}; expected a checkpoint as torch writes it"
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise ArtifactError(f"{path} holds no weights by name; expected a whole checkpoint")
    return {
        str(name): weight for name, weight in weights.items() if isinstance(weight, torch.Tensor)
    }


def scan(path: Path) -> None:
    """Raise `ArtifactError` if the file's pickle names or does anything out of the ordinary."""
    for opcode, argument, _ in pickletools.genops(_pickle_of(path)):
        if opcode.name not in OPCODES:
            raise ArtifactError(f"{path} has the pickle opcode {opcode.name}; {_REFUSED}")
        if opcode.name == "GLOBAL" and (name := str(argument).replace(" ", ".")) not in ALLOWED:
            raise ArtifactError(f"{path} calls {name} when it is loaded; {_REFUSED}")


_BROKEN = (OSError, ValueError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError)
_REFUSED = "a checkpoint needs nothing of the kind, so it was not loaded"


def _pickle_of(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        raise ArtifactError(
            f"{path} is no zip file as torch writes since version 1.6; expected one, or safetensors"
        )
    with zipfile.ZipFile(path) as file:
        names = [info for info in file.infolist() if info.filename.endswith(".pkl")]
        if len(names) != 1 or not names[0].filename.endswith("/data.pkl"):
            raise ArtifactError(f"{path} holds {len(names)} pickles; expected one, data.pkl")
        if names[0].file_size > MAX_PICKLE_BYTES:
            raise ArtifactError(
                f"{path} has a pickle of {names[0].file_size / 1e6:.0f} MB besides its weights; "
                f"expected at most {MAX_PICKLE_BYTES / 1e6:.0f} MB"
            )
        return file.read(names[0])
