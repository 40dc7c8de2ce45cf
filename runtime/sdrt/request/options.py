"""What a generation can be asked for, by name; `request.resolve` checks it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

import numpy.typing as npt
from PIL import Image

from sdrt.manifest import Spacing
from sdrt.sampling.samplers.sampler import Option
from sdrt.text.styles import Style

Picture = str | Path | Image.Image

VaeTiling = bool | Literal["auto"]


class Options(TypedDict, total=False):
    """Keyword arguments of a generation; whatever is left out comes from the model."""

    negative_prompt: str
    """What the picture should not show; has no effect without guidance, which a warning says."""
    style: str | Style | None
    """Words around both prompts: one of `sdrt styles` by its name, or a style of your own."""
    prompt_embeds: npt.ArrayLike | None
    negative_prompt_embeds: npt.ArrayLike | None
    """Embeddings in place of a prompt, as `Pipeline.encode` gives them.

    (tokens, width), (1, tokens, width), or (images, tokens, width) for one of each image.
    """
    pooled_prompt_embeds: npt.ArrayLike | None
    negative_pooled_prompt_embeds: npt.ArrayLike | None
    """With them, for SDXL: of the whole prompt, as `Pipeline.encode_text` gives them.

    (width,), (1, width), or (images, width).
    """
    width: int
    """Pixels; a multiple of the model's downscale, which is 8."""
    height: int
    image: Picture | None
    """What to start from, a path or a pillow image; its size is the run's, unless one is given.

    Models that edit pictures change this one as the prompt says.
    """
    strength: float
    """Share of the steps that change the image: 0.8 by default, and 1 where there is a mask."""
    mask: Picture | None
    """White where the image is to be made anew, black where it stays; of the image's size."""
    paste: bool
    """Whether pixels outside of the mask are the image's own, as by default; else the decoder's."""
    vae_tiling: VaeTiling
    """Whether the VAE works in tiles of 768x768 pixels, so that its memory does not grow with the
    picture; "auto", the default: only if the whole is not expected to fit."""
    decoder: Literal["full", "tiny"]
    """"tiny" decodes with the small decoder that was exported with `--tiny-vae`: roughly, fast."""
    hires: float
    """Paint the pictures over in so many times the size, for example 2.0: a second pass, from what
    the first one made, with the same prompt and seed."""
    hires_strength: float
    """Share of the second pass's steps that change the picture: 0.5 by default."""
    hires_steps: int
    """Of which the second pass makes its share; as many as the first pass has, by default."""
    latents: npt.ArrayLike | None
    """What another model's run was left at, `Run.latents`, to go on from; its size is the run's.

    (channels, h/8, w/8), (1, channels, h/8, w/8), or (images, channels, h/8, w/8).
    """
    denoising_start: float
    """With them: the share of the run that lies behind, as in diffusers; 0.8 is usual."""
    denoising_end: float
    """Leave the run at this share of it, for a refiner to go on from what `Run.latents` gives."""
    num_inference_steps: int
    guidance_scale: float
    """Strength of classifier-free guidance; up to 1 there is none and a step costs half."""
    image_guidance_scale: float
    """How near to stay to the picture, of models that edit one: from 1 on, 1.5 by default.

    At 1 a guided step costs two answers of the U-Net, above it three; without guidance it has no
    effect, which a warning says.
    """
    guidance_rescale: float
    """0 to 1: against the glaring colours of strong guidance; 0.7 is usual."""
    guidance_start: float
    guidance_end: float
    """Guide only from this share of the steps to this; the others cost half."""
    guidance_split: bool
    """Run both halves of a guided step one after the other: as long, but with less memory.

    Models with guidance inside (LCM) have no halves, and refuse this, the interval and rescaling.
    """
    sampler: str
    sampler_options: Mapping[str, Option]
    """Options of the sampler, such as {"eta": 0.5} or {"order": 3}; unknown ones are listed."""
    scheduler: str
    """How the noise levels are spaced: "default" for the model's own way, or "karras", ..."""
    spacing: Spacing
    """Which timesteps evenly spaced steps take: "leading", "trailing" or "linspace"."""
    scheduler_config: Mapping[str, object]
    """A scheduler of diffusers, by what its `scheduler_config.json` says; those above go first.

    It must not contradict the noise that the model was trained on.
    """
    seed: int | Sequence[int] | None
    """The first image's seed (image i gets seed + i), or one per image; None draws one."""
    num_images_per_prompt: int
    clip_skip: int
    """Which layer of the text encoder to take, from the end: 1 is the last, 2 the one before it.

    The numbers are those of AUTOMATIC1111 and stable-diffusion.cpp; diffusers' are less by one.
    """
    original_size: tuple[int, int]
    crops_coords_top_left: tuple[int, int]
    target_size: tuple[int, int]
    """What SDXL is told of the picture, (height, width) or (top, left), as in diffusers.

    By default its own size, and not cut.
    """
    aesthetic_score: float
    """What a refiner is told in place of the target size: 0 to 10, by default 6."""
    negative_original_size: tuple[int, int]
    negative_crops_coords_top_left: tuple[int, int]
    negative_target_size: tuple[int, int]
    negative_aesthetic_score: float
    """The same beside the negative prompt; by default what is told beside the prompt, and 2.5."""
