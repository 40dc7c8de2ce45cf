"""What runs graphs: the seam of one method, and the choice of an engine behind it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sdrt.backends.context import Role
from sdrt.backends.executed import Executed
from sdrt.backends.native import Native, native_feeds
from sdrt.errors import (
    ArtifactError,
    MissingExtraError,
    NonFiniteError,
    UnsupportedError,
    UsageError,
)
from sdrt.machine import has_int8, usable_cores
from sdrt.manifest import PRECISIONS, Format, GraphSpec, Precision, Storage, TensorSpec
from sdrt.stop import Stop

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]
Changes = Mapping[str, Callable[[Array], Array]]
"""By a layer's name, what makes its new weight of that in the file: both in fp32, as (out, in) or
(out, in, height, width). A table of tokens, (tokens, width), may grow."""

BACKENDS = ("openvino", "onnxruntime")  # fastest first


@dataclass(frozen=True)
class Network:
    """A network's files, checked and ready for an engine."""

    name: str
    spec: GraphSpec
    files: tuple[Path, ...]
    """The one to open, then its weights."""
    stored: Storage
    changes: Changes = field(default_factory=dict)
    """What the weights in the files become when an engine opens them."""
    native: Native = field(default_factory=dict)
    """Inputs that the files take otherwise than `spec` says, which is how they are given."""
    gives: tuple[str, ...] = ()
    """Of `sdrt.backends.context`: what it gives of it beside its outputs,"""
    takes: tuple[str, ...] = ()
    """and what it takes of it beside its inputs."""

    @property
    def outputs(self) -> list[str]:
        """Names of all that it gives."""
        return [*(spec.name for spec in self.spec.outputs), *self.gives]

    def in_role(self, role: Role, names: tuple[str, ...]) -> "Network":
        """The network that gives these names of its context, or takes them."""
        return replace(self, gives=names) if role == "gives" else replace(self, takes=names)


class Graph(ABC):
    """One compiled network: numpy arrays by name in, numpy arrays by name out."""

    warnings: tuple[str, ...] = ()
    """What whoever runs it should know: that it is not executed as it was asked, and why."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.network.name

    def run(self, feeds: Mapping[str, Array], stop: Stop | None = None) -> dict[str, Array]:
        """Run once, after names, dtypes and shapes were checked.

        Raises `ValueError` for feeds that do not fit, `NonFiniteError` for NaN or infinity in the
        result, `CancelledError` when `stop` is asked from another thread: the run then ends inside
        the network.
        """
        check_feeds(self.network, feeds)
        stop = stop or Stop()
        stop.check()
        outputs = self._execute(native_feeds(feeds, self.network.native), stop)
        if name := first_nonfinite(outputs):
            raise NonFiniteError(self._finding(name, outputs[name], first_nonfinite(feeds)))
        return outputs

    def _finding(self, name: str, values: Array, given: str | None) -> str:
        count = values.size - int(np.isfinite(values).sum())
        finding = (
            f"{self.name} gave NaN or infinity in {name!r} ({count} of {values.size} values), "
            f"executed in {self.executed().precision}"
        )
        if given:
            return f"{finding}; it was given them in {given!r}, so look before it"
        return f"{finding}; check the model with: sdrt verify, and try another backend"

    def prepare(self, shapes: Shapes) -> None:  # noqa: B027 - most engines need no preparation
        """Compile for these input shapes now, so that the first run need not."""

    @abstractmethod
    def _execute(self, feeds: Mapping[str, Array], stop: Stop) -> dict[str, Array]: ...

    @abstractmethod
    def executed(self) -> Executed:
        """What the engine ran the last time, at next to no cost.

        Raises `ValueError` before the first run.
        """

    @abstractmethod
    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run with the engine's clocks on: what it executes, with times.

        Opens the network a second time, which takes its time and memory once more.
        """


