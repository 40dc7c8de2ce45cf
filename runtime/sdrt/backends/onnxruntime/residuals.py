"""Residuals as inputs of a U-Net in an ONNX file; see `sdrt.backends.residuals`."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from sdrt.backends.graph import Network
from sdrt.backends.onnxruntime.onnx_file import (
    GRAPH,
    GRAPH_INPUT,
    INPUT,
    NODE,
    Reader,
    Span,
    floats,
    node,
    part,
    rebuilt,
    text,
)
from sdrt.backends.onnxruntime.onnx_nodes import Node, needed_for, read_nodes, skip_joins
from sdrt.backends.residuals import check_count, not_a_unet

ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def with_residuals(network: Network, reader: Reader) -> bytes:
    """The file's content with the network's residuals as inputs.

    Raises `UnsupportedError` for a graph with other skip connections.
    """
    nodes = read_nodes(reader)
    joins = skip_joins(reader, nodes)
    check_count(network.name, len(joins), len(network.residuals))
    middle = joins[-1].inputs[0]
    before = needed_for([middle], [], nodes)
    # The last join is with the first layer's result, for which the first residual is.
    places = [join.inputs[1] for join in joins] + [middle]
    made = {name for each in before for name in each.outputs}
    if len(set(places)) != len(places) or not made.issuperset(places):
        raise not_a_unet(network.name)
    sums: dict[str, str] = {}
    for place, residual in zip(places, network.residuals, strict=True):
        sums |= {tensor: residual for tensor in _forms(place, nodes)}
    return rebuilt(reader, b"".join(_graph(reader, nodes, before, sums)))


def _forms(tensor: str, nodes: Sequence[Node]) -> set[str]:
    """The tensor and what rounding alone makes of it."""
    forms = {tensor}
    for each in nodes:
        if each.kind in ROUNDING and each.inputs[0] in forms:
            forms.add(each.output)
    return forms


def _graph(
    reader: Reader, nodes: Sequence[Node], before: Collection[Node], sums: Mapping[str, str]
) -> Iterator[bytes]:
    """The graph's fields: each sum behind what it is of, and its readers reading it."""
    by_span = {each.span: each for each in nodes}
    renamed = {tensor: f"{tensor}/controlled" for tensor in sums}
    used: set[str] = set()
    for each in nodes:
        if _takes_sums(each, before, sums):
            used.update(renamed.keys() & set(each.inputs))
    (graph,) = reader.parts(reader.whole, GRAPH)
    for field, content, raw in reader.fields(graph):
        if field != NODE:
            yield raw
            continue
        each = by_span[content]
        yield _reading(reader, content, renamed) if _takes_sums(each, before, sums) else raw
        for tensor in used.intersection(each.outputs):
            yield node("Add", [tensor, sums[tensor]], renamed[tensor])
    for residual in dict.fromkeys(sums.values()):
        yield floats(GRAPH_INPUT, residual)


def _takes_sums(each: Node, before: Collection[Node], sums: Mapping[str, str]) -> bool:
    """Whether a node reads sums where it read skips: not on the way down, nor for rounding."""
    is_rounding = each.kind in ROUNDING and each.inputs[0] in sums
    return each not in before and not is_rounding and not sums.keys().isdisjoint(each.inputs)


def _reading(reader: Reader, span: Span, renamed: Mapping[str, str]) -> bytes:
    """A node with other inputs."""
    fields = []
    for field, content, raw in reader.fields(span):
        (name,) = [reader.text(content)] if field == INPUT else [""]
        fields.append(text(INPUT, renamed[name]) if name in renamed else raw)
    return part(NODE, b"".join(fields))
