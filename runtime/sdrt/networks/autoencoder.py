"""The VAE: pictures to distributions of latents, latents to pictures, whole or in tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Floats, Latents
from sdrt.backends.tile_context import Context, ContextRole
from sdrt.errors import UnsupportedError
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.loaded import LoadedNetworks
from sdrt.networks.run_state import RunState, Stopwatch
from sdrt.networks.tiling import Tiling, in_tiles, whole_context


@dataclass(frozen=True)
class LatentDistribution:
    """What a VAE's encoder says about pictures: a normal distribution of each latent.

    In the U-Net's space, (images, channels, h/8, w/8).
    """

    mean: Latents
    deviation: Latents

    @classmethod
    def from_parameters(cls, parameters: Floats, scale: float) -> "LatentDistribution":
        """Read mean and log variance off the encoder's channels, (images, 2 * channels, h, w)."""
        mean, log_variance = np.split(parameters, 2, axis=1)
        deviation = np.exp(np.float32(0.5) * log_variance.clip(-30, 20))
        return cls(mean * np.float32(scale), deviation * np.float32(scale))

    def sample(self, noise: Latents) -> Latents:
        """Draw from it, once for each image that there is noise for."""
        sampled: Latents = self.mean + self.deviation * noise
        return sampled


def encode_pictures(
    networks: LoadedNetworks, pictures: Floats, state: RunState
) -> LatentDistribution:
    """Turn pictures, (images, 3, height, width) in -1..1, into the distributions of latents.

    Raises `UnsupportedError` for a model without the encoder.
    """
    manifest = networks.artifact.manifest
    if "vae_encoder" not in manifest.graphs:
        raise UnsupportedError(f"{manifest.name!r} has no vae_encoder")
    latent = manifest.latent
    vae = TiledVae(networks, state, "vae_encoder", "sample", "latent_parameters", latent.downscale)
    parameters = vae.run(pictures, ["image"] * len(pictures))
    state.timings.vae_encoder_s += vae.watch.seconds
    return LatentDistribution.from_parameters(np.stack(parameters), latent.scale)


def decode_latents(networks: LoadedNetworks, latents: Latents, state: RunState) -> list[Floats]:
    """Turn latents into pictures, (3, height, width) in -1..1, by the decoder of `state`.

    One by one: memory does not grow with their number.
    """
    scale = networks.artifact.manifest.latent.scale
    vae = TiledVae(networks, state, state.decoder, "latent_sample", "sample", pixels_per_latent=1)
    places = [f"image {number} of {len(latents)}" for number in range(1, len(latents) + 1)]
    pictures = vae.run(latents / np.float32(scale), places)
    state.timings.vae_decoder_s += vae.watch.seconds
    return pictures


@dataclass
class TiledVae:
    """The VAE's encoder or a decoder, during one run.

    It works on whole pictures, or in tiles that know the statistics of the whole.
    """

    networks: LoadedNetworks
    state: RunState
    name: str
    input: str
    """Name of the network's input."""
    output: str
    """Name of the network's output."""
    pixels_per_latent: int
    """How many values of the input there are for each latent, along a side."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    """Measures the computation, without loading."""

    def run(self, images: Array, places: Sequence[str]) -> list[Array]:
        """The network's output for each of the images, (images, channels, h, w), one by one.

        `places` name each image in errors.
        """
        height, width = self._latent_size(images)
        tiling = self.state.tiling_of(height, width)
        contexts = self._contexts(images, places, tiling)
        size = tiling.size(height, width)
        graph = self._open(images, size, "consumer" if contexts[0] else None, contexts[0])
        outputs = []
        with self.watch:
            for image, place, context in zip(images, places, contexts, strict=True):

                def compute(tile: Array, context: Context = context) -> Array:
                    feeds = {self.input: tile, **context}
                    return graph.run(feeds, self.state.cancellation)[self.output]

                with self.state.at(place):
                    outputs.append(in_tiles(compute, image[None], tiling, height, width)[0])
        graph.record()
        return outputs

    def _contexts(self, images: Array, places: Sequence[str], tiling: Tiling) -> list[Context]:
        """Statistics of each whole image for its tiles, from a form of the network of its own."""
        height, width = self._latent_size(images)
        is_whole = tiling.is_whole(height, width)
        names = () if is_whole else self.networks.context(self.name, self.state)
        if not names:
            return [{} for _ in images]
        graph = self._open(images, tiling.copies(height, width)[0], "source")

        def look(copy: Array) -> Context:
            outputs = graph.run({self.input: copy}, self.state.cancellation)
            return {name: outputs[name] for name in names}

        contexts = []
        with self.watch:
            for image, place in zip(images, places, strict=True):
                with self.state.at(place):
                    contexts.append(whole_context(look, image[None], tiling, height, width))
        return contexts

    def _latent_size(self, images: Array) -> tuple[int, int]:
        height, width = (side // self.pixels_per_latent for side in images.shape[2:])
        return height, width

    def _open(
        self,
        images: Array,
        size: tuple[int, int],
        role: ContextRole | None,
        context: Context | None = None,
    ) -> GuardedGraph:
        """The network compiled for tiles of so many latents, (height, width)."""
        shape = (1, images.shape[1], *(side * self.pixels_per_latent for side in size))
        shapes = {name: array.shape for name, array in (context or {}).items()}
        return GuardedGraph(
            self.networks, self.name, {self.input: shape, **shapes}, self.state, role
        )
