"""Networks watched while a pipeline runs them: inner tensors, or inputs and outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdrt.arrays import Array
from sdrt.backends import Backend, Graph, Network, Shapes
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed
from sdrt.backends.onnxruntime.backend import OrtBackend
from sdrt.manifest import Format, Precision, TensorSpec
from sdrt_export.graphs.parity import ReferenceCase
from sdrt_export.quantization.observation import SEEN, SHAPE, Statistics


@dataclass(frozen=True)
class WatchedBackend:
    """An engine that opens each network through a function of the caller's."""

    engine: Backend
    """The engine that all else is asked of."""
    open_network: Callable[[Network], Graph]
    """Opens a network in place of the engine."""

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def formats(self) -> tuple[Format, ...]:
        """The engine's formats."""
        return self.engine.formats

    @property
    def threads(self) -> int:
        """The engine's threads."""
        return self.engine.threads

    @property
    def precision(self) -> Precision | None:
        """The precision that the engine is asked for."""
        return self.engine.precision

    @property
    def devices(self) -> tuple[str, ...]:
        """The engine's devices."""
        return self.engine.devices

    def in_fp32(self, network: Network) -> None:
        """Nothing: a network runs again in fp32 only to mend an image, which is of no use here."""

    def layers(self, network: Network) -> Shapes:
        """The engine's layers."""
        return self.engine.layers(network)

    def context(self, network: Network) -> tuple[str, ...]:
        """The engine's context."""
        return self.engine.context(network)

    def open(self, network: Network) -> Graph:
        """Open a network through the caller's function."""
        return self.open_network(network)


class Observer:
    """Statistics of tensors inside the networks, over all their runs."""

    def __init__(self, observed: Mapping[str, tuple[Path, list[str]]], threads: int) -> None:
        self._observed, self._engine = observed, OrtBackend(threads, in_order=True)
        self.statistics: dict[str, dict[str, Statistics]] = {}
        self.backend = WatchedBackend(self._engine, self._open)

    def _open(self, network: Network) -> Graph:
        """Open the graph with outputs for the observed tensors, in place of the network's own."""
        file, names = self._observed[network.name]
        added = [
            *(TensorSpec(name=f"{name}{SEEN}", dtype="float32", shape=("n",)) for name in names),
            *(TensorSpec(name=f"{name}{SHAPE}", dtype="int64", shape=("n",)) for name in names),
        ]
        spec = network.spec.model_copy(update={"outputs": (*network.spec.outputs, *added)})
        graph = self._engine.open(replace(network, spec=spec, files=(file, *network.files[1:])))
        known = self.statistics.setdefault(network.name, {})
        return WatchedGraph(graph, network, lambda _, outputs: _take_out(outputs, names, known))


@dataclass(frozen=True)
class Recorder:
    """Inputs and outputs of each network in each run."""

    threads: int
    """Threads of the engine."""
    cases: dict[str, list[ReferenceCase]] = field(default_factory=dict)
    """The runs of each network so far."""

    @property
    def backend(self) -> WatchedBackend:
        """The engine whose networks are recorded."""
        return WatchedBackend(OrtBackend(self.threads), self._open)

    def _open(self, network: Network) -> Graph:
        cases = self.cases.setdefault(network.name, [])

        def record(feeds: Mapping[str, Array], outputs: dict[str, Array]) -> None:
            cases.append(ReferenceCase(dict(feeds), outputs))

        return WatchedGraph(OrtBackend(self.threads).open(network), network, record)


class WatchedGraph(Graph):
    """A graph whose inputs and outputs are shown to a function after each run.

    The function may take outputs out that the network itself does not have.
    """

    def __init__(
        self,
        graph: Graph,
        network: Network,
        watch: Callable[[Mapping[str, Array], dict[str, Array]], None],
    ) -> None:
        super().__init__(network)
        self._graph, self._watch = graph, watch
        self.warnings = graph.warnings

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        outputs = self._graph.run(feeds, cancellation)
        self._watch(feeds, outputs)
        return outputs

    def executed(self) -> Executed:
        """What the engine ran."""
        return self._graph.executed()

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run with the engine's clocks."""
        return self._graph.profile(feeds)


def _take_out(
    outputs: dict[str, Array], names: Sequence[str], known: dict[str, Statistics]
) -> None:
    """Move what a run showed of the observed tensors from its outputs to the statistics."""
    for name in names:
        shape = outputs.pop(f"{name}{SHAPE}").tolist()
        statistics = Statistics.from_samples(outputs.pop(f"{name}{SEEN}"), shape)
        known[name] = known[name].add(statistics) if name in known else statistics
