"""A cut through the deep features of a U-Net in an ONNX file; see `sdrt.backends.feature_cut`."""

from collections.abc import Collection, Iterator, Sequence

from sdrt.backends.feature_cut import FEATURES, checked_depth
from sdrt.backends.graph import Network
from sdrt.backends.onnxruntime.onnx_file import (
    GRAPH,
    GRAPH_INPUT,
    GRAPH_OUTPUT,
    INITIALIZER,
    NODE,
    TENSOR_NAME,
    Reader,
    floats,
    node,
    opened,
    rebuilt,
)
from sdrt.backends.onnxruntime.onnx_nodes import Node, needed_for, read_nodes, skip_joins


def with_cut(network: Network, reader: Reader) -> bytes:
    """The file's content in the form that the network's cut asks for.

    Raises `UnsupportedError` for a depth that it does not have.
    """
    assert network.cut
    nodes = read_nodes(reader)
    deep = _deep(network, reader, nodes)
    if network.cut.form == "whole":
        graph = _with_output(reader, deep)
    else:
        graph = _shallow(reader, deep, _needed(network, deep, nodes))
    return rebuilt(reader, b"".join(graph))


def tensors_of(network: Network) -> set[str]:
    """Names of the tensors that the nodes of a shallow form read, its weights among them."""
    with opened(network.files[0]) as reader:
        nodes = read_nodes(reader)
        return _read_by(_needed(network, _deep(network, reader, nodes), nodes))


def _with_output(reader: Reader, deep: str) -> Iterator[bytes]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    yield from (raw for _, _, raw in reader.fields(graph))
    yield node("Identity", [deep], FEATURES)
    yield floats(GRAPH_OUTPUT, FEATURES)


def _shallow(reader: Reader, deep: str, needed: Collection[Node]) -> Iterator[bytes]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    spans, read = {node.span for node in needed}, _read_by(needed)
    yield node("Identity", [FEATURES], deep)
    for field, content, raw in reader.fields(graph):
        is_left_out = (field == NODE and content not in spans) or (
            field == INITIALIZER and read.isdisjoint(reader.texts(content, TENSOR_NAME))
        )
        if not is_left_out:
            yield raw
    yield floats(GRAPH_INPUT, FEATURES)


def _needed(network: Network, deep: str, nodes: Sequence[Node]) -> set[Node]:
    return needed_for([spec.name for spec in network.spec.outputs], [deep], nodes)


def _read_by(nodes: Collection[Node]) -> set[str]:
    return {name for node in nodes for name in node.inputs}


def _deep(network: Network, reader: Reader, nodes: Sequence[Node]) -> str:
    """The tensor at the network's cut."""
    assert network.cut
    # The deep features at each skip connection, from the network's output to its inputs.
    skips = [join.inputs[0] for join in skip_joins(reader, nodes)]
    return skips[checked_depth(network.name, network.cut.depth, len(skips))]
