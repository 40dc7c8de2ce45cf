"""The convolutions and linear layers of an ONNX graph, which can run in integers."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from sdrt.backends.weight_patches import PREFIX, SUFFIX
from sdrt.errors import UnsupportedError
from sdrt_export.graphs.onnx_storage import FLOAT_LAYERS

MIN_WEIGHTS = 1024  # below, rounding the input costs more than the layer


@dataclass(frozen=True)
class OnnxLayer:
    """One layer with constant weights: y = x * w + b."""

    name: str
    node: ir.Node

    @property
    def input(self) -> ir.Value:
        """The tensor that the layer is applied to."""
        return _given(self.node, 0)

    @property
    def weight(self) -> ir.Value:
        """(out, in, height, width) of a convolution, (in, out) or (out, in) of a linear layer."""
        return _given(self.node, 1)

    @property
    def rounded(self) -> list[ir.Value]:
        """The tensors around it that are rounded: the input, and a convolution's result."""
        return [self.input, self.node.outputs[0]] if self.is_conv else [self.input]

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return self.node.op_type == "Conv"

    @property
    def out_axis(self) -> int:
        """Axis of the weight that counts the layer's outputs."""
        is_turned = self.node.op_type == "Gemm" and self.node.attributes.get_int("transB", False)
        return 0 if self.is_conv or is_turned else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return tuple(constant(self.weight).shape.numpy())

    def macs(self, positions: int) -> int:
        """Multiplications for this number of pixels or tokens in the result."""
        return positions * int(np.prod(self.shape))


def find_layers(graph: ir.Graph) -> list[OnnxLayer]:
    """All layers that can run in integers, in the order of the graph.

    The first and last convolutions of a network are not among them: they are a thousandth of the
    work, and everything passes through their few channels.
    """
    return _layers(graph, ("Conv", "MatMul"))


def find_vector_layers(graph: ir.Graph) -> list[OnnxLayer]:
    """Linear layers that see one vector per image, such as those of the time embedding.

    They are a thousandth of a U-Net's work and a thirtieth of its weights.
    """
    return _layers(graph, ("Gemm",))


def _layers(graph: ir.Graph, kinds: Collection[str]) -> list[OnnxLayer]:
    return [
        OnnxLayer(_name(_given(node, 1)), node)
        for node in graph
        if node.op_type in kinds and _is_heavy(node.inputs[1])
    ]


def _name(weight: ir.Value) -> str:
    """The layer's name among the modules, or that of a weight that does not bear one."""
    name = str(weight.name)
    return name.removeprefix(PREFIX).removesuffix(SUFFIX)


def constant(value: ir.Value) -> ir.TensorProtocol:
    """The numbers of an initializer."""
    assert value.const_value is not None
    return value.const_value


def split_concats(graph: ir.Graph) -> None:
    """Turn each convolution of a concatenation into a sum of convolutions, one for each part.

    In the upward half of a U-Net a shortcut sees the skip connection next to the network's own
    state. Their ranges differ, and one scale for both would be coarse for one of them
    (Li et al. 2023, arXiv 2302.04304, section 3.3).
    """
    for layer in find_layers(graph):
        concat = layer.input.producer()
        if layer.is_conv and concat is not None and concat.op_type == "Concat":
            _split(graph, layer, concat)


def _split(graph: ir.Graph, layer: OnnxLayer, concat: ir.Node) -> None:
    weights = constant(layer.weight).numpy()
    parts = [value for value in concat.inputs if value is not None]
    ends = np.cumsum([channels(value) for value in parts])
    if ends[-1] != weights.shape[1]:
        raise UnsupportedError(
            f"{layer.name} takes {weights.shape[1]} channels, and what it joins has {ends[-1]}; "
            "expected a network as sdrt exports it"
        )
    results = []
    for i, (value, own) in enumerate(zip(parts, np.split(weights, ends[:-1], 1), strict=True)):
        name = str(layer.weight.name).replace(".weight", f".part{i}.weight")
        weight = initializer(graph, name, np.ascontiguousarray(own))
        rest = layer.node.inputs[2:] if i == 0 else []
        node = ir.node("Conv", [value, weight, *rest], dict(layer.node.attributes))
        node.name = node.outputs[0].name = f"{layer.name}.part{i}"
        graph.insert_before(layer.node, node)
        results.append(node.outputs[0])
    total = ir.node("Add", results)
    graph.insert_before(layer.node, total)
    replace(layer.node, total)
    drop_unused(graph)


def channels(value: ir.Value) -> int:
    """Channels of a feature map, read off the layer that made it; raises `UnsupportedError`."""
    node = value.producer()
    match node:
        case ir.Node(op_type="Conv"):
            return int(constant(_given(node, 1)).shape.numpy()[0])
        case ir.Node(op_type="Concat"):
            return sum(channels(part) for part in node.inputs if part is not None)
        case ir.Node(op_type="MatMul"):  # of a linear layer, whose tokens become a feature map
            return int(constant(_given(node, 1)).shape.numpy()[1])
        case ir.Node(op_type="Add" | "Resize" | "Slice" | "Mul" | "Transpose" | "Reshape"):
            return channels(_given(node, 0))
    raise UnsupportedError(
        f"cannot tell how many channels {value.name} has, which int8 needs of what is joined; "
        "expected a network as sdrt exports it"
    )


def initializer(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """The constant of that name, made from `array` unless the graph has it already.

    Names must therefore be unique to what they are made from.
    """
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.initializers[name] = value
    return value


def replace(old: ir.Node, new: ir.Node) -> None:
    """Put one node in the place of another, under the name of its result."""
    name = old.outputs[0].name
    old.outputs[0].replace_all_uses_with(new.outputs[0], replace_graph_outputs=True)
    graph = old.graph
    assert graph is not None
    graph.remove(old, safe=True)
    new.outputs[0].name = name


def drop_unused(graph: ir.Graph) -> None:
    """Remove constants that no node takes any more."""
    used = {value for node in graph for value in node.inputs}
    for name, value in list(graph.initializers.items()):
        if value not in used:
            del graph.initializers[name]


def uses(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """The nodes that take a value, and as which of their inputs."""
    for use in list(value.uses()):
        yield use.node, use.idx


def _is_heavy(weight: ir.Value | None) -> bool:
    if weight is None or weight.const_value is None:
        return False
    is_end = any(layer in str(weight.name) for layer in FLOAT_LAYERS)
    return weight.const_value.size >= MIN_WEIGHTS and not is_end


def _given(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value
