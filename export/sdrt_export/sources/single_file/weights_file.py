"""A file of weights: names and shapes at once, tensors on demand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sdrt.artifact.detect import describe
from sdrt.errors import ArtifactError, UsageError
from sdrt_export.sources.single_file.pickled import read_pickled

Shape = tuple[int, ...]
Reader = Callable[[Iterable[str]], dict[str, torch.Tensor]]

SHOWN = 8  # names in a message
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
_TOWER = "cond_stage_model.transformer."
_OLD_NAMES = {  # of text encoders that old versions of transformers wrote
    f"{_TOWER}{part}.": f"{_TOWER}text_model.{part}."
    for part in ("embeddings", "encoder", "final_layer_norm")
}


@dataclass(frozen=True)
class WeightsFile:
    """Weights by their names in the file, with old spellings replaced."""

    path: Path
    """The file."""
    shapes: Mapping[str, Shape]
    """Shapes of all weights."""
    _read: Reader
    """Reads some of the weights as they are stored."""

    def read(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Load some of the weights, in fp32."""
        weights = self._read(names)
        return {name: weight.to(torch.float32) for name, weight in weights.items()}


def open_weights(path: Path, allow_pickle: bool = False) -> WeightsFile:
    """Open a `.safetensors` file, or if `allow_pickle` a pickled one.

    Raises `ArtifactError` for unreadable files, `UsageError` for a pickle that is not allowed.
    """
    if path.suffix.lower() == ".safetensors":
        return _open_safetensors(path)
    if path.suffix.lower() not in PICKLED:
        raise ArtifactError(
            f"{path} is {describe(path)}; expected a checkpoint as .safetensors or .ckpt"
        )
    if not allow_pickle:
        raise UsageError(
            f"{path} is a pickle, which can run code when it is loaded; convert it to safetensors, "
            "or give --allow-pickle: it is then scanned and loaded as data only"
        )
    weights = read_pickled(path)
    stored = {_current(name): name for name in weights}
    shapes = {name: tuple(weights[old].shape) for name, old in stored.items()}
    return WeightsFile(path, shapes, lambda names: {name: weights[stored[name]] for name in names})


def refuse_weights(path: Path, problems: Mapping[str, Sequence[str]]) -> None:
    """Raise `ArtifactError` for the first problem that any weights have, with their names."""
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            listed = ", ".join(names[:SHOWN]) + more
            raise ArtifactError(f"{path}: {len(names)} weights {what}: {listed}")


def _open_safetensors(path: Path) -> WeightsFile:
    try:
        with safe_open(path, "pt") as file:
            stored = {_current(name): name for name in file.keys()}
            shapes = {name: tuple(file.get_slice(old).get_shape()) for name, old in stored.items()}
    except (SafetensorError, OSError) as error:
        raise ArtifactError(
            f"cannot read {path}: {' '.join(str(error).split())[:300]}; expected complete "
            "safetensors weights"
        ) from error

    def read(names: Iterable[str]) -> dict[str, torch.Tensor]:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(stored[name]) for name in names}

    return WeightsFile(path, shapes, read)


def _current(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name
