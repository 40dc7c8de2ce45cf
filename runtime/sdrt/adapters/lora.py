"""One LoRA's file: every tensor accounted for when it is opened, read when it is needed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from sdrt.adapters.lora_names import (
    OTHER_KINDS,
    OTHER_MODELS,
    PEFT,
    Layer,
    Layers,
    Role,
    Shape,
    other_family,
    recognised,
    split,
)
from sdrt.adapters.lora_scaling import read_scaling
from sdrt.arrays import Floats
from sdrt.artifact.detect import describe
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.files.checksums import sha256
from sdrt.files.safetensors import TensorFile, open_tensors
from sdrt.manifest import Lora

SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Pair:
    """What is added to one layer: `factor * up @ down`."""

    layer: Layer
    down: str
    """Name in the file; (rank, in), or (rank, in, height, width)."""
    up: str
    """Name in the file; (out, rank), or (out, rank, 1, 1)."""
    factor: float


@dataclass(frozen=True)
class Adapter:
    """A LoRA that fits a model, and how much of it is wanted."""

    file: TensorFile
    pairs: tuple[Pair, ...]
    record: Lora

    @classmethod
    def open(cls, path: Path, weight: float, layers: Layers) -> "Adapter":
        """Find a place for each tensor; loads none but the alphas.

        Raises `UnsupportedError` for a LoRA of an architecture or a kind that sdrt does not know,
        `UsageError` for one of another model or family, `ArtifactError` for tensors that are left
        over, missing or not finite.
        """
        if path.suffix.lower() != ".safetensors" or not path.is_file():
            raise ArtifactError(
                f"{path} is {describe(path)}; expected a LoRA as a .safetensors file"
            )
        file = open_tensors(path)
        if not file.shapes:
            raise ArtifactError(f"{path} holds no tensors; expected a LoRA")
        _check_kind(path, file.shapes)
        pairs = _pairs(file, _places(file, layers), layers)
        return cls(file, pairs, Lora(file=path.name, sha256=sha256(path), weight=weight))

    def of(self, part: str) -> Iterator[Pair]:
        """What it has for one network."""
        return (pair for pair in self.pairs if pair.layer.part == part)

    def change(self, pair: Pair) -> Floats:
        """What is added to the layer's weight, in its shape and in fp32."""
        tensors = _floats(self.file, [pair.down, pair.up])
        down, up = tensors[pair.down], tensors[pair.up]
        product = up.reshape(len(up), -1) @ down.reshape(len(down), -1)
        scaled: Floats = product * np.float32(self.record.weight * pair.factor)
        return scaled.reshape(pair.layer.shape)


def _check_kind(path: Path, names: Iterable[str]) -> None:
    """Raise `UnsupportedError` for a relative of LoRA that is more than pairs of matrices."""
    if found := list(recognised(names, OTHER_KINDS)):
        raise UnsupportedError(
            f"{path} holds {' and '.join(what for what, _ in found)}, for example {found[0][1]}, "
            "which is not supported; sdrt takes plain LoRAs, a pair of matrices for each layer"
        )


def _refuse(file: TensorFile, unknown: list[str], layers: Layers) -> NoReturn:
    """Say why a LoRA has names that the model has not."""
    for what, example in recognised(unknown, OTHER_MODELS):
        raise UnsupportedError(
            f"{file.path} is a LoRA of {what} ({example}), which does not fit this model; sdrt "
            "takes those of Stable Diffusion 1, 2 and XL"
        )
    if found := other_family(file.shapes, unknown, layers):
        raise UsageError(
            f"{file.path} does not belong to this model: it is a LoRA of {found[0]} ({found[1]})"
        )
    raise ArtifactError(
        f"{file.path}: {len(unknown)} of {len(file.shapes)} tensors belong to no layer of the "
        f"model: {_listed(unknown)}; nothing is left out silently"
    )


