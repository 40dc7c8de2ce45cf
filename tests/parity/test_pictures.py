"""The committed model makes the pictures that torch and diffusers make of its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sdrt
from sdrt.arrays import snr_db
from sdrt_bench.docs.picture_parity import SCHEDULERS, TorchNetworks, compare, make_scheduler
from sdrt_bench.similarity import psnr_db
from tests.data.make_tiny import committed_checkpoint


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (136, 64)])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_runtime_makes_the_picture_that_torch_makes(
    tiny_exports: dict[str, Path], size: tuple[int, int], backend: str
) -> None:
    """DDIM in torch, written out here, against the exported graphs in the runtime's loop."""
    from diffusers import DDIMScheduler

    checkpoint, (width, height) = committed_checkpoint(), size
    ids = checkpoint.tokenizer()(
        ["", "a boat"], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    scheduler = DDIMScheduler.from_config(checkpoint.configs["scheduler"], set_alpha_to_one=False)
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(11)
    x = torch.randn((1, 4, height // 8, width // 8), generator=generator)
    unet = checkpoint.unet()
    with torch.no_grad():
        states = checkpoint.text_encoder()(ids).last_hidden_state
        for t in scheduler.timesteps:
            negative, positive = unet(torch.cat([x, x]), t, states).sample.chunk(2)
            x = scheduler.step(negative + 5.0 * (positive - negative), t, x).prev_sample
        decoded = checkpoint.vae().decode(x / checkpoint.latent.scale).sample[0].numpy()

    pipe = sdrt.load(tiny_exports["fp32"], backend=backend, precision="fp32")
    run = pipe.start(
        *("a boat",),
        width=width,
        height=height,
        seed=11,
        sampler="ddim",
        guidance_scale=5.0,
        num_inference_steps=4,
    )
    image = np.asarray(run.result().images[0])
    expected = ((decoded / 2 + 0.5).clip(0, 1) * 255).round().transpose(1, 2, 0)
    assert np.abs(image - expected).max() <= 1


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
# Karras's levels go over the whole range of training, in diffusers' Euler over that of its steps.
@pytest.mark.parametrize("name", sorted(SCHEDULERS.keys() - {"euler karras"}))
def test_pictures_equal_those_of_diffusers(tiny_exports: dict[str, Path], name: str) -> None:
    """The whole way from a scheduler's configuration and a seed to pixels."""
    checkpoint = committed_checkpoint()
    pipes = {"onnxruntime": sdrt.load(tiny_exports["fp32"], backend="onnxruntime")}
    scheduler = make_scheduler(name, checkpoint.configs["scheduler"])
    networks = TorchNetworks.from_checkpoint(checkpoint)
    theirs, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 45
    _, (other,) = compare(networks, pipes, scheduler, "a boat", seed=4, steps=6)
    assert psnr_db(theirs, other) < 30


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_gives_the_embeddings_of_diffusers(
    tiny_exports: dict[str, Path], backend: str, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What diffusers calls N - 1 is N here, as in AUTOMATIC1111's web UI."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    # diffusers looks for the network where older versions of transformers have it.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    checkpoint = committed_checkpoint()
    theirs = StableDiffusionPipeline(
        vae=None,
        text_encoder=checkpoint.text_encoder(),
        tokenizer=checkpoint.tokenizer(),
        unet=None,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    text = "a red boat on the sea"
    expected, _ = theirs.encode_prompt(text, "cpu", 1, False, clip_skip=layer - 1 or None)
    other, _ = theirs.encode_prompt(text, "cpu", 1, False, clip_skip=2 - layer or None)
    pipe = sdrt.load(tiny_exports["fp32"], backend=backend, precision="fp32")
    ours = pipe.encode(text, clip_skip=layer)
    assert snr_db(expected.numpy(), ours) >= 80
    assert snr_db(other.numpy(), ours) < 40
