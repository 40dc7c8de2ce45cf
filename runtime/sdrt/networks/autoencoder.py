"""The autoencoder's halves at work: a picture in one piece, or in tiles that know of the whole."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Array, Floats, Latents
from sdrt.backends.tile_context import Context, Role
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.run_state import RunState
from sdrt.networks.tiling import Tiling, in_tiles, seen_of

Decoded = npt.NDArray[np.float32]  # (3, height, width) in -1..1, of several (images, 3, ...)

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline


@dataclass
class TiledVae:
    """The encoder or a decoder, in one job."""

    pipeline: "Pipeline"
    state: RunState
    name: str
    taken: str
    """Name of its input,"""
    made: str
    """and of its output."""
    scale: int
    """Values of its input for each latent, along a side."""
    seconds: float = 0.0
    """Spent on computing, without loading."""

    def run(self, images: Array, places: Sequence[str]) -> list[Array]:
        """What it makes of each of the images, (images, channels, h, w), one by one.

        `places` say where an error was.
        """
        height, width = (side // self.scale for side in images.shape[2:])
        tiling = self.state.tiling_of(height, width)
        contexts = self._contexts(images, places, tiling)
        size = tiling.size(height, width)
        graph = self._open(images, size, "takes" if contexts[0] else None, contexts[0])
        found, started = [], time.perf_counter()
        for image, place, context in zip(images, places, contexts, strict=True):

            def compute(tile: Array, context: Context = context) -> Array:
                return graph.run({self.taken: tile, **context}, self.state.cancellation)[self.made]

            with self.state.at(place):
                found.append(in_tiles(compute, image[None], tiling, height, width)[0])
        self.seconds += time.perf_counter() - started
        graph.record()
        return found

    def _contexts(self, images: Array, places: Sequence[str], tiling: Tiling) -> list[Context]:
        """What tiles have to be told of each image; all at first, by a network of its own."""
        height, width = (side // self.scale for side in images.shape[2:])
        is_whole = tiling.is_whole(height, width)
        names = () if is_whole else self.pipeline.context(self.name, self.state)
        if not names:
            return [{} for _ in images]
        graph = self._open(images, tiling.copies(height, width)[0], "gives")

        def look(copy: Array) -> Context:
            made = graph.run({self.taken: copy}, self.state.cancellation)
            return {name: made[name] for name in names}

        found, started = [], time.perf_counter()
        for image, place in zip(images, places, strict=True):
            with self.state.at(place):
                found.append(seen_of(look, image[None], tiling, height, width))
        self.seconds += time.perf_counter() - started
        return found

    def _open(
        self,
        images: Array,
        size: tuple[int, int],
        role: Role | None,
        context: Context | None = None,
    ) -> GuardedGraph:
        """Compiled for parts of the images with so many latents."""
        shape = (1, images.shape[1], *(side * self.scale for side in size))
        given = {name: array.shape for name, array in (context or {}).items()}
        return GuardedGraph(
            self.pipeline, self.name, {self.taken: shape, **given}, self.state, role
        )


@dataclass(frozen=True)
class LatentDistribution:
    """What a VAE's encoder says about a picture: a normal distribution of each latent.

    In the U-Net's space, (1, channels, h/8, w/8).
    """

    mean: Latents
    deviation: Latents

    @classmethod
    def of(cls, parameters: Floats, scale: float) -> "LatentDistribution":
        """Read mean and log variance off the encoder's channels; (1, 2 * channels, h/8, w/8)."""
        mean, log_variance = np.split(parameters, 2, axis=1)
        deviation = np.exp(np.float32(0.5) * log_variance.clip(-30, 20))
        return cls(mean * np.float32(scale), deviation * np.float32(scale))

    def sample(self, noise: Latents) -> Latents:
        """Draw from it, once for each image that there is noise for."""
        sampled: Latents = self.mean + self.deviation * noise
        return sampled
