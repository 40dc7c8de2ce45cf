"""U-Net + guidance + kind of prediction -> `denoise(x, sigma)`, all that a sampler ever calls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.graph import Network
from sdrt.manifest import GUIDANCE_INPUT, Prediction, guidance_width
from sdrt.sampling.guidance import Clipping, Guidance
from sdrt.sampling.schedule import Steps

Added = Mapping[str, Array]
"""Inputs of a U-Net beside latents, timestep and embeddings, by name; a row for each image."""


@dataclass(frozen=True)
class GuidanceBranch:
    """What the U-Net is told for one of the answers that guidance combines."""

    embeddings: Embeddings
    added: Added
    conditions: Latents | None


class UNet(Protocol):
    """What predicts noise: a graph, or whatever runs like one."""

    @property
    def network(self) -> Network:
        """Its inputs."""
        ...

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once."""
        ...


@dataclass(frozen=True)
class Denoiser:
    """Predicts clean latents from noisy ones.

    In guided steps the negative and the positive side run as one batch, unless guidance says
    otherwise; and with them the side without a picture, where there is guidance by it.
    """

    unet: UNet
    steps: Steps
    prediction: Prediction
    positive: Embeddings
    negative: Embeddings | None = None
    guidance: Guidance = field(default_factory=Guidance)
    clipping: Clipping = field(default_factory=Clipping)
    timestep_scaling: float | None = None
    """For consistency models: how many timesteps are a unit of their boundary condition's time."""
    conditions: Latents | None = None
    """Channels that stand beside the latents, of models that take any; (images, n, h/8, w/8)."""
    added: Added = field(default_factory=dict)
    """What stands beside the positive embeddings, of models that take anything,"""
    negative_added: Added = field(default_factory=dict)
    """and beside the negative ones."""
    cancellation: Cancellation = field(default_factory=Cancellation)

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Clean latents at noise level `sigma`; x and the result: (images, channels, h/8, w/8)."""
        scale = 1 / math.sqrt(1 + sigma * sigma)  # to the variance that the U-Net was trained on
        output = self._output(x * scale, sigma)
        if self.prediction == "epsilon":
            denoised = x - output * sigma
        elif self.prediction == "v_prediction":  # Salimans and Ho 2022, arXiv 2202.00512, app. D
            denoised = x * (scale * scale) - output * (sigma * scale)
        else:
            denoised = output
        denoised = self.clipping.apply(denoised)
        return denoised if self.timestep_scaling is None else self._bounded(denoised, x, sigma)

    def _bounded(self, denoised: Latents, x: Latents, sigma: float) -> Latents:
        """Hold the boundary condition f(x, 0) = x (Song et al. 2023, arXiv 2303.01469, eq. 5)."""
        assert self.timestep_scaling is not None
        variance = 0.5 * 0.5  # of the data, as assumed in distillation
        time = self.steps.timestep(sigma) * self.timestep_scaling
        skip = variance / (time * time + variance)
        out = time / math.sqrt(time * time + variance)
        return denoised * out + x * (skip / math.sqrt(1 + sigma * sigma))

    def _output(self, sample: Latents, sigma: float) -> Latents:
        timestep = self.steps.timestep(sigma)
        positive = GuidanceBranch(self.positive, self.added, self.conditions)
        if self.negative is None or not self.guidance.covers(self.steps.progress(sigma)):
            return self._run(sample, timestep, [positive])
        negative = GuidanceBranch(self.negative, self.negative_added, self.conditions)
        sides = [negative, positive]
        if self.conditions is not None and self.guidance.image_scale > 1:
            sides.append(replace(negative, conditions=np.zeros_like(self.conditions)))
        if self.guidance.is_split:
            return self.guidance.combine(*(self._run(sample, timestep, [one]) for one in sides))
        together = self._run(sample, timestep, sides)
        return self.guidance.combine(*np.split(together, len(sides)))

    def _run(self, sample: Latents, timestep: float, sides: Sequence[GuidanceBranch]) -> Latents:
        """Answers for all sides, one after the other: rows are those of `sample` for each."""
        sample = np.concatenate([sample] * len(sides))
        beside = [side.conditions for side in sides if side.conditions is not None]
        if beside:
            sample = np.concatenate([sample, np.concatenate(beside)], axis=1)
        feeds = {
            "sample": sample,
            "timestep": np.array(timestep, np.float32),
            "encoder_hidden_states": np.concatenate([side.embeddings for side in sides]),
            **{
                name: np.concatenate([side.added[name] for side in sides])
                for name in sides[0].added
            },
        }
        if width := guidance_width(self.unet.network.spec):
            row = guidance_embedding(self.guidance.scale - 1, width)
            feeds[GUIDANCE_INPUT] = np.repeat(row, len(sample), axis=0)
        output: Latents = self.unet.run(feeds, self.cancellation)["out_sample"]
        return output


def guidance_embedding(strength: float, width: int) -> Embeddings:
    """Guidance above 1 as waves: (1, width), like a timestep.

    Meng et al. 2022, arXiv 2210.03142, section 3.1.
    """
    half = width // 2
    angles = strength * 1000 * np.exp(np.arange(half) * (-math.log(10_000) / (half - 1)))
    waves = np.concatenate([np.sin(angles), np.cos(angles), np.zeros(width - 2 * half)])
    return waves.astype(np.float32)[None]
