"""The context of tiles in ONNX graphs: norms and attention get it as inputs, or as outputs give it.

See `sdrt.backends.tile_context`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdrt.backends.graph import Network
from sdrt.backends.onnxruntime.onnx_file import (
    FLOAT,
    GRAPH,
    GRAPH_INPUT,
    GRAPH_OUTPUT,
    INPUT,
    NODE,
    Reader,
    Span,
    floats,
    node,
    opened,
    part,
    rebuilt,
    row,
    scalar,
    text,
)
from sdrt.backends.onnxruntime.onnx_nodes import Node, read_nodes
from sdrt.backends.tile_context import KEY, MEAN, VALUE, VARIANCE, tensor_name

NORMS = ("GroupNormalization", "InstanceNormalization")
ATTENTION = ("MultiHeadAttention", "Attention")  # of com.microsoft, of ONNX
BETWEEN = ("Mul", "Div", "Cast")  # around the softmax of an attention made of single operations
EPSILON = 1e-5  # default of the norms' attribute


@dataclass(frozen=True)
class _Places:
    """The nodes of a graph that depend on all of its image, by their position in the file."""

    norms: dict[Span, tuple[Node, int]] = field(default_factory=dict)
    """The norms, each with its number among the places."""
    inputs: dict[Span, dict[int, str]] = field(default_factory=dict)
    """The names of keys and values, by the index of the attention's input that reads them."""
    names: list[str] = field(default_factory=list)
    """The names of all tensors of the context, in the order of the graph."""


def context_names(path: Path) -> tuple[str, ...]:
    """Names of the context's tensors in a file."""
    with opened(path) as reader:
        return tuple(_places(reader).names)


def with_context(network: Network) -> bytes:
    """The file's content, changed so that it has its context as outputs, or another's as inputs."""
    with opened(network.files[0]) as reader:
        changed = _with_outputs if network.context_outputs else _with_inputs
        return rebuilt(reader, b"".join(changed(reader, _places(reader))))


def _with_outputs(reader: Reader, places: _Places) -> Iterator[bytes]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    for number, content, raw in reader.fields(graph):
        yield raw
        if number != NODE:
            continue
        if content in places.norms:
            yield from _statistics(reader, *places.norms[content])
        for index, name in places.inputs.get(content, {}).items():
            yield node("Identity", [reader.texts(content, INPUT)[index]], name)
    yield from (floats(GRAPH_OUTPUT, name) for name in places.names)


def _with_inputs(reader: Reader, places: _Places) -> Iterator[bytes]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    for number, content, raw in reader.fields(graph):
        if number == NODE and content in places.norms:
            yield from _normalized(reader, *places.norms[content])
        elif number == NODE and content in places.inputs:
            yield _redirected(reader, content, places.inputs[content])
        else:
            yield raw
    yield from (floats(GRAPH_INPUT, name) for name in places.names)


def _statistics(reader: Reader, norm: Node, place: int) -> Iterator[bytes]:
    """Nodes that compute mean and variance of a norm's input."""

    def made(name: str) -> str:
        return tensor_name(place, name)

    groups = reader.integer(norm.span, "num_groups")
    yield row(made("rows"), [0, groups, 1, -1])
    yield row(made("columns"), [0, groups, -1, 1])
    yield row(made("axis"), [2])
    yield row(made("statistic"), [0, 0, 1])
    yield node("Reshape", [norm.inputs[0], made("rows")], made("row"))
    yield node("Reshape", [norm.inputs[0], made("columns")], made("column"))
    yield node("MatMul", [made("row"), made("column")], made("products"))
    yield node("Reshape", [made("products"), made("statistic")], made("product"))
    yield node("Shape", [made("column")], made("sizes"))
    yield node("Gather", [made("sizes"), made("axis")], made("size"))
    yield node("Cast", [made("size")], made("count"), to=FLOAT)
    yield node("Div", [made("product"), made("count")], made("squares"))
    yield node("GlobalAveragePool", [made("column")], made("means"))
    yield node("Reshape", [made("means"), made("statistic")], made(MEAN))
    yield node("Mul", [made(MEAN), made(MEAN)], made("squared_mean"))
    yield node("Sub", [made("squares"), made("squared_mean")], made(VARIANCE))


