"""State of one run: cancellation, timings, executed precision, warnings."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sdrt.backends.backend import Backend
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import NetworkRecord, Retry
from sdrt.backends.graph import Graph
from sdrt.errors import CancelledError, NonFiniteError
from sdrt.machine import has_int8
from sdrt.manifest import Storage
from sdrt.networks.tiling import Tiling
from sdrt.networks.unet import Evaluations


@dataclass
class Timings:
    """Seconds, by what they were spent on."""

    load_s: dict[str, float] = field(default_factory=dict)
    """Opening and compiling, per network; empty for what was in memory already."""
    text_encoder_s: float = 0.0
    vae_encoder_s: float = 0.0
    step_s: list[float] = field(default_factory=list)
    vae_decoder_s: float = 0.0


class Stopwatch:
    """Measures the seconds that its `with` blocks take together."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> "Stopwatch":
        self._started = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds += time.perf_counter() - self._started


@dataclass
class RunState:
    """What changes while a run goes on; handed to every network that works for the run."""

    cancellation: Cancellation = field(default_factory=Cancellation)
    timings: Timings = field(default_factory=Timings)
    evaluations: Evaluations = field(default_factory=Evaluations)
    """How often the U-Net was asked, and how much of it was computed."""
    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    """The stored and the executed precision of each network that ran."""
    warnings: list[str] = field(default_factory=list)
    tiles_vae: bool = False
    """Whether the VAE works in tiles."""
    decoder: str = "vae_decoder"
    """The network that decodes latents to pictures."""
    releases: bool = False
    """Whether every network is released after its use, also those to be kept."""
    place: str = ""
    """Where the run is, for messages: "step 3 of 20"."""
    fallbacks: dict[str, Backend] = field(default_factory=dict)
    """The fp32 backend of each network that gave NaN or infinity in its own precision."""
    _retries: dict[str, Retry] = field(default_factory=dict)

    def tiling_of(self, height: int, width: int) -> Tiling:
        """The tiles of a picture of so many latents: a single one unless the VAE works in tiles."""
        return Tiling.for_size(height, width) if self.tiles_vae else Tiling(tile=max(height, width))

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
        """Switch a network to another backend, after it failed in this precision."""
        self.fallbacks[name] = backend
        self._retries[name] = Retry(failed, self.place)
        self.networks.pop(name, None)
        self.warnings.append(
            f"{self.place}: {name} gave NaN or infinity in {failed} and went on in "
            f"{backend.precision}"
        )

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the result, each once."""
        self.warnings += [warning for warning in warnings if warning not in self.warnings]

    def record(self, graph: Graph) -> None:
        """Keep what a network executed; call it after the network ran and before its release."""
        self.warn(*graph.warnings)
        if graph.name not in self.networks:
            retried = self._retries.get(graph.name)
            self.networks[graph.name] = NetworkRecord.from_executed(
                graph.network.stored, graph.executed(), retried
            )

    def precision_warnings(self, backend: Backend, model: Storage) -> list[str]:
        """A warning for each precision that was executed and not asked for.

        An int8 model keeps some networks in float on purpose; those that it has in int8 have to be
        executed so even where nobody asks. Networks that fell back to fp32 have a warning already.
        """
        names: dict[tuple[str, str], list[str]] = {}
        for name, record in self.networks.items():
            wanted = backend.precision or (record.stored if record.stored == "int8" else None)
            is_known = record.retried or wanted == model == "int8" != record.stored
            if wanted not in (None, record.executed) and not is_known:
                names.setdefault((wanted, record.executed), []).append(name)
        warnings = [
            f"{backend.name} was asked for {wanted} and executed {executed}: {', '.join(networks)}"
            for (wanted, executed), networks in names.items()
        ]
        if not has_int8() and any(record.stored == "int8" for record in self.networks.values()):
            warnings.append(
                "this processor has no VNNI: int8 is slow here, and sums may overflow; better use "
                "the model in fp32"
            )
        return warnings
