"""What a run keeps while the pipeline works for it: its wish to stop, and what it found out."""

from dataclasses import dataclass, field

from sdrt.backends import Graph
from sdrt.record import NetworkRecord
from sdrt.result import Timings
from sdrt.stop import Stop


@dataclass
class Job:
    """Handed on to whatever works for one run."""

    stop: Stop = field(default_factory=Stop)
    timings: Timings = field(default_factory=Timings)
    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def record(self, graph: Graph) -> None:
        """Keep what a network executed: after it ran, and before it is released."""
        self.warnings += [one for one in graph.warnings if one not in self.warnings]
        if graph.name not in self.networks:
            self.networks[graph.name] = NetworkRecord.of(graph.network.stored, graph.executed())
