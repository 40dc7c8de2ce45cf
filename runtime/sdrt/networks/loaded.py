"""Compiled networks of a model: loaded at their first use, kept in memory or released after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sdrt import machine
from sdrt.adapters.active import ActiveAdapters
from sdrt.artifact.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET
from sdrt.backends.backend import Backend
from sdrt.backends.feature_cut import FeatureCut
from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.backends.tile_context import ContextRole
from sdrt.networks.known_controlnets import KnownControlNets
from sdrt.networks.run_state import RunState, Stopwatch

UNET, SHALLOW_UNET = "unet", "unet_shallow"
SOURCES = {SHALLOW_UNET: UNET}
"""Networks that are made of the files of another one, and are released with it."""


@dataclass(frozen=True)
class Controlled:
    """A U-Net that takes residuals, and may be cut besides."""

    residuals: tuple[str, ...]
    cut: FeatureCut | None = None


Form = ContextRole | FeatureCut | Controlled
"""What a network is opened for besides its own inputs and outputs."""


@dataclass(frozen=True)
class _Compiled:
    """A network in memory, and what it was compiled for."""

    graph: Graph
    backend: Backend
    form: Form | None

    def is_for(self, backend: Backend, form: Form | None) -> bool:
        return self.backend is backend and self.form == form


class LoadedNetworks:
    """The networks of an artifact by name, as far as they are in memory."""

    def __init__(
        self,
        artifact: Artifact,
        backend: Backend,
        keep: frozenset[str],
        retry_precision: bool,
        adapters: ActiveAdapters,
    ) -> None:
        self.artifact, self.backend, self.keep = artifact, backend, keep
        self.retry_precision = retry_precision
        self.controlnets = KnownControlNets(artifact)
        self._adapters = adapters
        self._compiled: dict[str, _Compiled] = {}

    @property
    def loaded(self) -> frozenset[str]:
        """Names of the networks that are in memory."""
        return frozenset(self._compiled)

    def graph(self, name: str, shapes: Shapes, state: RunState, form: Form | None = None) -> Graph:
        """A network ready for these input shapes: from memory, or loaded and compiled now.

        In a form it gives its tile context or deep features, or takes those of another form.
        """
        with Stopwatch() as watch:
            backend = self.backend_of(name, state)
            if name in self._compiled and not self._compiled[name].is_for(backend, form):
                self.release(name)
            if name not in self._compiled:
                self._compiled[name] = self._open(name, backend, form)
            graph = self._compiled[name].graph
            graph.prepare(shapes)
        load_s = state.timings.load_s
        load_s[name] = load_s.get(name, 0.0) + watch.seconds
        return graph

    def context(self, name: str, state: RunState) -> tuple[str, ...]:
        """Names of the statistics of the whole picture that tiles through a network take."""
        backend = self.backend_of(name, state)
        return backend.context(self.artifact.network(name, backend.formats))

    def backend_of(self, name: str, state: RunState) -> Backend:
        """The backend that runs a network in this run: after NaN or infinity another one."""
        return state.fallbacks.get(name, self.backend)

    @contextmanager
    def using(self, *names: str, state: RunState | None = None) -> Iterator[None]:
        """Release these networks after the block, unless they are to be kept in memory."""
        try:
            yield
        finally:
            for name in names:
                if not self.keeps(name) or (state and state.releases):
                    self.release(name)

    def keeps(self, name: str) -> bool:
        """Whether a network stays in memory after its use; ControlNets stay if U-Nets do."""
        return (UNET if name in self.controlnets else name) in self.keep

    def release(self, *names: str) -> None:
        """Free the memory of these networks, or of all; they load again when needed."""
        held = [
            name
            for name in self._compiled
            if not names or not {name, SOURCES.get(name)}.isdisjoint(names)
        ]
        for name in held:
            del self._compiled[name]
        if held:
            machine.give_back_freed_blocks()

    def _open(self, name: str, backend: Backend, form: Form | None) -> _Compiled:
        network = self._network(name, backend)
        if isinstance(form, FeatureCut):
            network = replace(network, cut=form)
        elif isinstance(form, Controlled):
            network = replace(network, cut=form.cut, residuals=form.residuals)
        elif form:
            network = network.in_role(form, backend.context(network))
        return _Compiled(backend.open(network), backend, form)

    def _network(self, name: str, backend: Backend) -> Network:
        if name in self.controlnets:
            network = self.controlnets[name].network(CONTROLNET, backend.formats)
            return replace(network, name=name)
        source = SOURCES.get(name, name)
        network = self.artifact.network(source, backend.formats)
        return replace(network, name=name, weight_patches=self._adapters.weight_patches(source))
