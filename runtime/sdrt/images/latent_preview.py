"""Previews of latents without the decoder, by a linear map that is fitted to it once.

Red, green and blue are each a weighted sum of a latent's channels. Such maps have long been
published for Stable Diffusion's autoencoder; fitting one costs the decoding of eight small latents,
and works for every autoencoder.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from sdrt.arrays import Floats, Latents
from sdrt.errors import UnsupportedError
from sdrt.images.png import to_image
from sdrt.manifest import Latent, Preview

Decode = Callable[[Latents], Floats]
"""(images, channels, h/8, w/8) in the U-Net's space -> (images, 3, h, w) in -1..1."""

CHANNELS = 4
SAMPLES, SIDE, PATCHES = 8, 16, 4
"""The latents of the fit: SAMPLES squares of SIDE, in PATCHES by PATCHES patches of one value.

With a value of its own for every latent the fit is 2 dB worse, because no picture is like that;
with larger patches there are too few values. Figures: docs/internals/previews.md.
"""


def check_previewable(latent: Latent) -> None:
    """Raise `UnsupportedError` for latents that a linear map does not show."""
    if latent.channels != CHANNELS:
        raise UnsupportedError(
            f"the model's latents have {latent.channels} channels; previews without the decoder "
            f"need {CHANNELS}: decode the latents instead"
        )


def fit_preview(latent: Latent, decode: Decode) -> Preview:
    """Fit the map by least squares to the decoded pictures of random patches."""
    check_previewable(latent)
    patches = np.random.default_rng(0).standard_normal(
        (SAMPLES, latent.channels, PATCHES, PATCHES), np.float32
    )
    latents = patches.repeat(SIDE // PATCHES, axis=2).repeat(SIDE // PATCHES, axis=3)
    decoded = decode(latents).clip(-1, 1)
    means = decoded.reshape(SAMPLES, 3, SIDE, latent.downscale, SIDE, latent.downscale)
    inputs = _pixels(latents)
    solution, *_ = np.linalg.lstsq(
        np.hstack([inputs, np.ones_like(inputs[:, :1])]),
        _pixels(means.mean(axis=(3, 5))),
        rcond=None,
    )
    *matrix, bias = (tuple(round(float(value), 4) for value in row) for row in solution)
    return Preview.model_validate({"matrix": matrix, "bias": bias})


def to_previews(latents: Latents, latent: Latent, preview: Preview) -> list[Image.Image]:
    """Map latents (images, channels, h/8, w/8) and enlarge to the size of the decoded pictures."""
    colours = np.einsum("nchw,cd->ndhw", latents, np.asarray(preview.matrix, latents.dtype))
    colours += np.asarray(preview.bias, latents.dtype)[:, None, None]
    height, width = (side * latent.downscale for side in latents.shape[2:])
    return [to_image(each).resize((width, height), Image.Resampling.BICUBIC) for each in colours]


def _pixels(values: Latents) -> Latents:
    """(images, channels, h, w) -> (images * h * w, channels)."""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])
