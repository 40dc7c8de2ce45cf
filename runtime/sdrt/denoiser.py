"""U-Net + guidance + kind of prediction -> `denoise(x, sigma)`, all that a sampler ever calls."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdrt.backends import Graph
from sdrt.manifest import Prediction
from sdrt.samplers import Latents
from sdrt.schedule import Steps

Embeddings = npt.NDArray[np.float32]  # (images, tokens, width)


@dataclass(frozen=True)
class Denoiser:
    """Predicts clean latents from noisy ones.

    `negative` is None without classifier-free guidance; otherwise both halves run as one batch
    (Ho and Salimans 2022, arXiv 2207.12598, eq. 6).
    """

    unet: Graph
    steps: Steps
    prediction: Prediction
    positive: Embeddings
    negative: Embeddings | None = None
    guidance_scale: float = 1.0

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Clean latents at noise level `sigma`; x and the result: (images, channels, h/8, w/8)."""
        scale = 1 / math.sqrt(1 + sigma * sigma)  # to the variance that the U-Net was trained on
        output = self._guided(x * scale, self.steps.timestep(sigma))
        if self.prediction == "epsilon":
            return x - output * sigma
        if self.prediction == "v_prediction":  # Salimans and Ho 2022, arXiv 2202.00512, app. D
            return x * (scale * scale) - output * (sigma * scale)
        return output

    def _guided(self, sample: Latents, timestep: float) -> Latents:
        if self.negative is None:
            return self._run(sample, timestep, self.positive)
        both = self._run(
            np.concatenate([sample, sample]),
            timestep,
            np.concatenate([self.negative, self.positive]),
        )
        negative, positive = np.split(both, 2)
        return negative + (positive - negative) * self.guidance_scale

    def _run(self, sample: Latents, timestep: float, embeddings: Embeddings) -> Latents:
        feeds = {
            "sample": sample,
            "timestep": np.array(timestep, np.float32),
            "encoder_hidden_states": embeddings,
        }
        return self.unet.run(feeds)["out_sample"]
