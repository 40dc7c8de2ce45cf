"""A backend that measures how long its networks run, and is otherwise the engine itself.

A run costs two readings of the clock and an addition, less than a microsecond in all, which
`tests/benchmarks/bench/test_timed_backend.py` counts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sdrt.arrays import Array
from sdrt.backends import Backend, Graph, Network, Shapes
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed
from sdrt.manifest import Format, Precision


@dataclass
class NetworkTimes:
    """The time that all runs of each network took, and networks that are kept open."""

    seconds: dict[str, float] = field(default_factory=dict)
    """All runs of a network took so long, by its name."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """These are the watched networks as they were opened last, by their names."""


@dataclass(frozen=True)
class TimedBackend:
    """Opens networks of another backend and measures the time of each run."""

    inner: Backend
    times: NetworkTimes = field(default_factory=NetworkTimes)
    watched: str = "unet"
    """This network is kept in `times.graphs`; others may leave the memory."""
    clock: Callable[[], float] = time.perf_counter

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self.inner.name

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats that the engine opens."""
        return self.inner.formats

    @property
    def threads(self) -> int:
        """Threads of the engine."""
        return self.inner.threads

    @property
    def precision(self) -> Precision | None:
        """The requested precision."""
        return self.inner.precision

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices of the engine."""
        return self.inner.devices

    def in_fp32(self, network: Network) -> "TimedBackend | None":
        """Give the engine in fp32, with the same times."""
        wider = self.inner.in_fp32(network)
        return None if wider is None else replace(self, inner=wider)

    def layers(self, network: Network) -> Shapes:
        """Give the layers whose weights the engine can change."""
        return self.inner.layers(network)

    def context(self, network: Network) -> tuple[str, ...]:
        """Give the layers whose context of the whole image the engine can take."""
        return self.inner.context(network)

    def open(self, network: Network) -> Graph:
        """Open a network."""
        graph = TimedGraph(self.inner.open(network), self.times, self.clock)
        if network.name == self.watched:
            self.times.graphs[network.name] = graph
        return graph


class TimedGraph(Graph):
    """Runs like the graph inside, and adds up the time."""

    def __init__(self, inner: Graph, times: NetworkTimes, clock: Callable[[], float]) -> None:
        super().__init__(inner.network)
        self._inner, self._seconds, self._clock = inner, times.seconds, clock
        self.warnings = inner.warnings

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once; a run that fails is not counted."""
        started = self._clock()
        outputs = self._inner.run(feeds, cancellation)
        self._seconds[self.name] = self._seconds.get(self.name, 0.0) + self._clock() - started
        return outputs

    def prepare(self, shapes: Shapes) -> None:
        """Compile the network for fixed shapes."""
        self._inner.prepare(shapes)

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        return self.run(feeds, cancellation)

    def executed(self) -> Executed:
        """Give the precision and kernels that the engine ran."""
        return self._inner.executed()

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run with the engine's own profiler."""
        return self._inner.profile(feeds)
