"""The LoRAs and textual inversions in use, and the weight patches that they make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_names import LORA_NETWORKS
from sdrt.adapters.textual_inversion import TextualInversions
from sdrt.arrays import Array
from sdrt.backends.graph import WeightPatches


@dataclass
class ActiveAdapters:
    """The adapters of an open model, from which its networks get their weight patches.

    An object of its own, so that networks need not know the model that owns them: a cycle of
    references would keep gigabytes in memory until Python's collector finds it.
    """

    loras: tuple[Adapter, ...] = ()
    inversions: TextualInversions = TextualInversions()

    def weight_patches(self, network: str) -> WeightPatches:
        """The patches of a network's weights by layer, computed when an engine opens it."""
        deltas: dict[str, list[Callable[[], Array]]] = {}
        for lora in self.loras:
            for pair in lora.pairs_of(network):
                if lora.record.weight:
                    deltas.setdefault(pair.layer.path, []).append(partial(lora.delta, pair))
        patches = {path: partial(_add, layer_deltas) for path, layer_deltas in deltas.items()}
        return {**patches, **self.inversions.weight_patches(network)}

    def count_patched(self) -> dict[str, int]:
        """How many numbers of each network's weights LoRAs change."""
        layers = {pair.layer for lora in self.loras for pair in lora.pairs}
        return {
            network: sum(prod(layer.shape) for layer in layers if layer.network == network)
            for network in LORA_NETWORKS
        }


def _add(deltas: Sequence[Callable[[], Array]], weight: Array) -> Array:
    for delta in deltas:
        weight = weight + delta()
    return weight
