"""LoRAs onto a model folder: which layers they change, and by what, when an engine opens it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_names import PARTS, Part, Shape, layers_of
from sdrt.arrays import Array
from sdrt.artifact.artifact import Artifact
from sdrt.backends.backend import Backend
from sdrt.backends.graph import Changes
from sdrt.backends.weight_patches import is_table
from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.json_file import read_json

FLOATS = ("fp32", "bf16")


@dataclass(frozen=True)
class LoraSpec:
    """A LoRA's file, and how much of it: 1 as it was trained, negative for the opposite."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "LoraSpec":
        """Read `FILE[:WEIGHT]`; raises `UsageError` for a weight that is no finite number."""
        path, colon, number = text.rpartition(":")
        if not colon or Path(text).is_file():
            return cls(Path(text))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UsageError(
                f"--lora {text}: the weight is {number!r}; expected a finite number after the "
                "colon, such as 0.8"
            )
        return cls(Path(path), weight)


def open_loras(
    artifact: Artifact, backend: Backend, asked: Sequence[LoraSpec]
) -> tuple[Adapter, ...]:
    """Check LoRAs with the layers of a model; loads no weights.

    Raises `UnsupportedError` for a model in int8, `ArtifactError` for graphs that do not name their
    layers, and as `Adapter.open`.
    """
    if not asked:
        return ()
    check_exporter(artifact, "LoRAs")
    shapes: dict[Part, dict[str, Shape]] = {}
    for part in PARTS:
        if part not in artifact.manifest.graphs:
            continue
        network = artifact.network(part, backend.formats)
        if network.stored not in FLOATS:
            raise UnsupportedError(
                f"{artifact.root} stores {part} in {network.stored}, whose scales fit the weights "
                "as they are; merge the LoRA when the model is exported (sdrt export ... "
                "--precision int8 --lora FILE:WEIGHT), or use a model in fp32 or bf16"
            )
        found = backend.layers(network)
        shapes[part] = {name: shape for name, shape in found.items() if not is_table(name)}
    layers = layers_of(shapes, read_json(artifact.root / "unet" / "config.json"))
    return tuple(Adapter.open(one.path, one.weight, layers) for one in asked)


def check_exporter(artifact: Artifact, what: str) -> None:
    """Raise `UnsupportedError` for models that another tool exported."""
    if artifact.is_foreign:
        raise UnsupportedError(
            f"{artifact.root} was exported by another tool, whose graphs do not name their layers "
            f"as {what} do; export the model with: sdrt export"
        )


def changes_of(adapters: Sequence[Adapter], part: str) -> Changes:
    """How LoRAs change the weights of a network, by layer; computed when it is asked for."""
    found: dict[str, list[Callable[[], Array]]] = {}
    for adapter in adapters:
        for pair in adapter.pairs:
            if pair.layer.part == part and adapter.record.weight:
                found.setdefault(pair.layer.path, []).append(partial(adapter.change, pair))
    return {path: partial(_added, changes) for path, changes in found.items()}


def changed_weights(adapters: Sequence[Adapter], part: str) -> int:
    """How many numbers of a network LoRAs change."""
    layers = {pair.layer for adapter in adapters for pair in adapter.pairs}
    return sum(prod(layer.shape) for layer in layers if layer.part == part)


def _added(changes: Sequence[Callable[[], Array]], weight: Array) -> Array:
    for change in changes:
        weight = weight + change()
    return weight
