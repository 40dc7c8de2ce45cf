"""Measures any pipeline with the interface of diffusers: its own and optimum's two."""

from typing import Any

import numpy as np
import torch
from harness import Clock, Outcome, RoundSpec
from pictures import Array, keep

SAMPLERS = {"ddim": "DDIMScheduler", "euler": "EulerDiscreteScheduler"}


def prepare(pipe: Any, spec: RoundSpec) -> None:
    """Give the pipeline the requested sampler with the model's noise schedule."""
    import diffusers

    sampler = spec.params["sampler"]
    if sampler not in SAMPLERS:
        raise ValueError(f"the peers are compared with {' or '.join(SAMPLERS)}, not {sampler}")
    scheduler = getattr(diffusers, SAMPLERS[sampler])
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)


def paint(pipe: Any, spec: RoundSpec, clock: Clock) -> Outcome:
    """Make the image and time each network; gives the round's figures and files."""
    latents: list[Array] = []
    _time_networks(pipe, clock)

    def step_end(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        batch = tensors["latents"]
        is_last = clock.end_step(lambda: latents.append(batch[0].float().numpy().copy()))
        if is_last and index + 1 < spec.params["steps"]:
            pipe._interrupt = True  # diffusers' guide stops a run so: it still decodes
        return {}

    params = spec.params
    clock.start_picture()
    images = pipe(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=spec.guidance_scale,
        num_images_per_prompt=params["batch"],
        generator=torch.Generator().manual_seed(params["seed"]),
        callback_on_step_end=step_end,
    ).images
    figures = clock.round(params["steps"])
    return {"round": figures} | keep(spec, latents, np.asarray(images[0]))


def _time_networks(pipe: Any, clock: Clock) -> None:
    pipe.encode_prompt = clock.timed("text_encoder", pipe.encode_prompt)
    pipe.unet.forward = clock.timed("unet", pipe.unet.forward)
    pipe.vae.decode = clock.timed("vae_decoder", pipe.vae.decode)
