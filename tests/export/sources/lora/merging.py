"""A checkpoint's weights with LoRAs merged into them."""

from typing import Any

import torch

from sdrt.adapters.lora_loading import LoraSpec
from sdrt.adapters.lora_names import LORA_NETWORKS
from sdrt_export.export_options import ExportOptions
from sdrt_export.sources.lora import merged, with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.sources.lora.writing import (
    ALPHA,
    RANK,
    Key,
    Pair,
)

Weights = dict[Key, torch.Tensor]


WEIGHT = 0.7


IN_FILE = {
    f"{part}.{name}": value
    for part in LORA_NETWORKS
    for name, value in (("r", RANK), ("lora_alpha", ALPHA))
}


def of_part(lora: dict[Key, Pair], part: str) -> dict[Key, Pair]:
    return {key: pair for key, pair in lora.items() if key[0] == part}


def parts_of(checkpoint: RandomCheckpoint) -> list[str]:
    return [*checkpoint.text_encoders, "unet"]


def weights(checkpoint: RandomCheckpoint, *asked: LoraSpec) -> Weights:
    both = with_loras(checkpoint, asked)
    return {
        (part, name): weight
        for part in parts_of(checkpoint)
        for name, weight in merged(both, part).state_dict().items()
    }


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for key, weight in expected.items():
        assert torch.equal(found[key], weight), key


def tiny_options(**options: Any) -> ExportOptions:
    return ExportOptions(random="tiny", quiet=True, **options)
