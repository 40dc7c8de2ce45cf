"""LoRAs into a checkpoint: checked with its geometry at once, added to its weights when loaded."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sdrt.errors import UsageError
from sdrt_export.checkpoint import BUILD, Checkpoint
from sdrt_export.lora.adapter import Adapter
from sdrt_export.lora.names import PARTS, Layer, Part, layers_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A LoRA's file, and how much of it: 1 as it was trained, negative for the opposite."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Asked":
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


def with_loras(checkpoint: Checkpoint, asked: Sequence[Asked]) -> Checkpoint:
    """The checkpoint with LoRAs to merge; loads no weights. Raises as `Adapter.open`."""
    if not asked:
        return checkpoint
    layers: dict[tuple[Part, str], Layer] = {}
    for part in PARTS:
        with torch.device("meta"):
            layers |= dict(layers_of(part, BUILD[part](checkpoint.configs[part])))
    adapters = tuple(Adapter.open(one.path, one.weight, layers) for one in asked)
    records = tuple(adapter.record for adapter in adapters)
    source = checkpoint.source.model_copy(update={"loras": records})
    return replace(checkpoint, adapters=adapters, source=source)


@torch.no_grad()
def merged(checkpoint: Checkpoint, part: Part) -> Any:
    """Load a network in fp32, with W + weight * alpha / rank * up @ down for each W."""
    network: Any = getattr(checkpoint, part)()
    for adapter in checkpoint.adapters:
        count = 0
        for layer, change in adapter.changes(part):
            module = network.get_submodule(layer.path)
            # Not in place: weights may be mapped from their file.
            module.weight = torch.nn.Parameter(module.weight + change, requires_grad=False)
            count += 1
        lora = adapter.record
        logger.info("%s: %s merged into %d layers, weight %g", part, lora.file, count, lora.weight)
    return network
