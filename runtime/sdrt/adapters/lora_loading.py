"""Opens LoRAs for a model: their options, and the check against its layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_names import LORA_NETWORKS, LoraNetwork, Shape, layers_of
from sdrt.artifact.artifact import Artifact
from sdrt.backends.backend import Backend
from sdrt.backends.weight_patches import is_token_table
from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.text_file import read_json

FLOATS = ("fp32", "bf16")


@dataclass(frozen=True)
class LoraSpec:
    """A LoRA's file and its weight: 1 as it was trained, negative for the opposite effect."""

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
    artifact: Artifact, backend: Backend, specs: Sequence[LoraSpec]
) -> tuple[Adapter, ...]:
    """Check LoRAs against the layers of a model; loads no weights.

    Raises `UnsupportedError` for a model in int8, `ArtifactError` for graphs that do not name their
    layers, and whatever `Adapter.open` raises.
    """
    if not specs:
        return ()
    check_exporter(artifact, "LoRAs")
    shapes: dict[LoraNetwork, dict[str, Shape]] = {}
    for name in LORA_NETWORKS:
        if name not in artifact.manifest.graphs:
            continue
        network = artifact.network(name, backend.formats)
        if network.stored not in FLOATS:
            raise UnsupportedError(
                f"{artifact.root} stores {name} in {network.stored}, whose scales fit the weights "
                "as they are; merge the LoRA when the model is exported (sdrt export ... "
                "--precision int8 --lora FILE:WEIGHT), or use a model in fp32 or bf16"
            )
        layers = backend.layers(network)
        shapes[name] = {path: shape for path, shape in layers.items() if not is_token_table(path)}
    targets = layers_of(shapes, read_json(artifact.root / "unet" / "config.json"))
    return tuple(Adapter.open(spec.path, spec.weight, targets) for spec in specs)


def check_exporter(artifact: Artifact, adapters: str) -> None:
    """Raise `UnsupportedError` for models that another tool exported."""
    if artifact.is_foreign:
        raise UnsupportedError(
            f"{artifact.root} was exported by another tool, whose graphs do not name their layers "
            f"as {adapters} do; export the model with: sdrt export"
        )
