"""What norms and attention see of a picture, given out of ONNX graphs or taken into them."""

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
    KIND,
    NODE,
    OUTPUT,
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
from sdrt.backends.tile_context import KEY, MEAN, VALUE, VARIANCE, name_of

NORMS = ("GroupNormalization", "InstanceNormalization")
ATTENTION = ("MultiHeadAttention", "Attention")  # of com.microsoft, of ONNX
BETWEEN = ("Mul", "Div", "Cast")  # of an attention in single steps, around its softmax
EPSILON = 1e-5  # of norms that do not say theirs


@dataclass(frozen=True)
class _Node:
    span: Span
    kind: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class _Places:
    """Where a graph looks at the whole of its picture."""

    norms: dict[Span, tuple[_Node, int]] = field(default_factory=dict)
    """By where they lie in the file, with their numbers as places."""
    inputs: dict[Span, dict[int, str]] = field(default_factory=dict)
    """Of attention: which inputs of which nodes are keys or values, and their names."""
    names: list[str] = field(default_factory=list)


def context_names(path: Path) -> tuple[str, ...]:
    """Names of all that can be given or taken."""
    with opened(path) as reader:
        return tuple(_places(reader).names)


def with_context(network: Network) -> bytes:
    """The file's content, changed so that it gives its context or takes another's."""
    with opened(network.files[0]) as reader:
        changed = _giving if network.gives else _taking
        return rebuilt(reader, b"".join(changed(reader, _places(reader))))


def _giving(reader: Reader, places: _Places) -> Iterator[bytes]:
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


def _taking(reader: Reader, places: _Places) -> Iterator[bytes]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    for number, content, raw in reader.fields(graph):
        if number == NODE and content in places.norms:
            yield from _normalized(reader, *places.norms[content])
        elif number == NODE and content in places.inputs:
            yield _redirected(reader, content, places.inputs[content])
        else:
            yield raw
    yield from (floats(GRAPH_INPUT, name) for name in places.names)


def _statistics(reader: Reader, norm: _Node, place: int) -> Iterator[bytes]:
    """Mean and variance of what a norm is given."""

    def made(name: str) -> str:
        return name_of(place, name)

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


def _normalized(reader: Reader, norm: _Node, place: int) -> Iterator[bytes]:
    """The norm with statistics that are given: each channel times a number, plus a number."""
    data, weight, bias = norm.inputs

    def made(name: str) -> str:
        return name_of(place, name)

    # Weights and biases of an instance norm belong to its groups, which it has for channels.
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


def _redirected(reader: Reader, span: Span, others: dict[int, str]) -> bytes:
    """A node that reads other tensors in the place of some of its inputs."""
    fields, seen = [], 0
    for number, _, raw in reader.fields(span):
        if number == INPUT:
            raw = text(INPUT, others[seen]) if seen in others else raw
            seen += 1
        fields.append(raw)
    return part(NODE, b"".join(fields))


def _places(reader: Reader) -> _Places:
    nodes = [_node(reader, span) for span in _spans(reader)]
    found, count = _Places(), 0
    for one in nodes:
        if one.kind in NORMS:
            found.norms[one.span] = one, count
            found.names.extend(name_of(count, each) for each in (MEAN, VARIANCE))
            count += 1
            continue
        for each, (reading, index) in zip((KEY, VALUE), _key_and_value(one, nodes), strict=False):
            name = name_of(count, each)
            found.inputs.setdefault(reading.span, {})[index] = name
            found.names.append(name)
            count += each == VALUE
    return found


def _key_and_value(one: _Node, nodes: Sequence[_Node]) -> list[tuple[_Node, int]]:
    """The nodes that read keys and values, with the places of these among their inputs."""
    if one.kind in ATTENTION:
        return [(one, 1), (one, 2)]
    if one.kind != "Softmax":
        return []
    before, behind = _before(one, nodes), _behind(one, nodes)
    return [(before, 1), (behind, 1)] if before and behind else []


def _before(softmax: _Node, nodes: Sequence[_Node]) -> _Node | None:
    """The product of queries and keys."""
    makers = {one.output: one for one in nodes}
    maker = makers.get(softmax.inputs[0])
    while maker and maker.kind in BETWEEN:
        maker = makers.get(maker.inputs[0])
    return maker if maker and maker.kind == "MatMul" else None


def _behind(softmax: _Node, nodes: Sequence[_Node]) -> _Node | None:
    """The product of scores and values."""
    one = softmax
    while True:
        readers = [other for other in nodes if one.output in other.inputs]
        if len(readers) != 1:
            return None
        (one,) = readers
        if one.kind not in BETWEEN:
            return one if one.kind == "MatMul" else None


def _spans(reader: Reader) -> list[Span]:
    (graph,) = reader.parts(reader.whole, GRAPH)
    return reader.parts(graph, NODE)


def _node(reader: Reader, span: Span) -> _Node:
    (kind,) = reader.texts(span, KIND)
    return _Node(
        span, kind, tuple(reader.texts(span, INPUT)), "".join(reader.texts(span, OUTPUT)[:1])
    )
