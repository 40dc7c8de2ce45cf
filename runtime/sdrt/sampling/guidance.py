"""Classifier-free guidance, and clipping of clean latents: arithmetic on a network's answers."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Latents

EVERY = (1, 2, 3)  # axes of one image's latents


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""

    scale: float = 1.0
    """The step from the negative prompt's answer to the prompt's and beyond; up to 1: none."""
    image_scale: float = 1.0
    """The scale, at least 1, for the picture that a model edits; at 1 a branch less is computed.

    Brooks et al. 2023, arXiv 2211.09800, section 3.2.1.
    """
    rescale: float = 0.0
    """The share of the answer whose standard deviation is reset to that without guidance.

    Lin et al. 2023, arXiv 2305.08891, eq. 15 and 16.
    """
    start: float = 0.0
    """The share of the run at which guidance begins (Kynkaanniemi et al. 2024, 2404.07724)."""
    end: float = 1.0
    """The share of the run at which it ends; outside, the negative prompt is not computed."""
    is_split: bool = False
    """Whether the branches run one after the other: as slow, but with the memory of one."""

    def covers(self, progress: float) -> bool:
        """Whether the step after this share of the run is guided."""
        return self.scale > 1 and self.start <= progress < self.end

    def combine(
        self, negative: Latents, positive: Latents, without_picture: Latents | None = None
    ) -> Latents:
        """The guided answer; (images, channels, height, width).

        `without_picture` is the answer to the negative prompt and no picture (Brooks et al.,
        eq. 3).
        """
        guided = negative + (positive - negative) * self.scale
        if without_picture is not None:
            guided = guided + (negative - without_picture) * (self.image_scale - 1)
        if not self.rescale:
            return guided
        ratio = positive.std(axis=EVERY, keepdims=True) / guided.std(axis=EVERY, keepdims=True)
        rescaled: Latents = guided * (ratio * self.rescale + (1 - self.rescale))
        return rescaled


@dataclass(frozen=True)
class Clipping:
    """Clipping of clean latents with large magnitudes, which strong guidance causes.

    Made for networks that work on pixels; the latents of Stable Diffusion reach far beyond 1.
    """

    limit: float = 0.0
    """The magnitude to clip to; 0 for no clipping."""
    share: float = 0.0
    """The quantile of dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487, section 2.3).

    An image's latents are clipped to this quantile of their magnitudes, and divided by it, where it
    is more than 1. 0 for no thresholding.
    """
    most: float = 1.0
    """The largest magnitude that thresholding clips to."""

    def apply(self, denoised: Latents) -> Latents:
        """Clip clean latents (images, channels, height, width)."""
        if self.share:
            magnitudes = np.quantile(np.abs(denoised), self.share, axis=EVERY, keepdims=True)
            bounds = magnitudes.clip(1, self.most).astype(denoised.dtype)
            thresholded: Latents = denoised.clip(-bounds, bounds) / bounds
            return thresholded
        return denoised.clip(-self.limit, self.limit) if self.limit else denoised
