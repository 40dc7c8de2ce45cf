"""U-Net + guidance + kind of prediction -> `denoise(x, sigma)`, all that a sampler ever calls."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sdrt.backends import Graph
from sdrt.manifest import Prediction
from sdrt.samplers import Latents
from sdrt.schedule import Steps

Embeddings = npt.NDArray[np.float32]  # (images, tokens, width)


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""

    scale: float = 1.0
    """How far to go from the negative prompt's answer to the prompt's and beyond; up to 1: none."""
    rescale: float = 0.0
    """Share of the answer that gets the deviation back which it has without guidance.

    Lin et al. 2023, arXiv 2305.08891, eq. 15 and 16.
    """
    start: float = 0.0
    end: float = 1.0
    """Guided are steps from this share of the run to this (Kynkaanniemi et al. 2024, 2404.07724).

    In the other steps the negative prompt's half is not computed.
    """

    def covers(self, progress: float) -> bool:
        """Whether a step is guided, after that share of the run."""
        return self.scale > 1 and self.start <= progress < self.end

    def combine(self, negative: Latents, positive: Latents) -> Latents:
        """The guided answer; (images, channels, height, width)."""
        guided = negative + (positive - negative) * self.scale
        if not self.rescale:
            return guided
        every = (1, 2, 3)
        ratio = positive.std(axis=every, keepdims=True) / guided.std(axis=every, keepdims=True)
        rescaled: Latents = guided * (ratio * self.rescale + (1 - self.rescale))
        return rescaled


@dataclass(frozen=True)
class Denoiser:
    """Predicts clean latents from noisy ones.

    In guided steps the `negative` and the `positive` half run as one batch.
    """

    unet: Graph
    steps: Steps
    prediction: Prediction
    positive: Embeddings
    negative: Embeddings | None = None
    guidance: Guidance = field(default_factory=Guidance)

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Clean latents at noise level `sigma`; x and the result: (images, channels, h/8, w/8)."""
        scale = 1 / math.sqrt(1 + sigma * sigma)  # to the variance that the U-Net was trained on
        output = self._output(x * scale, sigma)
        if self.prediction == "epsilon":
            return x - output * sigma
        if self.prediction == "v_prediction":  # Salimans and Ho 2022, arXiv 2202.00512, app. D
            return x * (scale * scale) - output * (sigma * scale)
        return output

    def _output(self, sample: Latents, sigma: float) -> Latents:
        timestep = self.steps.timestep(sigma)
        if self.negative is None or not self.guidance.covers(self.steps.progress(sigma)):
            return self._run(sample, timestep, self.positive)
        both = self._run(
            np.concatenate([sample, sample]),
            timestep,
            np.concatenate([self.negative, self.positive]),
        )
        return self.guidance.combine(*np.split(both, 2))

    def _run(self, sample: Latents, timestep: float, embeddings: Embeddings) -> Latents:
        feeds = {
            "sample": sample,
            "timestep": np.array(timestep, np.float32),
            "encoder_hidden_states": embeddings,
        }
        return self.unet.run(feeds)["out_sample"]
