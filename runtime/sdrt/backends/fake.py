"""An engine made of a Python function: for tests of sdrt, and of programs that use it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sdrt.backends import Array, Executed, Graph, Network
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

    @property
    def precision(self) -> str:
        """Whatever the function does."""
        return "python"

    def executed(self) -> Executed:
        """Nothing but Python."""
        return Executed(self.precision)
