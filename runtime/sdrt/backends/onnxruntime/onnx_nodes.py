"""The nodes of an ONNX file, and what depends on what."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sdrt.backends.feature_cut import SAMPLE
from sdrt.backends.onnxruntime.onnx_file import GRAPH, INPUT, KIND, NODE, OUTPUT, Reader, Span

CHANNELS = 1  # the axis along which features are joined


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
    """All nodes in the order of the file.

    In int8 a node may stand before one that it reads: layers share what rounds their input.
    """
    (graph,) = reader.parts(reader.whole, GRAPH)
    return [_read(reader, span) for span in reader.parts(graph, NODE)]


def readers_of(tensors: Iterable[str], nodes: Sequence[Node]) -> set[str]:
    """Names of these tensors and of all that are computed from them."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    names, waiting = set(tensors), list(tensors)
    while waiting:
        for node in readers.get(waiting.pop(), []):
            # An optional output may have no name.
            new = [name for name in node.outputs if name and name not in names]
            names.update(new)
            waiting += new
    return names


def needed_for(outputs: Iterable[str], given: Collection[str], nodes: Sequence[Node]) -> set[Node]:
    """The nodes that compute these tensors where the tensors `given` are known already."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    needed: set[Node] = set()
    waiting = [name for name in outputs if name not in given]
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is not None and maker not in needed:
            needed.add(maker)
            waiting += [name for name in maker.inputs if name not in given]
    return needed


def skip_joins(reader: Reader, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that join deep features, the first input, with those of a skip connection.

    They come from the network's output to its inputs.
    """
    sample = readers_of([SAMPLE], nodes)
    return [
        node
        for node in reversed(nodes)
        if node.kind == "Concat"
        and len(node.inputs) == 2
        and sample.issuperset(node.inputs)
        and reader.integer(node.span, "axis") == CHANNELS
    ]


def _read(reader: Reader, span: Span) -> Node:
    (kind,) = reader.texts(span, KIND)
    return Node(span, kind, tuple(reader.texts(span, INPUT)), tuple(reader.texts(span, OUTPUT)))