def _places(file: TensorFile, layers: Layers) -> dict[Layer, dict[Role, str]]:
    """Names of each layer's tensors; raises `ArtifactError` unless all have one place each."""
    named, unknown = _named(file, layers)
    if unknown:
        _refuse(file, unknown, layers)
    alone = [
        name
        for given in named.values()
        for name in given.values()
        if not given.keys() >= {"down", "up"}
    ]
    if alone:
        raise ArtifactError(
            f"{file.path}: {len(alone)} tensors lack the other half of their pair: "
            f"{_listed(alone)}; the file is incomplete"
        )
    places: dict[Layer, dict[Role, str]] = {}
    for stem, given in named.items():
        layer = _chosen(file, layers[stem], given)
        if layer in places:
            raise _double(file, places[layer]["down"], given["down"])
        places[layer] = given
    return places


def _named(file: TensorFile, layers: Layers) -> tuple[dict[str, dict[Role, str]], list[str]]:
    """Tensors by what their names say of a layer, and those of no layer."""
    named: dict[str, dict[Role, str]] = {}
    unknown = []
    for name in file.shapes:
        stem, role = split(name) or (None, None)
        if stem is None or role is None or stem not in layers:
            unknown.append(name)
            continue
        given = named.setdefault(stem, {})
        if role in given:
            raise _double(file, given[role], name)
        given[role] = name
    return named, unknown


def _chosen(file: TensorFile, layers: tuple[Layer, ...], given: Mapping[Role, str]) -> Layer:
    """Of several layers of one name, in networks that it does not tell, the one that it fits."""
    down, up = file.shapes[given["down"]], file.shapes[given["up"]]
    fitting = [layer for layer in layers if _fit(layer.shape, down, up)]
    if len(fitting) > 1:
        parts = " and ".join(layer.part for layer in fitting)
        raise ArtifactError(
            f"{file.path} does not say whether {given['down']} belongs to {parts}; expected names "
            f"such as {fitting[0].part}.{fitting[0].path}.lora_A.weight"
        )
    return fitting[0] if fitting else layers[0]


def _double(file: TensorFile, one: str, other: str) -> ArtifactError:
    return ArtifactError(f"{file.path}: {one} and {other} are for the same layer")


def _pairs(
    file: TensorFile, places: Mapping[Layer, Mapping[Role, str]], layers: Layers
) -> tuple[Pair, ...]:
    scalings = read_scaling(file, any(name.startswith(PEFT) for name in file.shapes))
    alphas = _alphas(file, [given["alpha"] for given in places.values() if "alpha" in given])
    pairs, misfits = [], []
    for layer, given in places.items():
        down, up = file.shapes[given["down"]], file.shapes[given["up"]]
        if not _fit(layer.shape, down, up):
            misfits.append((given["down"], down, up, layer))
            continue
        rank = down[0]
        if "alpha" in given:
            factor = alphas[given["alpha"]] / rank
        else:
            factor = scalings[layer.part].factor(layer, rank)
        pairs.append(Pair(layer, given["down"], given["up"], factor))
    if misfits:
        name, down, up, layer = misfits[0]
        found = other_family(file.shapes, (), layers)
        raise UsageError(
            f"{file.path} does not belong to this model: {len(misfits)} of {len(places)} layers "
            f"have another shape ({name} is {_size(down)} with {_size(up)}, the layer is "
            f"{_size(layer.shape)}); "
            + (f"it is a LoRA of {found[0]}" if found else "give another")
        )
    return tuple(pairs)


def _alphas(file: TensorFile, names: list[str]) -> dict[str, float]:
    if wrong := [name for name in names if any(side != 1 for side in file.shapes[name])]:
        raise ArtifactError(f"{file.path}: {wrong[0]} is no single number")
    return {name: float(tensor) for name, tensor in _floats(file, names).items()}


def _fit(layer: Shape, down: Shape, up: Shape) -> bool:
    """A convolution's size is that of `down`; a 1x1 may be written as a matrix, or the reverse."""
    layer, down, up = _bare(layer), _bare(down), _bare(up)
    return len(up) == 2 and down[:1] == up[1:] != (0,) and (up[0], *down[1:]) == layer


def _bare(shape: Shape) -> Shape:
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _floats(file: TensorFile, names: list[str]) -> dict[str, Floats]:
    tensors = {name: array.astype(np.float32) for name, array in file.read(names).items()}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArtifactError(
                f"{file.path}: {name} has values that are not finite; take another copy"
            )
    return tensors


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
