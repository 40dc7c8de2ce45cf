"""What a run keeps while the pipeline works for it: its wish to stop, and what it found out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sdrt.backends.backend import Backend
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import NetworkRecord, Retry
from sdrt.backends.graph import Graph
from sdrt.errors import CancelledError, NonFiniteError
from sdrt.networks.tiling import Tiling


@dataclass
class Timings:
    """Seconds, by what they were spent on."""

    load_s: dict[str, float] = field(default_factory=dict)
    """Opening and compiling, per network; empty for what was in memory already."""
    text_encoder_s: float = 0.0
    vae_encoder_s: float = 0.0
    step_s: list[float] = field(default_factory=list)
    vae_decoder_s: float = 0.0


@dataclass
class RunState:
    """Handed on to whatever works for one run."""

    cancellation: Cancellation = field(default_factory=Cancellation)
    timings: Timings = field(default_factory=Timings)
    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    tiles_vae: bool = False
    """Whether the VAE works in tiles."""
    decoder: str = "vae_decoder"
    """The network that makes pictures of latents."""
    releases: bool = False
    """Whether no network may stay in memory after its use."""
    place: str = ""
    """Where the run is: "step 3 of 20"."""
    fallbacks: dict[str, Backend] = field(default_factory=dict)
    """For networks that could not be executed as asked."""
    _retries: dict[str, Retry] = field(default_factory=dict)

    def tiling_of(self, height: int, width: int) -> Tiling:
        """How a picture of so many latents is cut: one tile of its own size if it is not to be."""
        return Tiling.of(height, width) if self.tiles_vae else Tiling(tile=max(height, width))

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Name the place in errors of networks that the block runs."""
        before, self.place = self.place, place
        try:
            yield
        except (NonFiniteError, CancelledError) as error:
            raise type(error)(f"{place}: {error}") from error
        finally:
            self.place = before

    def fall_back(self, name: str, backend: Backend, failed: str) -> None:
        """Go on with another backend for a network that failed in a precision just now."""
        self.fallbacks[name] = backend
        self._retries[name] = Retry(failed, self.place)
        self.networks.pop(name, None)
        self.warnings.append(
            f"{self.place}: {name} gave NaN or infinity in {failed} and went on in "
            f"{backend.precision}"
        )

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the result, each once."""
        self.warnings += [one for one in warnings if one not in self.warnings]

    def record(self, graph: Graph) -> None:
        """Keep what a network executed: after it ran, and before it is released."""
        self.warn(*graph.warnings)
        if graph.name not in self.networks:
            retried = self._retries.get(graph.name)
            self.networks[graph.name] = NetworkRecord.of(
                graph.network.stored, graph.executed(), retried
            )
