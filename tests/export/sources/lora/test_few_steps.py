"""LoRAs for few steps (LCM, SDXL-Lightning, Hyper-SD): every tensor used, diffusers' pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, LCMScheduler, StableDiffusionPipeline

import sdrt
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.artifact import open_artifact
from sdrt_bench.similarity import psnr_db
from sdrt_export.presets import read_preset
from sdrt_export.sources.checkpoint import BUILD
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.data.make_tiny import committed_checkpoint
from tests.export.families.xl_twin import (
    SIZE,
    checkpoint,
    open_pipeline,
    theirs,
    they_paint,
    we_paint,
)
from tests.export.sources.lora.writing import ALPHA, Key, Pair, Tensors, random_lora, save

ENGINES = ("onnxruntime", "openvino")
TRAINED = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"),
    "time_emb_proj",
)
"""What diffusers' training of LCM-LoRAs names, and SDXL-Lightning's LoRAs have."""


def written(lora: dict[Key, Pair]) -> Tensors:
    """As PEFT's conversion to kohya's form writes it: every dot but those of the end."""
    tensors: Tensors = {}
    for (_, path), pair in lora.items():
        for end, tensor in (("lora_down", pair.down), ("lora_up", pair.up)):
            name = f"lora_unet.{path}.{end}.weight"
            name = name.replace(".", "_", name.count(".") - 2)
            tensors[name] = tensor
            tensors[f"{name.partition('.')[0]}.alpha"] = torch.tensor(ALPHA)
    return tensors


def of_unet(made: RandomCheckpoint, size: float = 0.05) -> dict[Key, Pair]:
    lora = random_lora(made, size=size, ends=TRAINED)
    return {key: pair for key, pair in lora.items() if key[0] == "unet"}


def test_each_layer_of_the_real_geometry_has_a_place(tmp_path: Path) -> None:
    """SDXL-Lightning's LoRAs have 788."""
    made = RandomCheckpoint.from_preset(*read_preset("sdxl"))
    with torch.device("meta"):
        unet = BUILD["unet"](made.configs["unet"])
    lora = {
        ("unet", path): Pair(
            torch.zeros(1, *module.weight.shape[1:]),
            torch.zeros(len(module.weight), 1, *[1] * (module.weight.ndim - 2)),
        )
        for path, module in unet.named_modules()
        if path.endswith(TRAINED)
    }
    (adapter,) = with_loras(
        made, [LoraSpec(save(tmp_path / "a.safetensors", written(lora)))]
    ).adapters
    assert {pair.layer.path for pair in adapter.pairs} == {path for _, path in lora}
    assert len(adapter.pairs) == 788


@pytest.mark.parametrize("engine", ENGINES)
def test_four_steps_of_lcm_equal_diffusers(
    tiny_exports: dict[str, Path], tmp_path: Path, engine: str
) -> None:
    made = committed_checkpoint()
    lora = of_unet(made, size=0.07)
    assert {pair.down.shape[2:] for pair in lora.values()} == {(), (1, 1), (3, 3)}
    file = save(tmp_path / "lcm.safetensors", written(lora))
    their = StableDiffusionPipeline(
        **{"vae": made.vae(), "text_encoder": made.text_encoder(), "tokenizer": made.tokenizer()},
        unet=made.unet(),
        scheduler=LCMScheduler.from_config(made.configs["scheduler"]),
        **dict.fromkeys(("safety_checker", "feature_extractor")),
        requires_safety_checker=False,
    )
    their.set_progress_bar_config(disable=True)
    their.load_lora_weights(file.parent, weight_name=file.name)
    steps: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 1.5, **SIZE}
    expected = they_paint(their, **steps)
    pipe = sdrt.load(tiny_exports["fp32"], engine, precision="fp32")
    for loras, low, high in ((), 0.0, 35.0), ((str(file),), 50.0, np.inf):
        pipe.use_loras(*loras)
        made_by_us = pipe("a boat, at 7", seed=3, sampler="lcm", **steps)
        assert low <= psnr_db(np.asarray(made_by_us.images[0]), expected) <= high


@pytest.mark.parametrize("engine", ENGINES)
def test_four_steps_of_lightning_equal_diffusers(
    tiny_sdxl: Path, tmp_path: Path, engine: str
) -> None:
    """Euler's method on trailing steps, without guidance."""
    file = save(tmp_path / "lightning.safetensors", written(of_unet(checkpoint())))
    their = theirs()
    their.load_lora_weights(file.parent, weight_name=file.name)
    config = {**their.scheduler.config, "timestep_spacing": "trailing"}
    their.scheduler = EulerDiscreteScheduler.from_config(config)
    expected = they_paint(their, num_inference_steps=4, guidance_scale=0.0, **SIZE)
    pipe = open_pipeline(open_artifact(tiny_sdxl), engine)
    pipe.use_loras(str(file))
    options = {"num_inference_steps": 4, "guidance_scale": 1.0, **SIZE}
    found = we_paint(pipe, sampler="euler", spacing="trailing", **options)
    assert psnr_db(found, expected) >= 50
