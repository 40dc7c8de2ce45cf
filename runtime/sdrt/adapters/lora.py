"""A LoRA's file: low-rank changes of weights (Hu et al. 2021, arXiv 2106.09685).

Every tensor of the file is assigned to a layer when the file is opened, and read when it is needed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from sdrt.adapters.lora_names import (
    OTHER_KINDS,
    OTHER_MODELS,
    PEFT,
    Shape,
    TargetLayer,
    TargetLayers,
    TensorRole,
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
    """The two matrices of a layer, to whose weight `factor * up @ down` is added."""

    layer: TargetLayer
    down: str
    """Name of a tensor in the file: (rank, in), or (rank, in, height, width)."""
    up: str
    """Name of a tensor in the file: (out, rank), or (out, rank, 1, 1)."""
    factor: float


@dataclass(frozen=True)
class Adapter:
    """A LoRA that fits a model, with the weight that it is applied with."""

    file: TensorFile
    pairs: tuple[Pair, ...]
    record: Lora
    """Its entry in manifests and in the parameters of pictures."""

    @classmethod
    def open(cls, path: Path, weight: float, layers: TargetLayers) -> "Adapter":
        """Assign each tensor to a layer; loads none but the alphas.

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

    def pairs_of(self, network: str) -> Iterator[Pair]:
        """The pairs for the layers of a network."""
        return (pair for pair in self.pairs if pair.layer.network == network)

    def delta(self, pair: Pair) -> Floats:
        """The difference to add to the layer's weight, in its shape and in fp32."""
        tensors = _floats(self.file, [pair.down, pair.up])
        down, up = tensors[pair.down], tensors[pair.up]
        product = up.reshape(len(up), -1) @ down.reshape(len(down), -1)
        scaled: Floats = product * np.float32(self.record.weight * pair.factor)
        return scaled.reshape(pair.layer.shape)


def _check_kind(path: Path, names: Iterable[str]) -> None:
    """Raise `UnsupportedError` for a relative of LoRA that is more than pairs of matrices."""
    if kinds := list(recognised(names, OTHER_KINDS)):
        raise UnsupportedError(
            f"{path} holds {' and '.join(kind for kind, _ in kinds)}, for example {kinds[0][1]}, "
            "which is not supported; sdrt takes plain LoRAs, a pair of matrices for each layer"
        )


def _refuse(file: TensorFile, unknown: list[str], layers: TargetLayers) -> NoReturn:
    """Raise the error that explains names of no layer of the model."""
    for model, example in recognised(unknown, OTHER_MODELS):
        raise UnsupportedError(
            f"{file.path} is a LoRA of {model} ({example}), which does not fit this model; sdrt "
            "takes those of Stable Diffusion 1, 2 and XL"
        )
    if family := other_family(file.shapes, unknown, layers):
        raise UsageError(
            f"{file.path} does not belong to this model: it is a LoRA of {family[0]} ({family[1]})"
        )
    raise ArtifactError(
        f"{file.path}: {len(unknown)} of {len(file.shapes)} tensors belong to no layer of the "
        f"model: {_listed(unknown)}; nothing is left out silently"
    )


def _places(file: TensorFile, layers: TargetLayers) -> dict[TargetLayer, dict[TensorRole, str]]:
    """Names of each layer's tensors, by role; raises `ArtifactError` unless each has one place."""
    by_stem, unknown = _by_stem(file, layers)
    if unknown:
        _refuse(file, unknown, layers)
    unpaired = [
        name
        for tensors in by_stem.values()
        for name in tensors.values()
        if not tensors.keys() >= {"down", "up"}
    ]
    if unpaired:
        raise ArtifactError(
            f"{file.path}: {len(unpaired)} tensors lack the other half of their pair: "
            f"{_listed(unpaired)}; the file is incomplete"
        )
    places: dict[TargetLayer, dict[TensorRole, str]] = {}
    for stem, tensors in by_stem.items():
        layer = _fitting_layer(file, layers[stem], tensors)
        if layer in places:
            raise _duplicate(file, places[layer]["down"], tensors["down"])
        places[layer] = tensors
    return places


