"""The map that shows latents without the decoder, fitted to the decoder in torch."""

import numpy as np
import numpy.typing as npt
import torch

from sdrt.arrays import Latents
from sdrt.images.latent_preview import CHANNELS, fit_preview
from sdrt.manifest import Latent


def with_preview(latent: Latent, decoder: torch.nn.Module) -> Latent:
    """Add the map to a description of latents, where there can be one."""
    if latent.channels != CHANNELS:
        return latent

    @torch.no_grad()
    def decode(latents: Latents) -> npt.NDArray[np.float32]:
        pictures = [decoder(torch.from_numpy(one[None]) / latent.scale) for one in latents]
        return torch.cat(pictures).numpy()

    return latent.model_copy(update={"preview": fit_preview(latent, decode)})
