"""A compiled network: numpy arrays by name in, numpy arrays by name out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed
from sdrt.backends.input_casts import InputCasts, cast_feeds
from sdrt.backends.tile_context import Role
from sdrt.errors import (
    ArtifactError,
    NonFiniteError,
)
from sdrt.manifest import GraphSpec, Storage, TensorSpec

Shapes = Mapping[str, tuple[int, ...]]
Changes = Mapping[str, Callable[[Array], Array]]
"""By a layer's name, what makes its new weight of that in the file: both in fp32, as (out, in) or
(out, in, height, width). A table of tokens, (tokens, width), may grow."""


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
    native: InputCasts = field(default_factory=dict)
    """Inputs that the files take otherwise than `spec` says, which is how they are given."""
    gives: tuple[str, ...] = ()
    """Of `sdrt.backends.tile_context`: what it gives of it beside its outputs,"""
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

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once, after names, dtypes and shapes were checked.

        Raises `ValueError` for feeds that do not fit, `NonFiniteError` for NaN or infinity in the
        result, `CancelledError` when `stop` is asked from another thread: the run then ends inside
        the network.
        """
        check_feeds(self.network, feeds)
        cancellation = cancellation or Cancellation()
        cancellation.check()
        outputs = self._execute(cast_feeds(feeds, self.network.native), cancellation)
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
    def _execute(
        self, feeds: Mapping[str, Array], cancellation: Cancellation
    ) -> dict[str, Array]: ...

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
