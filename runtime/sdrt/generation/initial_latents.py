"""Initial latents: noise alone, or a picture with noise over it; and inpainting's blend.

Meng et al. 2021, arXiv 2108.01073 (SDEdit): a picture is brought to the noise level of a later
step, and the run goes on from there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sdrt.arrays import Floats, Latents
from sdrt.networks.autoencoder import LatentDistribution
from sdrt.request.init_image import InitImage
from sdrt.sampling.samplers.sampler import Denoise, Draw


@dataclass(frozen=True)
class InpaintBlend:
    """Keeps the picture's own latents outside of a mask, in models that take no mask.

    There each denoising starts from the straight line between the noise that was drawn and the
    picture, on which any sampler stays; new noise that a sampler adds is taken away again.
    """

    original: Latents
    noise: Latents
    mask: Floats
    """(1, 1, h/8, w/8), 1 where to paint anew."""

    def blended(self, denoise: Denoise) -> Denoise:
        """A denoiser that paints under the mask only."""

        def blend(x: Latents, sigma: float) -> Latents:
            noisy = self.original + self.noise * np.float32(sigma)
            return self.restored(denoise(self._join(x, noisy), sigma))

        return blend

    def restored(self, latents: Latents) -> Latents:
        """These latents under the mask, the picture's outside."""
        return self._join(latents, self.original)

    def _join(self, painted: Latents, kept: Latents) -> Latents:
        joined: Latents = np.where(self.mask > 0, painted, kept)
        return joined


@dataclass(frozen=True)
class InitialLatents:
    """Where a run begins, and what else it starts from."""

    x: Latents
    """Noisy latents of the first level, (images, channels, h/8, w/8)."""
    conditions: Latents | None = None
    """Channels that the U-Net takes in addition to the latents, (images, n, h/8, w/8).

    An inpainting model takes the mask and the latents of the picture without what it hides; a model
    that edits takes the latents of the picture, a depth model the depth map.
    """
    blend: InpaintBlend | None = None
    """What keeps the picture outside of a mask, in models that take no mask."""

    def over_depth(self, depth: Latents) -> "InitialLatents":
        """The same for a depth model; `depth` is (1, 1, h/8, w/8)."""
        return replace(self, conditions=np.repeat(depth, len(self.x), axis=0))

    def blended(self, denoise: Denoise) -> Denoise:
        """The denoiser, with what a mask leaves alone blended in."""
        return self.blend.blended(denoise) if self.blend else denoise

    def finished(self, x: Latents, sigma: float) -> Latents:
        """Clean latents from those of the last level, where some noise may be left."""
        latents = to_unit_variance(x, sigma)
        return self.blend.restored(latents) if self.blend else latents


def to_unit_variance(x: Latents, sigma: float) -> Latents:
    """Latents as the U-Net was trained on them, from x0 + sigma * noise."""
    scaled: Latents = x / math.sqrt(1 + sigma**2)
    return scaled


def from_unit_variance(scaled: Latents, sigma: float) -> Latents:
    """The way back: x0 + sigma * noise. Pure noise of variance one becomes the start of a run."""
    x: Latents = scaled * math.sqrt(1 + sigma**2)
    return x


def from_image(
    init: InitImage,
    encode: Callable[[Floats], LatentDistribution],
    draw: Draw,
    sigma: float,
    downscale: int,
    takes_mask: bool,
) -> InitialLatents:
    """Start from a picture; noise is drawn in the order in which diffusers' pipelines draw it.

    `takes_mask` says that the U-Net is an inpainting model's. At a strength of 1 nothing is left of
    what is under a mask.
    """
    mask = None if init.mask is None else init.latent_mask(downscale)
    is_new = mask is not None and init.strength == 1
    if takes_mask and is_new:
        noise = draw()
        x = from_unit_variance(noise, sigma)
    else:
        original = encode(init.tensor()).sample(draw())
        noise = draw()
        x = from_unit_variance(noise, sigma) if is_new else original + noise * np.float32(sigma)
    if mask is None:
        return InitialLatents(x)
    surroundings = draw()  # is drawn in any case, so that samplers' noise is the same too
    if takes_mask:
        around = encode(init.tensor(without_masked=True)).sample(surroundings)
        masks = np.repeat(mask, len(around), axis=0)
        return InitialLatents(x, conditions=np.concatenate([masks, around], axis=1))
    return InitialLatents(x, blend=InpaintBlend(original, noise, mask))


def to_edit(
    init: InitImage,
    encode: Callable[[Floats], LatentDistribution],
    draw: Draw,
    sigma: float,
    scale: float,
) -> InitialLatents:
    """Start from noise, with the latents of the picture to change beside it.

    They are the most likely ones, and the autoencoder's own: not times its scale (Brooks et al.
    2023, arXiv 2211.09800, section 3.2).
    """
    noise = draw()
    picture = encode(init.tensor()).mean / np.float32(scale)
    conditions = np.repeat(picture, len(noise) // len(picture), axis=0)
    return InitialLatents(from_unit_variance(noise, sigma), conditions=conditions)
