"""Multiply-adds are those that torch counts on the same network."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sdrt.artifact import open_artifact
from sdrt_bench.bench.macs import step_macs
from sdrt_export.presets import Preset, read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.benchmarks.bench.test_macs import params
from tests.data.make_tiny import committed_preset


def counted_by_torch(preset: Preset, rows: int, height: int, width: int) -> tuple[int, int]:
    """Of a preset's U-Net without its weights: all, and those of attention."""
    with torch.device("meta"):
        unet = RandomCheckpoint.from_preset("counted", preset).unet()
        assert preset.geometry is not None
        states = torch.empty(rows, 77, preset.geometry.unet["cross_attention_dim"])
        with FlopCounterMode(display=False) as counter:
            unet(torch.empty(rows, 4, height, width), torch.tensor(500.0), states)
    by_kind = counter.get_flop_counts()["Global"]
    attention = sum(
        flops for kind, flops in by_kind.items() if "attention" in str(kind) or "bmm" in str(kind)
    )
    return counter.get_total_flops() // 2, attention // 2


@pytest.mark.parametrize(
    ("fields", "rows", "size"),
    [
        ({}, 1, (8, 8)),
        ({"guidance": True}, 2, (8, 8)),
        ({"batch": 3, "width": 128, "height": 96}, 3, (12, 16)),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_as_many_as_torch_counts(
    tiny_exports: dict[str, Path],
    precision: str,
    fields: dict[str, object],
    rows: int,
    size: tuple[int, int],
) -> None:
    artifact = open_artifact(tiny_exports[precision])
    macs = step_macs(artifact, params(artifact, **fields))
    assert macs == counted_by_torch(committed_preset(), rows, *size)


def test_torch_counts_of_stable_diffusion_what_is_known() -> None:
    # 401.6 G with attention and 338.6 without: of the published configuration, at 512x512.
    total, attention = counted_by_torch(read_preset("sd15")[1], 1, 64, 64)
    assert total / 1e9 == pytest.approx(401.6, rel=1e-3)
    assert (total - attention) / 1e9 == pytest.approx(338.6, rel=2e-3)
