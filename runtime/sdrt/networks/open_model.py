"""An open model on a backend: its networks, and what can be done with each by itself."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
from PIL import Image

from sdrt.adapters.active import ActiveAdapters
from sdrt.adapters.lora_loading import LoraSpec, open_loras
from sdrt.adapters.lora_names import LORA_NETWORKS
from sdrt.adapters.textual_inversion import TextualInversions
from sdrt.arrays import Embeddings, Floats, Latents
from sdrt.artifact.artifact import Artifact
from sdrt.backends.backend import Backend
from sdrt.images.latent_preview import fit_preview, to_previews
from sdrt.manifest import Manifest, Preview
from sdrt.networks.autoencoder import LatentDistribution, decode_latents, encode_pictures
from sdrt.networks.loaded import LoadedNetworks
from sdrt.networks.run_state import RunState
from sdrt.networks.text_encoders import TextEncoders
from sdrt.request.request import DECODERS
from sdrt.sampling.schedule import TrainingNoise
from sdrt.text.conditioning import TextConditioning
from sdrt.text.prompt import Prompt
from sdrt.text.tokenizer import Tokens

KEPT = frozenset({"unet", *DECODERS.values()})
"""Networks that stay in memory after their use unless the caller says otherwise."""
KEPT_BY_MANY = KEPT | {"text_encoder", "text_encoder_2", "vae_encoder"}
"""Networks to keep by those who make picture after picture."""


class OpenModel:
    """Networks are loaded when they are first needed; runs stand on one of these."""

    def __init__(
        self,
        artifact: Artifact,
        backend: Backend,
        keep: Collection[str] = KEPT,
        retry_precision: bool = True,
    ) -> None:
        self.artifact, self.backend = artifact, backend
        self.adapters = ActiveAdapters()
        self.networks = LoadedNetworks(
            artifact, backend, frozenset(keep), retry_precision, self.adapters
        )
        self.text_encoders = TextEncoders(artifact, self.networks, self.adapters)
        self.training_noise = TrainingNoise.from_schedule(artifact.manifest.schedule)

    @property
    def manifest(self) -> Manifest:
        """What the artifact holds."""
        return self.artifact.manifest

    def use_loras(self, *loras: str) -> None:
        """Add these LoRAs to the model's weights, in place of those before; none removes all.

        Each is `FILE[:WEIGHT]`, as on the command line. Files of the model stay as they are;
        networks are loaded anew when they are next needed, so change nothing while a run is under
        way. Raises `ArtifactError`, `UnsupportedError` or `UsageError` for what does not fit the
        model, down to one tensor; then all is as before.
        """
        specs = [LoraSpec.parse(text) for text in loras]
        self.adapters.loras = open_loras(self.artifact, self.backend, specs)
        self.release(*LORA_NETWORKS)

    def use_embeddings(self, *embeddings: str) -> None:
        """Add the words of these textual inversions, in place of those before; none removes all.

        Each is `FILE[:WORD]`, as on the command line; see `use_loras` for what it does and raises.
        """
        self.adapters.inversions = TextualInversions.open(self.artifact, self.backend, embeddings)
        self.release(*self.text_encoders.graphs)

    def encode(
        self, prompt: str | Prompt, clip_skip: int = 1, state: RunState | None = None
    ) -> Embeddings:
        """Turn a prompt into embeddings (1, tokens, width): 77 tokens for each of its chunks.

        Raises `UsageError` or `UnsupportedError` for a layer that the text encoder does not give.
        """
        return self.encode_text(prompt, clip_skip, state).states

    def encode_text(
        self, prompt: str | Prompt, clip_skip: int = 1, state: RunState | None = None
    ) -> TextConditioning:
        """Turn a prompt into all that the U-Net takes of it; see `TextEncoders.encode`."""
        return self.text_encoders.encode(prompt, clip_skip, state)

    def tokens(self, prompt: str | Prompt) -> Tokens:
        """Turn a prompt into the first encoder's token ids and weights, a row for each chunk."""
        return self.text_encoders.tokens(prompt)

    def encode_tokens(
        self, tokens: Tokens, clip_skip: int = 1, state: RunState | None = None
    ) -> Embeddings:
        """Turn tokens into the first encoder's embeddings, with the errors of `encode`."""
        return self.text_encoders.encode_tokens(tokens, clip_skip, state).states

    def encode_image(self, pictures: Floats, state: RunState | None = None) -> LatentDistribution:
        """Turn pictures, (images, 3, height, width) in -1..1, into the distributions of latents.

        Raises `UnsupportedError` for a model without the encoder.
        """
        return encode_pictures(self.networks, pictures, state or RunState())

    def decode(self, latents: Latents, state: RunState | None = None) -> list[Floats]:
        """Turn latents into pictures, (3, height, width) in -1..1, one by one.

        Memory does not grow with their number. With `RunState(tiles_vae=True)` it does not grow
        with their size either, apart from the pictures.
        """
        return decode_latents(self.networks, latents, state or RunState())

    def preview(self, latents: Latents) -> list[Image.Image]:
        """Show latents in rough colours and full size, at once and without the decoder.

        Raises `UnsupportedError` where the latents have no such map.
        """
        return to_previews(latents, self.manifest.latent, self._preview_map)

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self.text_encoders.vocabulary

    @property
    def loaded(self) -> set[str]:
        """Names of the networks that are in memory."""
        return set(self.networks.loaded)

    def release(self, *names: str) -> None:
        """Free the memory of these networks, or of all; they load again when needed."""
        self.networks.release(*names)

    @cached_property
    def _preview_map(self) -> Preview:
        latent = self.manifest.latent
        if latent.preview:
            return latent.preview
        with self.networks.using("vae_decoder"):
            return fit_preview(latent, lambda latents: np.stack(self.decode(latents)))
