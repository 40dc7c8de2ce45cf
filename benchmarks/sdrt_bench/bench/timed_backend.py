"""An engine that takes the time of its networks' runs, and is otherwise the engine itself.

A run costs two readings of the clock and an addition, less than a microsecond in all: see
`tests/benchmarks/bench/test_clocked.py`, which counts them.
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
class Clocks:
    """What all networks of an engine took, seconds by name."""

    seconds: dict[str, float] = field(default_factory=dict)
    watched: dict[str, Graph] = field(default_factory=dict)
    """The networks that were opened last, of those whose names are listed here."""


@dataclass(frozen=True)
class ClockedBackend:
    """Opens networks of another backend with a clock around each run."""

    inner: Backend
    clocks: Clocks = field(default_factory=Clocks)
    watch: str = "unet"
    """The network that is kept in `clocks.watched`; others may leave the memory."""
    clock: Callable[[], float] = time.perf_counter

    @property
    def name(self) -> str:
        """Of the engine."""
        return self.inner.name

    @property
    def formats(self) -> tuple[Format, ...]:
        """Of the engine."""
        return self.inner.formats

    @property
    def threads(self) -> int:
        """Of the engine."""
        return self.inner.threads

    @property
    def precision(self) -> Precision | None:
        """Asked for."""
        return self.inner.precision

    @property
    def devices(self) -> tuple[str, ...]:
        """Of the engine."""
        return self.inner.devices

    def in_fp32(self, network: Network) -> "ClockedBackend | None":
        """The engine in fp32, on the same clocks."""
        wider = self.inner.in_fp32(network)
        return None if wider is None else replace(self, inner=wider)

    def layers(self, network: Network) -> Shapes:
        """Of the engine."""
        return self.inner.layers(network)

    def context(self, network: Network) -> tuple[str, ...]:
        """Of the engine."""
        return self.inner.context(network)

    def open(self, network: Network) -> Graph:
        """Open a network."""
        graph = ClockedGraph(self.inner.open(network), self.clocks, self.clock)
        if network.name == self.watch:
            self.clocks.watched[network.name] = graph
        return graph


class ClockedGraph(Graph):
    """Runs like the graph inside."""

    def __init__(self, inner: Graph, clocks: Clocks, clock: Callable[[], float]) -> None:
        super().__init__(inner.network)
        self._inner, self._seconds, self._clock = inner, clocks.seconds, clock
        self.warnings = inner.warnings

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once; the clock stands still where that fails."""
        started = self._clock()
        outputs = self._inner.run(feeds, cancellation)
        self._seconds[self.name] = self._seconds.get(self.name, 0.0) + self._clock() - started
        return outputs

    def prepare(self, shapes: Shapes) -> None:
        """Compile."""
        self._inner.prepare(shapes)

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        return self.run(feeds, cancellation)

    def executed(self) -> Executed:
        """What the engine ran."""
        return self._inner.executed()

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run with the engine's own clocks."""
        return self._inner.profile(feeds)
