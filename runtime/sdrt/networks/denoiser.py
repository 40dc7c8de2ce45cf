"""The denoiser: U-Net, guidance and prediction type behind `denoise(x, sigma)`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.backends.cancellation import Cancellation
from sdrt.manifest import GUIDANCE_INPUT, Prediction, guidance_width
from sdrt.networks.controls import POSITIVE, Controls
from sdrt.networks.unet import OUTPUT, Evaluations, FeatureCache, UNet
from sdrt.sampling.guidance import Clipping, Guidance
from sdrt.sampling.schedule import Steps

Added = Mapping[str, Array]
"""Further inputs of a U-Net, besides latents, timestep and embeddings; a row for each image."""


@dataclass(frozen=True)
class GuidanceBranch:
    """The U-Net's conditioning for one of the predictions that guidance combines."""

    name: str
    embeddings: Embeddings
    added: Added
    conditions: Latents | None


@dataclass(frozen=True)
class Denoiser:
    """Predicts clean latents from noisy ones.

    In guided steps the negative and the positive branch run as one batch, unless guidance is split;
    with them runs the branch without a picture, where there is guidance by a picture.
    """

    unet: UNet
    steps: Steps
    prediction: Prediction
    positive: Embeddings
    negative: Embeddings | None = None
    guidance: Guidance = field(default_factory=Guidance)
    clipping: Clipping = field(default_factory=Clipping)
    timestep_scaling: float | None = None
    """Consistency models: the factor of timesteps in their boundary condition."""
    conditions: Latents | None = None
    """Channels that some models take in addition to the latents; (images, n, h/8, w/8)."""
    added: Added = field(default_factory=dict)
    """Further inputs of the positive branch."""
    negative_added: Added = field(default_factory=dict)
    """Further inputs of the negative branch."""
    controls: Controls | None = None
    """ControlNets, whose results the U-Net takes as further inputs."""
    cache: FeatureCache | None = None
    """Deep features that some evaluations use again; None if each computes the whole U-Net."""
    evaluations: Evaluations = field(default_factory=Evaluations)
    """What was computed so far."""
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
        branches = self._branches(self.steps.progress(sigma))
        self._begin(branches)
        if len(branches) == 1:
            return self._run(sample, sigma, branches)
        if self.guidance.is_split:
            outputs = (self._run(sample, sigma, [branch]) for branch in branches)
            return self.guidance.combine(*outputs)
        together = self._run(sample, sigma, branches)
        return self.guidance.combine(*np.split(together, len(branches)))

    def _branches(self, progress: float) -> list[GuidanceBranch]:
        """What guidance combines at this share of the run; where there is none, the positive."""
        positive = GuidanceBranch(POSITIVE, self.positive, self.added, self.conditions)
        if self.negative is None or not self.guidance.covers(progress):
            return [positive]
        negative = GuidanceBranch("negative", self.negative, self.negative_added, self.conditions)
        branches = [negative, positive]
        if self.conditions is not None and self.guidance.image_scale > 1:
            nothing = np.zeros_like(self.conditions)
            branches.append(replace(negative, name="without picture", conditions=nothing))
        return branches

    def _begin(self, branches: Sequence[GuidanceBranch]) -> None:
        """Begin an evaluation: decide how much of the U-Net it computes, and count it."""
        if self.cache:
            self.cache.begin([branch.name for branch in branches])
        if self.cache is None or self.cache.is_whole:
            self.evaluations.whole += 1
        else:
            self.evaluations.shallow += 1
        self.evaluations.unguided += self.negative is not None and len(branches) == 1

    def _run(self, sample: Latents, sigma: float, branches: Sequence[GuidanceBranch]) -> Latents:
        """Predictions of all branches, each with as many rows as `sample`."""
        sample = np.concatenate([sample] * len(branches))
        conditions = [branch.conditions for branch in branches if branch.conditions is not None]
        if conditions:
            sample = np.concatenate([sample, np.concatenate(conditions)], axis=1)
        feeds = {
            "sample": sample,
            "timestep": np.array(self.steps.timestep(sigma), np.float32),
            "encoder_hidden_states": np.concatenate([branch.embeddings for branch in branches]),
            **{
                name: np.concatenate([branch.added[name] for branch in branches])
                for name in branches[0].added
            },
        }
        if width := guidance_width(self.unet.network.spec):
            row = guidance_embedding(self.guidance.scale - 1, width)
            feeds[GUIDANCE_INPUT] = np.repeat(row, len(sample), axis=0)
        names = [branch.name for branch in branches]
        if self.controls:
            is_kept = self.cache is not None and not self.cache.is_whole
            progress = self.steps.progress(sigma)
            feeds |= self.controls.residuals(feeds, names, progress, self.cancellation, is_kept)
        if self.cache:
            return self.cache.run(self.unet, feeds, names, self.cancellation)
        output: Latents = self.unet.run(feeds, self.cancellation)[OUTPUT]
        return output


def guidance_embedding(strength: float, width: int) -> Embeddings:
    """The strength of guidance above 1 as sinusoids: (1, width), like a timestep.

    Meng et al. 2022, arXiv 2210.03142, section 3.1.
    """
    half = width // 2
    angles = strength * 1000 * np.exp(np.arange(half) * (-math.log(10_000) / (half - 1)))
    sinusoids = np.concatenate([np.sin(angles), np.cos(angles), np.zeros(width - 2 * half)])
    return sinusoids.astype(np.float32)[None]
