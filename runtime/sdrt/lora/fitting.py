"""LoRAs onto a model folder: which layers they change, and by what, when an engine opens it."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

from sdrt.artifact import Artifact
from sdrt.backends import Array, Backend, Changes
from sdrt.backends.changes import TOKENS
from sdrt.errors import UnsupportedError
from sdrt.foreign import read_json
from sdrt.lora.adapter import Adapter
from sdrt.lora.asked import Asked
from sdrt.lora.names import PARTS, Layer, Part, layers_of

FAMILIES = ("sd1", "sd2")
FLOATS = ("fp32", "bf16")


def open_loras(artifact: Artifact, backend: Backend, asked: Sequence[Asked]) -> tuple[Adapter, ...]:
    """Check LoRAs with the layers of a model; loads no weights.

    Raises `UnsupportedError` for a model in int8 or of another family, `ArtifactError` for graphs
    that do not name their layers, and as `Adapter.open`.
    """
    if not asked:
        return ()
    check_family(artifact, "LoRAs")
    layers: dict[tuple[Part, str], Layer] = {}
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
        config = read_json(artifact.root / part / "config.json") if part == "unet" else None
        shapes = {name: one for name, one in backend.layers(network).items() if name != TOKENS}
        layers |= dict(layers_of(part, shapes, config))
    return tuple(Adapter.open(one.path, one.weight, layers) for one in asked)


def check_family(artifact: Artifact, what: str) -> None:
    """Raise `UnsupportedError` for models that LoRAs and words of one's own are not read for."""
    if artifact.is_foreign:
        raise UnsupportedError(
            f"{artifact.root} was exported by another tool, whose graphs do not name their layers "
            f"as {what} do; export the model with: sdrt export"
        )
    if artifact.manifest.family not in FAMILIES:
        raise UnsupportedError(
            f"{artifact.root} is of the family {artifact.manifest.family}; {what} are for models "
            "of Stable Diffusion 1 and 2"
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
