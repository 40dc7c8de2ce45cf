"""The options of a generation, by name; `request.resolve` checks and completes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy.typing as npt
from PIL import Image

from sdrt.manifest import Spacing
from sdrt.sampling.samplers.sampler import Option
from sdrt.text.styles import Style

Picture = str | Path | Image.Image
DepthSource = Picture | npt.ArrayLike

VaeTiling = bool | Literal["auto"]
Speed = Literal["exact", "balanced", "fast"]


@dataclass(frozen=True)
class Control:
    """A ControlNet and the picture that it is to follow."""

    controlnet: str | Path
    """The folder of the ControlNet, from `sdrt export`."""
    image: Picture
    """The hint, or the photograph that `preprocessor` makes it of: a path or a Pillow image.

    It is scaled to cover the size of the run, and cropped equally on both sides.
    """
    weight: float = 1.0
    """How strongly the run follows the hint: the factor of the ControlNet's results, 0 to 10."""
    start: float = 0.0
    """The share of the steps after which it guides."""
    end: float = 1.0
    """The share of the steps after which it no longer does."""
    preprocessor: str | None = None
    """What makes the hint of the picture: "canny", "scribble" or "tile"; None if it is the hint."""


class Options(TypedDict, total=False):
    """Keyword arguments of a generation; every option that is left out comes from the model."""

    negative_prompt: str
    """What the picture should not show; without guidance it has no effect, which a warning says."""
    style: str | Style | None
    """A text around both prompts: the name of one of `sdrt styles`, or a style of your own."""
    prompt_embeds: npt.ArrayLike | None
    """Embeddings in place of the prompt, as `Pipeline.encode` returns them.

    The shape is (tokens, width), (1, tokens, width), or (images, tokens, width) for one per image.
    """
    negative_prompt_embeds: npt.ArrayLike | None
    """Embeddings in place of the negative prompt, of the same shapes."""
    pooled_prompt_embeds: npt.ArrayLike | None
    """SDXL's pooled embedding for `prompt_embeds`, as `Pipeline.encode_text` returns it.

    The shape is (width,), (1, width), or (images, width).
    """
    negative_pooled_prompt_embeds: npt.ArrayLike | None
    """SDXL's pooled embedding for `negative_prompt_embeds`, of the same shapes."""
    width: int
    """Width in pixels, a multiple of the model's downscale, which is 8."""
    height: int
    """Height in pixels, a multiple of the model's downscale, which is 8."""
    image: Picture | None
    """The image to start from, a path or a Pillow image; its size is the default size of the run.

    Models that edit images (InstructPix2Pix) change it as the prompt says.
    """
    strength: float
    """Share of the steps that change the image: by default 0.8, and 1 with a mask."""
    mask: Picture | None
    """An image of the same size, white where `image` is repainted and black where it stays."""
    paste: bool
    """Whether pixels outside of the mask are the image's own, the default, or the decoder's."""
    controls: Sequence[Control | str]
    """ControlNets with their hints; several add up. A text has the form of `--control`."""
    guess_mode: bool
    """Whether ControlNets guide the prompt's own branch alone, and deeper layers more.

    So a picture follows its hints without a prompt; a guidance scale of 3 to 5 is usual.
    """
    depth: DepthSource | None
    """The depth map that depth models paint over: the larger a value, the nearer it is.

    It is a grey picture of 8 or 16 bits, an array of (height, width), or the path of either (PNG,
    .npy), of the size of `image`. Without an image its size is the default size of the run.
    """
    vae_tiling: VaeTiling
    """Whether the VAE works in tiles of 768x768 pixels, so that its memory does not grow with the
    picture; by default, "auto", it does so only if the whole picture is not expected to fit."""
    decoder: Literal["full", "tiny"]
    """The decoder of the pictures; "tiny", from `sdrt export --tiny-vae`, is fast and rough."""
    hires: float
    """The factor, for example 2.0, by which a second pass enlarges the pictures of the first; it
    repaints them with the same prompt and seed."""
    hires_strength: float
    """Share of the second pass's steps that change the picture, by default 0.5."""
    hires_steps: int
    """Number of steps of which the second pass runs its share, by default `num_inference_steps`."""
    latents: npt.ArrayLike | None
    """Latents that another model's run ended at (`Run.latents`), to continue from.

    The shape is (channels, h/8, w/8), (1, channels, h/8, w/8), or (images, channels, h/8, w/8), and
    decides the size of the run.
    """
    denoising_start: float
    """The share of the schedule that lies behind `latents`, as in diffusers; 0.8 is usual."""
    denoising_end: float
    """The share of the schedule after which the run ends, for a refiner to continue from there."""
    speed: Speed
    """A preset of sampler, noise levels and steps: "exact", the default, is the model's own.

    "balanced" is as near to the converged picture as 20 steps of DDIM, in half of the time; "fast"
    is at times another picture. Options that are given take precedence.
    """
    num_inference_steps: int
    """Number of denoising steps."""
    guidance_scale: float
    """Strength of classifier-free guidance; up to 1 there is none, and a step costs half."""
    image_guidance_scale: float
    """How near models that edit images stay to the image, from 1; by default 1.5.

    At 1 a guided step runs the U-Net for two branches, above it for three. Without guidance it has
    no effect, which a warning says.
    """
    guidance_rescale: float
    """How much of the contrast that strong guidance adds is taken back, 0 to 1; 0.7 is usual."""
    guidance_start: float
    """The share of the steps after which guidance starts; steps without guidance cost half."""
    guidance_end: float
    """The share of the steps after which guidance ends."""
    guidance_split: bool
    """Whether the branches of a guided step run one after the other: as long, with less memory.

    Models that guide themselves (LCM) have one branch, and refuse this, the interval and rescaling.
    """
    cache_interval: int
    """One evaluation of the U-Net in so many computes all of it; by default, 1, each does.

    Those between use its deep features again, and cost about a tenth (DeepCache). The picture is
    another.
    """
    cache_depth: int
    """Where features are kept: the skip connection counted from the U-Net's output, by default 0.

    At a greater depth an evaluation that uses them again computes more, and is nearer to a whole.
    """
    sampler: str
    """The sampling method, one of `sdrt samplers`."""
    sampler_options: Mapping[str, Option]
    """Options of the sampler, such as {"eta": 0.5} or {"order": 3}; errors list the known ones."""
    scheduler: str
    """The spacing of noise levels: "default" for the model's own, or for example "karras"."""
    spacing: Spacing
    """The spacing of timesteps: "leading", "trailing" or "linspace"."""
    scheduler_config: Mapping[str, object]
    """The contents of a diffusers `scheduler_config.json`; the options above take precedence.

    It must not contradict the noise schedule that the model was trained on.
    """
    seed: int | Sequence[int] | None
    """The seed of the first image (image i gets seed + i), or one per image; None draws one."""
    num_images_per_prompt: int
    """Number of images, 1 by default."""
    clip_skip: int
    """The layer of the text encoder to use, counted from the end: 1 is the last.

    AUTOMATIC1111 and stable-diffusion.cpp count in the same way; diffusers' numbers are one less.
    """
    original_size: tuple[int, int]
    """SDXL's size conditioning, (height, width) in pixels: the image's size before it was cropped.

    By default it is the size of the run.
    """
    crops_coords_top_left: tuple[int, int]
    """SDXL's crop conditioning, (top, left) in pixels; by default (0, 0)."""
    target_size: tuple[int, int]
    """SDXL's size conditioning, (height, width) in pixels; by default the size of the run."""
    aesthetic_score: float
    """A refiner's conditioning in place of `target_size`: 0 to 10, by default 6."""
    negative_original_size: tuple[int, int]
    """`original_size` for the negative prompt; by default the same as for the prompt."""
    negative_crops_coords_top_left: tuple[int, int]
    """`crops_coords_top_left` for the negative prompt; by default the same as for the prompt."""
    negative_target_size: tuple[int, int]
    """`target_size` for the negative prompt; by default the same as for the prompt."""
    negative_aesthetic_score: float
    """`aesthetic_score` for the negative prompt, by default 2.5."""
