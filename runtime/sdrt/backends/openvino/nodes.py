"""The nodes of an OpenVINO model: what depends on what, and inputs in place of them."""

from collections.abc import Iterable, Mapping

import openvino as ov
from openvino import opset13

Roots = Mapping[str, set[str]]
"""For each node by its name, the names of the model's inputs that it depends on."""


def parameter_like(output: ov.Output, name: str) -> ov.Node:
    """An input of this name, in place of what this output gives."""
    parameter = opset13.parameter(output.get_shape(), output.get_element_type(), name)
    parameter.output(0).set_names({name})
    return parameter


def roots_of(ordered: Iterable[ov.Node]) -> dict[str, set[str]]:
    """For each node, the inputs of the model whose values, and not only shapes, it depends on."""
    roots: dict[str, set[str]] = {}
    for node in ordered:
        name, kind = node.get_name(), node.get_type_name()
        if kind == "Parameter":
            roots[name] = {name}
        elif kind == "ShapeOf":
            roots[name] = set()
        else:
            roots[name] = set().union(*(roots[source.get_name()] for source in sources_of(node)))
    return roots


def ancestors_of(nodes: Iterable[ov.Node]) -> set[str]:
    """Names of these nodes and of all nodes that they depend on."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.get_name() not in found:
            found.add(node.get_name())
            waiting += sources_of(node)
    return found


def sources_of(node: ov.Node) -> list[ov.Node]:
    """The nodes whose outputs it reads."""
    return [node.input_value(i).get_node() for i in range(node.get_input_size())]
