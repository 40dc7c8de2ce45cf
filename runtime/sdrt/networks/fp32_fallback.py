"""A network whose NaN or infinity in bf16 makes it run again in fp32."""

from collections.abc import Mapping

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.graph import Shapes, check_shapes, first_nonfinite
from sdrt.errors import NonFiniteError
from sdrt.networks.loaded import Form, LoadedNetworks
from sdrt.networks.run_state import RunState


class GuardedGraph:
    """Runs like the graph that it stands for.

    What failed once will fail again: from then on the network runs in fp32 until the run ends. The
    next run begins in the precision that was asked for, so that a picture does not depend on those
    before it.
    """

    def __init__(
        self,
        networks: LoadedNetworks,
        name: str,
        shapes: Shapes,
        state: RunState,
        form: Form | None = None,
    ) -> None:
        self._networks, self._state, self._form = networks, state, form
        self.has_run = False
        """Whether it ran at all, so that it can be recorded."""
        self._graph = networks.graph(name, shapes, state, form)
        self.network = self._graph.network
        check_shapes(self.network, shapes)

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once, or twice if need be; raises what `Graph.run` raises."""
        self.has_run = True
        try:
            return self._graph.run(feeds, cancellation)
        except NonFiniteError as error:
            name = self.network.name
            wider = self._networks.backend_of(name, self._state).in_fp32(self.network)
            if wider is None or first_nonfinite(feeds):
                raise
            if not self._networks.retry_precision:
                raise NonFiniteError(
                    f"{error}, or --precision fp32, or --retry-precision"
                ) from error
        # Outside of the handler, because an error holds on to the graph that raised it: a large
        # network would be in memory twice.
        narrow = self._graph.executed().precision
        del self._graph
        self._state.fall_back(self.network.name, wider, narrow)
        shapes = self.network.shapes_of(feeds)
        self._graph = self._networks.graph(self.network.name, shapes, self._state, self._form)
        try:
            return self._graph.run(feeds, cancellation)
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}; it gave them in {narrow} before") from error

    def record(self) -> None:
        """Keep what the network executed; call it before the network is released."""
        self._state.record(self._graph)
