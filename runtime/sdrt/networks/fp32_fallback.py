"""A network during one run: what gives NaN or infinity in bf16 is run again in fp32."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdrt.arrays import Array
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.graph import Shapes, check_shapes, first_nonfinite
from sdrt.backends.tile_context import Role
from sdrt.errors import NonFiniteError
from sdrt.networks.run_state import RunState

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline


class GuardedGraph:
    """Runs like the graph that it stands for.

    What failed once will fail again: from then on the network runs in fp32 until the run ends. The
    next run begins as it was asked to, so that a picture does not depend on those before it.
    """

    def __init__(
        self,
        pipeline: "Pipeline",
        name: str,
        shapes: Shapes,
        state: RunState,
        role: Role | None = None,
    ) -> None:
        self._pipeline, self._job, self._role = pipeline, state, role
        self._graph = pipeline.graph(name, shapes, state, role)
        self.network = self._graph.network
        check_shapes(self.network, shapes)

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once, or twice if need be; raises what `Graph.run` raises."""
        try:
            return self._graph.run(feeds, cancellation)
        except NonFiniteError as error:
            wider = self._pipeline.backend_of(self.network.name, self._job).in_fp32(self.network)
            if wider is None or first_nonfinite(feeds):
                raise
            if not self._pipeline.retry_precision:
                raise NonFiniteError(
                    f"{error}, or --precision fp32, or --retry-precision"
                ) from error
        # Outside of the handler, because an error holds on to the graph that raised it: a large
        # network would be in memory twice.
        narrow = self._graph.executed().precision
        del self._graph
        self._job.fall_back(self.network.name, wider, narrow)
        shapes = {name: array.shape for name, array in feeds.items()}
        self._graph = self._pipeline.graph(self.network.name, shapes, self._job, self._role)
        try:
            return self._graph.run(feeds, cancellation)
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}; it gave them in {narrow} before") from error

    def record(self) -> None:
        """Keep what the network executed; to be called before it is released."""
        self._job.record(self._graph)
