"""The LoRAs and textual inversions that a model uses just now."""

from dataclasses import dataclass

from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_loading import changed_weights, changes_of
from sdrt.adapters.lora_names import PARTS
from sdrt.adapters.textual_inversion import TextualInversions
from sdrt.backends.graph import Changes


@dataclass
class ActiveAdapters:
    """Whoever opens a network asks here what becomes of its weights.

    An object of its own, so that networks need not know the model that owns them: a circle of
    references would keep gigabytes in memory until Python looks for circles.
    """

    loras: tuple[Adapter, ...] = ()
    inversions: TextualInversions = TextualInversions()

    def changes(self, name: str) -> Changes:
        """What changes in a network's weights, by layer."""
        return {**changes_of(self.loras, name), **self.inversions.changes(name)}

    def changed_weights(self) -> dict[str, int]:
        """How many weights of each network LoRAs change."""
        return {part: changed_weights(self.loras, part) for part in PARTS}
