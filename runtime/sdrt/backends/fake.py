"""A fake engine around a Python function, for tests of sdrt and of programs that use it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed, executed_only
from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.errors import CancelledError
from sdrt.manifest import Format, Precision, Storage

Compute = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Fault:
    """A wrong result, such as a narrow precision gives when numbers overflow."""

    network: str
    call: int = 0
    """The number of the network's run, counted from 0; repeated runs count too."""
    value: float = np.nan
    """The value that replaces the right ones."""
    where: Any = ...
    """Index of the replaced values; by default all of them."""
    output: str | None = None
    """Name of the output; None for all outputs."""
    precisions: Sequence[str] = ("bf16", "int8")
    """The precisions in which it occurs; executed in others, the network is right."""


@dataclass
class FakeBackend:
    """Calls `compute(graph_name, feeds)` instead of an engine, and records the calls.

    Inputs are checked as for real engines, so a program that runs on the fake feeds real graphs
    correctly.
    """

    compute: Compute
    formats: tuple[Format, ...] = ("onnx", "openvino")
    name: str = "fake"
    threads: int = 1
    precision: Precision | None = None
    executes: Precision | None = None
    """The precision that it reports as executed, where that is not `precision`."""
    devices: tuple[str, ...] = ("CPU",)
    faults: Sequence[Fault] = ()
    opened: list[str] = field(default_factory=list)
    """Names of the networks that were opened, in order."""
    ran: list[str] = field(default_factory=list)
    """Names of the networks that ran, in order."""
    contexts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the context's tensors that `compute` handles, for each network."""

    def layers(self, network: Network) -> Shapes:
        """No layers: a function has no weights."""
        return {}

    def context(self, network: Network) -> tuple[str, ...]:
        """Those of `contexts`."""
        return self.contexts.get(network.name, ())

    def executed(self, network: Network) -> Storage:
        """The precision that a network is reported to run in."""
        return self.executes or self.precision or network.stored

    def in_fp32(self, network: Network) -> "FakeBackend | None":
        """A backend in fp32 that shares the lists `opened` and `ran`."""
        if self.executed(network) == "fp32":
            return None
        return replace(self, precision="fp32", executes=None)

    def open(self, network: Network) -> "FakeGraph":
        """Record that a network was opened; its files are not read."""
        self.opened.append(network.name)
        return FakeGraph(network, self)


class FakeGraph(Graph):
    """One fake network."""

    def __init__(self, network: Network, backend: FakeBackend) -> None:
        super().__init__(network)
        self._backend = backend

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        interrupted = threading.Event()
        call = self._backend.ran.count(self.name)
        self._backend.ran.append(self.name)
        with cancellation.interrupts(interrupted.set):
            outputs = dict(self._backend.compute(self.name, feeds))
        if interrupted.is_set():
            raise CancelledError(f"{self.name} was cancelled")
        for fault in self._backend.faults:
            if (fault.network, fault.call) == (self.name, call):
                outputs = self._damaged(outputs, fault)
        return outputs

    def _damaged(self, outputs: dict[str, Array], fault: Fault) -> dict[str, Array]:
        if self.executed().precision not in fault.precisions:
            return outputs
        outputs = {name: array.copy() for name, array in outputs.items()}
        for name in [fault.output] if fault.output else outputs:
            outputs[name][fault.where] = fault.value
        return outputs

    def executed(self) -> Executed:
        """A single precision, which has no effect on what is computed."""
        return executed_only(self._backend.executed(self.network))

    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Compute once; Python has no kernels whose time could be measured."""
        self._backend.compute(self.name, feeds)
        return self.executed()
