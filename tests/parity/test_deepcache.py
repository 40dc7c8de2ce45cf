"""Runs that use deep features again equal DeepCache in torch, hooked into diffusers' U-Net."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

import sdrt
from sdrt.arrays import snr_db
from tests.data.make_tiny import committed_checkpoint

STEPS, SEED, GUIDANCE = 6, 11, 5.0


class DeepCache:
    """Replaces what enters a block of the U-Net, besides its skip connection, by what did before.

    Everything is computed nevertheless: only the numbers are DeepCache's.
    """

    def __init__(self, resnets: list[torch.nn.Module], depth: int, interval: int) -> None:
        self.interval, self.calls = interval, 0
        self._kept: torch.Tensor | None = None
        resnets[::-1][depth].register_forward_pre_hook(self._hook)

    def _hook(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        joined, *others = inputs
        channels = self.deep_channels(joined)
        if self.calls % self.interval == 0:
            self._kept = joined[:, :channels]
        self.calls += 1
        assert self._kept is not None
        return (torch.cat([self._kept, joined[:, channels:]], dim=1), *others)

    deep_channels: Callable[[torch.Tensor], int]


def paint(depth: int, interval: int) -> np.ndarray:
    """DDIM in torch, written out here, on the committed weights; the last latents."""
    checkpoint = committed_checkpoint()
    ids = checkpoint.tokenizer()(
        ["", "a boat"], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    scheduler = DDIMScheduler.from_config(checkpoint.configs["scheduler"], set_alpha_to_one=False)
    scheduler.set_timesteps(STEPS)
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(SEED))
    unet = checkpoint.unet()
    resnets = [resnet for block in unet.up_blocks for resnet in block.resnets]
    cache = DeepCache(resnets, depth, interval)
    skips = _skip_channels(unet)
    cache.deep_channels = lambda joined: joined.shape[1] - skips[depth]
    with torch.no_grad():
        states = checkpoint.text_encoder()(ids).last_hidden_state
        for t in scheduler.timesteps:
            negative, positive = unet(torch.cat([x, x]), t, states).sample.chunk(2)
            x = scheduler.step(negative + GUIDANCE * (positive - negative), t, x).prev_sample
    assert cache.calls == STEPS
    return x.numpy()


def _skip_channels(unet: Any) -> list[int]:
    """Channels of each skip connection, in the order in which the way up joins them, last first."""
    channels = [unet.conv_in.out_channels]
    for block in unet.down_blocks:
        channels += [resnet.out_channels for resnet in block.resnets]
        channels += [sampler.out_channels for sampler in block.downsamplers or []]
    return channels


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("interval", "depth"), [(2, 0), (3, 0), (2, 1), (2, 3)])
def test_latents_equal_deepcache(
    tiny_exports: dict[str, Path], backend: str, interval: int, depth: int
) -> None:
    expected = paint(depth, interval)
    pipe = sdrt.load(tiny_exports["fp32"], backend=backend, precision="fp32")
    options: dict[str, Any] = {
        "width": 64,
        "height": 64,
        "seed": SEED,
        "sampler": "ddim",
        "guidance_scale": GUIDANCE,
        "num_inference_steps": STEPS,
    }
    made = pipe.start("a boat", cache_interval=interval, cache_depth=depth, **options).latents()
    assert snr_db(expected, made) > 80
    exact = pipe.start("a boat", **options).latents()
    assert snr_db(expected, exact) < 60
