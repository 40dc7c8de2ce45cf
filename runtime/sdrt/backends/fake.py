"""An engine made of a Python function: for tests of sdrt, and of programs that use it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sdrt.backends import Array, Graph, Network
from sdrt.backends.executed import Executed, executed_only
from sdrt.errors import CancelledError
from sdrt.manifest import Format, Precision
from sdrt.stop import Stop

Compute = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]


@dataclass
class FakeBackend:
    """Calls `compute(graph_name, feeds)` instead of an engine, and keeps what it was asked.

    Inputs are checked as for real engines, so a program that runs on the fake feeds real graphs
    rightly.
    """

    compute: Compute
    formats: tuple[Format, ...] = ("onnx", "openvino")
    name: str = "fake"
    threads: int = 1
    precision: Precision | None = None
    executes: Precision | None = None
    """What it says that it executed, where that is not what it was asked."""
    devices: tuple[str, ...] = ("CPU",)
    opened: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def open(self, network: Network) -> "FakeGraph":
        """Note that a network was opened; its files are not read."""
        self.opened.append(network.name)
        return FakeGraph(network, self)


class FakeGraph(Graph):
    """One fake network."""

    def __init__(self, network: Network, backend: FakeBackend) -> None:
        super().__init__(network)
        self._backend = backend

    def _execute(self, feeds: Mapping[str, Array], stop: Stop) -> dict[str, Array]:
        interrupted = threading.Event()
        self._backend.ran.append(self.name)
        with stop.interrupts(interrupted.set):
            outputs = dict(self._backend.compute(self.name, feeds))
        if interrupted.is_set():
            raise CancelledError(f"{self.name} was cancelled")
        return outputs

    def executed(self) -> Executed:
        """What the backend was told to say, what it was asked, or else what is stored."""
        backend = self._backend
        return executed_only(backend.executes or backend.precision or self.network.stored)

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Compute once more; Python has no kernels whose time could be taken."""
        self._backend.compute(self.name, feeds)
        return self.executed()