class Backend(Protocol):
    """An engine with its settings."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats it opens, best first."""
        ...

    @property
    def threads(self) -> int:
        """Threads that one run uses."""
        ...

    @property
    def precision(self) -> Precision | None:
        """What the caller asked for; None leaves it to the artifact and the engine."""
        ...

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that it finds on this machine."""
        ...

    def in_fp32(self, network: Network) -> "Backend | None":
        """The same engine asked for fp32; None where the network's floats ran in that already."""
        ...

    def layers(self, network: Network) -> Shapes:
        """Layers whose weights can be changed, by name, with shapes as `Changes` has them.

        Loads no weights. Raises `ArtifactError` for a graph that does not name its layers.
        """
        ...

    def context(self, network: Network) -> tuple[str, ...]:
        """Names of what it can give or take of `sdrt.backends.context`; loads no weights."""
        ...

    def open(self, network: Network) -> Graph:
        """Load one network; raises `ArtifactError` when the engine refuses the file."""
        ...


def first_nonfinite(arrays: Mapping[str, Array]) -> str | None:
    """Name of the first array with NaN or infinity in it, if there is any."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def check_feeds(network: Network, feeds: Mapping[str, Array]) -> None:
    """Raise `ValueError` unless the arrays fit the graph; equal names mean equal sizes."""
    graph, inputs = network.name, network.spec.inputs
    expected = {*(spec.name for spec in inputs), *network.takes}
    if set(feeds) != expected:
        raise ValueError(f"{graph} takes {sorted(expected)}, got {sorted(feeds)}")
    sizes: dict[str, int] = {}
    for spec in inputs:
        array = feeds[spec.name]
        if array.dtype != np.dtype(spec.dtype):
            raise ValueError(f"{graph}: {spec.name} is {array.dtype}, expected {spec.dtype}")
        if not _fits(array.shape, spec, sizes):
            raise ValueError(f"{graph}: {spec.name} has shape {array.shape}, expected {spec.shape}")


def check_shapes(network: Network, shapes: Shapes) -> None:
    """Raise `ArtifactError` for a network that does not take what a pipeline will give it."""
    sizes: dict[str, int] = {}
    for spec in network.spec.inputs:
        if spec.name not in shapes or not _fits(shapes[spec.name], spec, sizes):
            found = shapes.get(spec.name, "missing")
            raise ArtifactError(
                f"{network.name} takes {spec.name} as {spec.shape} in the manifest, and here it "
                f"is {found}; export the model again"
            )


def _fits(shape: tuple[int, ...], spec: TensorSpec, sizes: dict[str, int]) -> bool:
    return len(shape) == len(spec.shape) and all(
        size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
        for size, want in zip(shape, spec.shape, strict=True)
    )


def open_backend(
    name: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
) -> Backend:
    """Choose an engine: the fastest that is installed, unless `name` says which.

    `device` is an engine's own name ("CPU", "GPU"); `threads` defaults to the processors this
    process may use. `precision` is what the engine is asked to execute, not what is stored.
    """
    if name is not None and name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; expected at least 1")
    if precision == "int8" and device in (None, "CPU") and not has_int8():
        raise UnsupportedError(
            "this processor has no integer arithmetic for networks (AVX512-VNNI, AVX-VNNI or "
            "AMX-INT8); use a model in fp32 or bf16"
        )
    chosen = name or next(iter(usable_backends()), None)
    if chosen is None or not is_installed(chosen):
        raise MissingExtraError(
            chosen or "a backend", "openvino" if chosen == "openvino" else "all"
        )
    if chosen == "openvino":
        from sdrt.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(device or "CPU", threads or usable_cores(), precision)
    if device not in (None, "CPU"):
        raise UnsupportedError(f"onnxruntime runs on CPU here, not on {device!r}; use openvino")
    from sdrt.backends.ort import OrtBackend

    return OrtBackend(threads or usable_cores(), precision)


def usable_backends() -> list[str]:
    """Names of the installed engines, fastest first."""
    return [name for name in BACKENDS if is_installed(name)]


def is_installed(backend: str) -> bool:
    """Whether the engine's package can be found; does not import it."""
    return find_spec(backend) is not None
