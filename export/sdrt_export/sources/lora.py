"""LoRAs merged into a checkpoint: checked against its geometry at once, added on loading."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.adapters.lora_names import LORA_NETWORKS, Shape, layers_of
from sdrt_export.sources.checkpoint import BUILD, Checkpoint

logger = logging.getLogger(__name__)


def with_loras(checkpoint: Checkpoint, specs: Sequence[LoraSpec]) -> Checkpoint:
    """The checkpoint with LoRAs to merge; loads no weights. Raises as `Adapter.open`."""
    if not specs:
        return checkpoint
    parts = [part for part in LORA_NETWORKS if part in checkpoint.configs]
    with torch.device("meta"):
        networks = {part: BUILD[part](checkpoint.configs[part]) for part in parts}
    shapes = {part: _shapes(network) for part, network in networks.items()}
    layers = layers_of(shapes, networks["unet"].config)
    adapters = tuple(Adapter.open(spec.path, spec.weight, layers) for spec in specs)
    records = tuple(adapter.record for adapter in adapters)
    source = checkpoint.source.model_copy(update={"loras": records})
    return replace(checkpoint, adapters=adapters, source=source)


@torch.no_grad()
def merged(checkpoint: Checkpoint, part: str) -> Any:
    """Load a network in fp32, with W + weight * alpha / rank * up @ down for each W."""
    network: Any = checkpoint.network(part)
    for adapter in checkpoint.adapters:
        pairs = list(adapter.pairs_of(part))
        for pair in pairs:
            module = network.get_submodule(pair.layer.path)
            delta = torch.from_numpy(adapter.delta(pair))
            # Not in place: weights may be mapped from their file.
            module.weight = torch.nn.Parameter(module.weight + delta, requires_grad=False)
        lora, count = adapter.record, len(pairs)
        logger.info("%s: %s merged into %d layers, weight %g", part, lora.file, count, lora.weight)
    return network


def _shapes(network: torch.nn.Module) -> dict[str, Shape]:
    """Shapes of the weights of linear layers and convolutions, by their module names."""
    return {
        path: tuple(module.weight.shape)
        for path, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }
