"""Runs with ControlNets end at the latents of diffusers' pipelines with the same weights."""

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, MultiControlNetModel
from PIL import Image

import sdrt
from sdrt.arrays import Latents, snr_db
from sdrt.pipeline import Pipeline
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.data.make_tiny import committed_checkpoint
from tests.export.controlnets import (
    drawing,
    tiny_controlnet_checkpoint,
    xl_controlnet_checkpoint,
)
from tests.export.families import xl_twin

PROMPT, SEED, STEPS = "a boat", 3, 5
MASK_DB = 45.0  # without any ControlNet too: between steps both sides blend alike, but not equally
EXACT_DB, BF16_DB, OTHER_DB = 50.0, 38.0, 30.0
ENGINES = ("onnxruntime", "openvino")
START, MASK = drawing(turned=True), Image.new("L", (64, 64))
MASK.paste("white", (16, 24, 64, 64))

# The pipeline of diffusers, and its options.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("ControlNet", {}),
    "guess": ("ControlNet", {"guess_mode": True}),
    "image": ("ControlNetImg2Img", {"image": START, "strength": 0.65}),
    "mask": ("ControlNetInpaint", {"image": START, "mask_image": MASK, "strength": 1.0}),
}


def scheduler(checkpoint: RandomCheckpoint) -> Any:
    return DDIMScheduler.from_config(checkpoint.configs["scheduler"])


@cache
def their_pipeline(kind: str, is_multiple: bool) -> Any:
    """A pipeline of diffusers with the weights of `tests/data/tiny` and its ControlNet."""
    made, net = committed_checkpoint(), tiny_controlnet_checkpoint().network()
    pipe = getattr(diffusers, f"StableDiffusion{kind}Pipeline")(
        vae=made.vae(),
        text_encoder=None,
        tokenizer=None,
        unet=made.unet(),
        controlnet=MultiControlNetModel([net, net]) if is_multiple else net,
        scheduler=scheduler(made),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@cache
def states() -> tuple[torch.Tensor, torch.Tensor]:
    made = committed_checkpoint()
    ids = made.tokenizer()(
        [PROMPT, ""], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        positive, negative = made.text_encoder()(ids).last_hidden_state[:, None]
    return positive, negative


def their_latents(kind: str, hints: list[Image.Image], **options: Any) -> Latents:
    positive, negative = states()
    image = options.pop("image", None)
    hint = hints if len(hints) > 1 else hints[0]
    images = {"image": hint} if image is None else {"image": image, "control_image": hint}
    made = their_pipeline(kind, len(hints) > 1)(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
        **images,
        **options,
    )
    return np.asarray(made.images)


def our_latents(pipe: Pipeline, controls: list[sdrt.Control], **options: Any) -> Latents:
    return pipe.start(
        PROMPT,
        seed=SEED,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        scheduler_config=dict(scheduler(committed_checkpoint()).config)
        | {"_class_name": "DDIMScheduler"},
        controls=controls,
        **options,
    ).latents()


def ours_of(theirs: dict[str, Any]) -> dict[str, Any]:
    """diffusers' options by our names."""
    names = {"mask_image": "mask"}
    return {names.get(name, name): value for name, value in theirs.items()}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_a_control_guides_as_in_diffusers(
    tiny_exports: dict[str, Path], tiny_controlnets: dict[str, Path], case: str, engine: str
) -> None:
    """With a weight, and for a part of the steps."""
    kind, options = CASES[case]
    guided = {
        "controlnet_conditioning_scale": 2.5,
        "control_guidance_start": 0.1,
        "control_guidance_end": 0.8,
    }
    expected = their_latents(kind, [drawing()], **guided, **options)
    pipe = sdrt.load(tiny_exports["fp32"], backend=engine, precision="fp32")
    control = sdrt.Control(tiny_controlnets["fp32"], drawing(), 2.5, 0.1, 0.8)
    floor = MASK_DB if case == "mask" else EXACT_DB
    assert snr_db(expected, our_latents(pipe, [control], **ours_of(options))) >= floor
    other = sdrt.Control(tiny_controlnets["fp32"], drawing(), 2.5, 0.1, 0.3)
    assert snr_db(expected, our_latents(pipe, [other], **ours_of(options))) < OTHER_DB


@pytest.mark.parametrize("is_guessing", [False, True])
def test_several_controls_add_up_as_in_diffusers(
    tiny_exports: dict[str, Path], tiny_controlnets: dict[str, Path], is_guessing: bool
) -> None:
    hints = [drawing(), drawing(turned=True)]
    expected = their_latents(
        "ControlNet",
        hints,
        guess_mode=is_guessing,
        controlnet_conditioning_scale=[2.5, 6.0],
        control_guidance_start=[0.0, 0.3],
        control_guidance_end=[0.6, 1.0],
    )
    pipe = sdrt.load(tiny_exports["fp32"], backend="onnxruntime")
    first, second = (
        sdrt.Control(tiny_controlnets["fp32"], hints[0], 2.5, 0.0, 0.6),
        sdrt.Control(tiny_controlnets["fp32"], hints[1], 6.0, 0.3, 1.0),
    )
    options = {"guess_mode": True} if is_guessing else {}
    assert snr_db(expected, our_latents(pipe, [first, second], **options)) >= EXACT_DB
    assert snr_db(expected, our_latents(pipe, [second, first], **options)) >= EXACT_DB
    assert snr_db(expected, our_latents(pipe, [first], **options)) < OTHER_DB


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_in_bf16_stay_near(
    tiny_exports: dict[str, Path], tiny_controlnets: dict[str, Path], engine: str
) -> None:
    expected = their_latents("ControlNet", [drawing()])
    pipe = sdrt.load(tiny_exports["bf16"], backend=engine)
    control = sdrt.Control(tiny_controlnets["bf16"], drawing())
    assert snr_db(expected, our_latents(pipe, [control])) >= BF16_DB


@pytest.mark.parametrize("engine", ENGINES)
def test_sdxl_is_guided_as_in_diffusers(tiny_sdxl: Path, xl_controlnet: Path, engine: str) -> None:
    net = xl_controlnet_checkpoint().network()
    base = xl_twin.theirs()
    pipe = diffusers.StableDiffusionXLControlNetPipeline(
        **{name: part for name, part in base.components.items() if part is not None},
        controlnet=net,
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    size, hint = xl_twin.SIZE, drawing((64, 80))
    expected = pipe(
        xl_twin.PROMPT,
        image=hint,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        controlnet_conditioning_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
        **size,
    ).images.numpy()
    ours = sdrt.load(tiny_sdxl, backend=engine, precision="fp32")

    def latents(weight: float) -> Latents:
        return ours.start(
            xl_twin.PROMPT,
            seed=SEED,
            num_inference_steps=STEPS,
            guidance_scale=5.0,
            scheduler_config=xl_twin.checkpoint().configs["scheduler"],
            controls=[sdrt.Control(xl_controlnet, hint, weight)],
            **size,
        ).latents()

    assert snr_db(expected, latents(2.0)) >= EXACT_DB
    assert snr_db(expected, latents(0.5)) < OTHER_DB