def _normalized(reader: Reader, norm: Node, place: int) -> Iterator[bytes]:
    """The norm with statistics from inputs: each channel times a number, plus a number."""
    data, weight, bias = norm.inputs

    def made(name: str) -> str:
        return tensor_name(place, name)

    # The channels of an instance norm are its groups, and have its weights and biases.
    groups = reader.integer(norm.span, "num_groups")
    yield row(made("groups"), [1, groups, -1] if groups else [1, -1, 1])
    yield row(made("channels"), [1, -1, 1])
    yield row(made("flat"), [0, 0, -1])
    yield scalar(made("epsilon"), reader.real(norm.span, "epsilon", EPSILON))
    yield node("Add", [made(VARIANCE), made("epsilon")], made("safe"))
    yield node("Sqrt", [made("safe")], made("deviation"))
    yield node("Reshape", [weight, made("groups")], made("weight"))
    yield node("Div", [made("weight"), made("deviation")], made("factor"))
    yield node("Reshape", [bias, made("groups")], made("bias"))
    yield node("Mul", [made(MEAN), made("factor")], made("scaled_mean"))
    yield node("Sub", [made("bias"), made("scaled_mean")], made("shift"))
    yield node("Reshape", [made("factor"), made("channels")], made("channel_factor"))
    yield node("Reshape", [made("shift"), made("channels")], made("channel_shift"))
    yield node("Shape", [data], made("shape"))
    yield node("Reshape", [data, made("flat")], made("channelled"))
    yield node("Mul", [made("channelled"), made("channel_factor")], made("scaled"))
    yield node("Add", [made("scaled"), made("channel_shift")], made("shifted"))
    yield node("Reshape", [made("shifted"), made("shape")], norm.output)


def _redirected(reader: Reader, span: Span, names: dict[int, str]) -> bytes:
    """A node that reads other tensors in place of some of its inputs."""
    fields, index = [], 0
    for number, _, raw in reader.fields(span):
        if number == INPUT:
            raw = text(INPUT, names[index]) if index in names else raw
            index += 1
        fields.append(raw)
    return part(NODE, b"".join(fields))


def _places(reader: Reader) -> _Places:
    nodes = read_nodes(reader)
    places, count = _Places(), 0
    for current in nodes:
        if current.kind in NORMS:
            places.norms[current.span] = current, count
            places.names.extend(tensor_name(count, tensor) for tensor in (MEAN, VARIANCE))
            count += 1
            continue
        targets = _key_and_value(current, nodes)
        for tensor, (reading, index) in zip((KEY, VALUE), targets, strict=False):
            name = tensor_name(count, tensor)
            places.inputs.setdefault(reading.span, {})[index] = name
            places.names.append(name)
            count += tensor == VALUE
    return places


def _key_and_value(current: Node, nodes: Sequence[Node]) -> list[tuple[Node, int]]:
    """The nodes that read keys and values, each with the index of that input."""
    if current.kind in ATTENTION:
        return [(current, 1), (current, 2)]
    if current.kind != "Softmax":
        return []
    scores, result = _scores(current, nodes), _result(current, nodes)
    return [(scores, 1), (result, 1)] if scores and result else []


def _scores(softmax: Node, nodes: Sequence[Node]) -> Node | None:
    """The product of queries and keys, before the softmax."""
    producers = {node.output: node for node in nodes}
    producer = producers.get(softmax.inputs[0])
    while producer and producer.kind in BETWEEN:
        producer = producers.get(producer.inputs[0])
    return producer if producer and producer.kind == "MatMul" else None


def _result(softmax: Node, nodes: Sequence[Node]) -> Node | None:
    """The product of scores and values, after the softmax."""
    current = softmax
    while True:
        readers = [node for node in nodes if current.output in node.inputs]
        if len(readers) != 1:
            return None
        (current,) = readers
        if current.kind not in BETWEEN:
            return current if current.kind == "MatMul" else None
