"""The nodes of an ONNX file, and what depends on what."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sdrt.backends.onnxruntime.onnx_file import GRAPH, INPUT, KIND, NODE, OUTPUT, Reader, Span


@dataclass(frozen=True)
class Node:
    """A node by the names of its tensors."""

    span: Span
    """Where it is in the file."""
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """Its first output."""
        return self.outputs[0] if self.outputs else ""


def read_nodes(reader: Reader) -> list[Node]:
    """All nodes in the order of the file, in which each stands behind those that it reads."""
    (graph,) = reader.parts(reader.whole, GRAPH)
    return [_read(reader, span) for span in reader.parts(graph, NODE)]


def readers_of(tensors: Iterable[str], nodes: Sequence[Node]) -> set[str]:
    """Names of these tensors and of all that are computed from them."""
    names = set(tensors)
    for node in nodes:
        if not names.isdisjoint(node.inputs):
            names.update(filter(None, node.outputs))  # an optional output may have no name
    return names


def needed_for(outputs: Iterable[str], given: Collection[str], nodes: Sequence[Node]) -> set[Node]:
    """The nodes that compute these tensors where the tensors `given` are known already."""
    wanted, needed = set(outputs), set()
    for node in reversed(nodes):
        if not wanted.difference(given).isdisjoint(node.outputs):
            needed.add(node)
            wanted.update(filter(None, node.inputs))  # nor an optional input
    return needed


def _read(reader: Reader, span: Span) -> Node:
    (kind,) = reader.texts(span, KIND)
    return Node(span, kind, tuple(reader.texts(span, INPUT)), tuple(reader.texts(span, OUTPUT)))
