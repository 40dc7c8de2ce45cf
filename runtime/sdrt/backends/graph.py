"""A compiled network: numpy arrays by name in, numpy arrays by name out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.executed import Executed
from sdrt.backends.feature_cut import FEATURES, FeatureCut
from sdrt.backends.input_casts import InputCasts, cast_feeds
from sdrt.backends.tile_context import ContextRole
from sdrt.errors import ArtifactError, NonFiniteError
from sdrt.manifest import GraphSpec, Storage, TensorSpec

Shapes = Mapping[str, tuple[int, ...]]
WeightPatches = Mapping[str, Callable[[Array], Array]]
"""Functions from a layer's stored weight to its new one, by the layer's name.

Both are in fp32, as (out, in) or (out, in, height, width). A table of tokens, (tokens, width), may
get further rows.
"""


@dataclass(frozen=True)
class Network:
    """A network's files, checked and ready for an engine."""

    name: str
    spec: GraphSpec
    files: tuple[Path, ...]
    """The file to open, then the files of its weights."""
    stored: Storage
    """How its weights are stored."""
    weight_patches: WeightPatches = field(default_factory=dict)
    """Changes of the stored weights, applied when an engine opens the network."""
    input_casts: InputCasts = field(default_factory=dict)
    """Inputs that the files declare in another form than `spec`, which is that of all feeds."""
    context_outputs: tuple[str, ...] = ()
    """Tensors of its context that it has as outputs besides those of `spec`.

    See `sdrt.backends.tile_context`.
    """
    context_inputs: tuple[str, ...] = ()
    """Tensors of another network's context that it takes as inputs besides those of `spec`."""
    cut: FeatureCut | None = None
    """Where it gives its deep features as an output besides those of `spec`, or takes them."""
    residuals: tuple[str, ...] = ()
    """Names of tensors to be added to its skip connections, from its first layer on, and to its
    middle block, which it takes as inputs besides those of `spec` (`sdrt.backends.residuals`)."""

    @property
    def outputs(self) -> list[str]:
        """Names of all outputs: those of `spec`, then context and deep features."""
        features = [FEATURES] if self.cut and self.cut.form == "whole" else []
        return [*(spec.name for spec in self.spec.outputs), *self.context_outputs, *features]

    @property
    def inputs(self) -> set[str]:
        """Names of all inputs: those of `spec`, context, deep features and residuals."""
        return {*(spec.name for spec in self.spec.inputs), *self.context_inputs, *self.derived}

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the inputs whose shapes follow from those of the others."""
        return (*((FEATURES,) if self.is_shallow else ()), *self.residuals)

    def shapes_of(self, feeds: "Mapping[str, Array]") -> Shapes:
        """The shapes that it is compiled for: those of all inputs but the derived."""
        return {name: array.shape for name, array in feeds.items() if name not in self.derived}

    @property
    def is_shallow(self) -> bool:
        """Whether it takes deep features in place of the layers that compute them."""
        return self.cut is not None and self.cut.form == "shallow"

    def in_role(self, role: ContextRole, names: tuple[str, ...]) -> "Network":
        """The same network with these tensors of a context as outputs, or as inputs."""
        if role == "source":
            return replace(self, context_outputs=names)
        return replace(self, context_inputs=names)


class Graph(ABC):
    """One compiled network: numpy arrays by name in, numpy arrays by name out."""

    warnings: tuple[str, ...] = ()
    """Ways in which it is not executed as the caller asked, each with the reason."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.network.name

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once, after a check of names, dtypes and shapes.

        Raises `ValueError` for feeds that do not fit, `NonFiniteError` for NaN or infinity in the
        result, and `CancelledError` when `cancellation` is requested from another thread: the run
        then ends inside the network.
        """
        check_feeds(self.network, feeds)
        cancellation = cancellation or Cancellation()
        cancellation.check()
        outputs = self._execute(cast_feeds(feeds, self.network.input_casts), cancellation)
        if name := first_nonfinite(outputs):
            raise NonFiniteError(self._explain(name, outputs[name], first_nonfinite(feeds)))
        return outputs

    def _explain(self, output: str, values: Array, nonfinite_input: str | None) -> str:
        count = values.size - int(np.isfinite(values).sum())
        finding = (
            f"{self.name} gave NaN or infinity in {output!r} ({count} of {values.size} values), "
            f"executed in {self.executed().precision}"
        )
        if nonfinite_input:
            return f"{finding}; it was given them in {nonfinite_input!r}, so look before it"
        return f"{finding}; check the model with: sdrt verify, and try another backend"

    def prepare(self, shapes: Shapes) -> None:  # noqa: B027 - most engines need no preparation
        """Compile for these input shapes now, so that the first run does not have to."""

    @abstractmethod
    def _execute(
        self, feeds: Mapping[str, Array], cancellation: Cancellation
    ) -> dict[str, Array]: ...

    @abstractmethod
    def executed(self) -> Executed:
        """What the engine executed in the last run; costs almost nothing.

        Raises `ValueError` before the first run.
        """

    @abstractmethod
    def profile(self, feeds: Mapping[str, Array]) -> Executed:
        """Run once with the engine's profiling on: what it executes, with times.

        Opens the network a second time, which takes as much time and memory again.
        """


def first_nonfinite(arrays: Mapping[str, Array]) -> str | None:
    """Name of the first array with NaN or infinity in it, if there is any."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def check_feeds(network: Network, feeds: Mapping[str, Array]) -> None:
    """Raise `ValueError` unless the arrays fit the graph; equal names mean equal sizes."""
    graph, inputs = network.name, network.spec.inputs
    if set(feeds) != network.inputs:
        raise ValueError(f"{graph} takes {sorted(network.inputs)}, got {sorted(feeds)}")
    sizes: dict[str, int] = {}
    for spec in inputs:
        array = feeds[spec.name]
        if array.dtype != np.dtype(spec.dtype):
            raise ValueError(f"{graph}: {spec.name} is {array.dtype}, expected {spec.dtype}")
        if not _fits(array.shape, spec, sizes):
            raise ValueError(f"{graph}: {spec.name} has shape {array.shape}, expected {spec.shape}")


def check_shapes(network: Network, shapes: Shapes) -> None:
    """Raise `ArtifactError` for a network whose inputs are not those that a pipeline will feed."""
    sizes: dict[str, int] = {}
    for spec in network.spec.inputs:
        if spec.name not in shapes or not _fits(shapes[spec.name], spec, sizes):
            shape = shapes.get(spec.name, "missing")
            raise ArtifactError(
                f"{network.name} takes {spec.name} as {spec.shape} in the manifest, and here it "
                f"is {shape}; export the model again"
            )


def _fits(shape: tuple[int, ...], spec: TensorSpec, sizes: dict[str, int]) -> bool:
    return len(shape) == len(spec.shape) and all(
        size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
        for size, want in zip(shape, spec.shape, strict=True)
    )