def _by_stem(
    file: TensorFile, layers: TargetLayers
) -> tuple[dict[str, dict[TensorRole, str]], list[str]]:
    """Names of tensors by the layer's name in them, and by role; and names of no layer."""
    by_stem: dict[str, dict[TensorRole, str]] = {}
    unknown = []
    for name in file.shapes:
        stem, role = split(name) or (None, None)
        if stem is None or role is None or stem not in layers:
            unknown.append(name)
            continue
        tensors = by_stem.setdefault(stem, {})
        if role in tensors:
            raise _duplicate(file, tensors[role], name)
        tensors[role] = name
    return by_stem, unknown


def _fitting_layer(
    file: TensorFile, layers: tuple[TargetLayer, ...], tensors: Mapping[TensorRole, str]
) -> TargetLayer:
    """The layer that tensors fit, of those in several networks that their name may stand for."""
    down, up = file.shapes[tensors["down"]], file.shapes[tensors["up"]]
    fitting = [layer for layer in layers if _fit(layer.shape, down, up)]
    if len(fitting) > 1:
        networks = " and ".join(layer.network for layer in fitting)
        raise ArtifactError(
            f"{file.path} does not say whether {tensors['down']} belongs to {networks}; expected "
            f"names such as {fitting[0].network}.{fitting[0].path}.lora_A.weight"
        )
    return fitting[0] if fitting else layers[0]


def _duplicate(file: TensorFile, name: str, other: str) -> ArtifactError:
    return ArtifactError(f"{file.path}: {name} and {other} are for the same layer")


def _pairs(
    file: TensorFile, places: Mapping[TargetLayer, Mapping[TensorRole, str]], layers: TargetLayers
) -> tuple[Pair, ...]:
    scalings = read_scaling(file, any(name.startswith(PEFT) for name in file.shapes))
    alphas = _alphas(file, [names["alpha"] for names in places.values() if "alpha" in names])
    pairs, misfits = [], []
    for layer, names in places.items():
        down, up = file.shapes[names["down"]], file.shapes[names["up"]]
        if not _fit(layer.shape, down, up):
            misfits.append((names["down"], down, up, layer))
            continue
        rank = down[0]
        if "alpha" in names:
            factor = alphas[names["alpha"]] / rank
        else:
            factor = scalings[layer.network].factor(layer, rank)
        pairs.append(Pair(layer, names["down"], names["up"], factor))
    if misfits:
        name, down, up, layer = misfits[0]
        family = other_family(file.shapes, (), layers)
        raise UsageError(
            f"{file.path} does not belong to this model: {len(misfits)} of {len(places)} layers "
            f"have another shape ({name} is {_size(down)} with {_size(up)}, the layer is "
            f"{_size(layer.shape)}); "
            + (f"it is a LoRA of {family[0]}" if family else "give another")
        )
    return tuple(pairs)


def _alphas(file: TensorFile, names: list[str]) -> dict[str, float]:
    if wrong := [name for name in names if any(side != 1 for side in file.shapes[name])]:
        raise ArtifactError(f"{file.path}: {wrong[0]} is no single number")
    return {name: float(tensor) for name, tensor in _floats(file, names).items()}


def _fit(layer: Shape, down: Shape, up: Shape) -> bool:
    """Whether a pair fits a layer; 1x1 convolutions may be stored as matrices, or the reverse.

    The kernel's size of any other convolution is that of `down`.
    """
    layer, down, up = _squeezed(layer), _squeezed(down), _squeezed(up)
    return len(up) == 2 and down[:1] == up[1:] != (0,) and (up[0], *down[1:]) == layer


def _squeezed(shape: Shape) -> Shape:
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
