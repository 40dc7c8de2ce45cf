"""A float graph with ranges -> a graph whose layers both engines run in integers.

Around each layer its input and its weights are rounded and read back (QuantizeLinear,
DequantizeLinear); engines see the pair and take their integer kernels. That is all OpenVINO needs.
ONNX Runtime takes the integer convolution only if its result is rounded too and its bias is an
integer; `round_results` adds that, for its file alone, because it is one rounding more. Of layers
that see one vector for each picture only the weights are rounded, for the sake of memory.
"""

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from sdrt_export.graphs.onnx_storage import SCALE, stored_as
from sdrt_export.quantization.layers import (
    OnnxLayer,
    constant,
    drop_unused,
    find_layers,
    find_vector_layers,
    initializer,
    uses,
)
from sdrt_export.quantization.ranges import QuantizationRange, round_weights, weight_scales


def round_layers(
    graph: ir.Graph, ranges: Mapping[str, QuantizationRange], kept: Collection[str]
) -> None:
    """Round inputs and weights of all layers but the `kept` ones, which stay in float."""
    read_back: dict[ir.Value, ir.Value] = {}
    for layer in find_layers(graph):
        if layer.name in kept:
            continue
        value, range = layer.input, ranges[str(layer.input.name)]
        if value not in read_back:
            read_back[value] = round_value(graph, value, range, before=layer.node)
        node = layer.node
        scales = weight_scales(constant(layer.weight).numpy(), layer.out_axis)
        weight = _rounded_weight(graph, layer, scales)
        if layer.is_conv and len(node.inputs) > 2:
            bias = _rounded_bias(graph, layer, scales * range.scale)
            node.replace_input_with(2, bias)
        node.replace_input_with(0, read_back[value])
        node.replace_input_with(1, weight)
    drop_unused(graph)


def round_weights_alone(graph: ir.Graph) -> None:
    """Round the weights of layers that see vectors; they compute in float.

    Integers would not make them faster, and would make the time embedding coarse, on which every
    block depends; but a byte is enough for a weight.
    """
    for layer in find_vector_layers(graph):
        scales = weight_scales(constant(layer.weight).numpy(), layer.out_axis)
        layer.node.replace_input_with(1, _rounded_weight(graph, layer, scales))
    drop_unused(graph)


def round_results(graph: ir.Graph, ranges: Mapping[str, QuantizationRange]) -> None:
    """Round the result of each integer convolution."""
    for node in list(graph):
        if node.op_type != "Conv" or not _is_read_back(node.inputs[1]):
            continue
        result = node.outputs[0]
        takers = list(uses(result))
        # The next layer may round it already.
        known = [taker for taker, _ in takers if taker.op_type == "QuantizeLinear"]
        rounded = (
            next(iter(uses(known[0].outputs[0])))[0].outputs[0]
            if known
            else round_value(graph, result, ranges[str(result.name)], after=node)
        )
        for taker, index in takers:
            if taker not in known:
                taker.replace_input_with(index, rounded)


def round_value(
    graph: ir.Graph,
    value: ir.Value,
    range: QuantizationRange,
    before: ir.Node | None = None,
    after: ir.Node | None = None,
) -> ir.Value:
    """Round a tensor to 8 bits and read it back."""
    scale = initializer(graph, f"{value.name}{SCALE}", np.array(range.scale))
    zero = initializer(graph, f"{value.name}/zero_point", np.array(range.zero_point))
    down = ir.node("QuantizeLinear", [value, scale, zero])
    up = ir.node("DequantizeLinear", [down.outputs[0], scale, zero])
    down.outputs[0].name = f"{value.name}/rounded"
    up.outputs[0].name = f"{value.name}/read_back"
    if before is not None:
        graph.insert_before(before, [down, up])
    else:
        assert after is not None
        graph.insert_after(after, [down, up])
    return up.outputs[0]


def _is_read_back(weight: ir.Value | None) -> bool:
    node = weight.producer() if weight is not None else None
    return node is not None and node.op_type == "DequantizeLinear"


def _rounded_weight(graph: ir.Graph, layer: OnnxLayer, scales: npt.NDArray[np.float32]) -> ir.Value:
    name = str(layer.weight.name)
    rounded = partial(round_weights, scales=scales, out_axis=layer.out_axis)
    stored = graph.initializers.get(f"{name}/int8") or stored_as(
        graph, f"{name}/int8", constant(layer.weight), ir.DataType.INT8, rounded
    )
    scale = initializer(graph, f"{name}{SCALE}", scales)
    zero = initializer(graph, f"{name}/zero_point", np.zeros(scales.shape, np.int8))
    return _read_back(graph, layer.node, [stored, scale, zero], layer.out_axis)


def _rounded_bias(graph: ir.Graph, layer: OnnxLayer, scales: npt.NDArray[np.float32]) -> ir.Value:
    """The bias in the unit of the layer's sums, which are input times weight."""
    bias = layer.node.inputs[2]
    assert bias is not None
    name = f"{layer.node.outputs[0].name}/bias"  # layers share constants, but not their units
    limits = np.iinfo(np.int32)
    rounded = np.rint(constant(bias).numpy().astype(np.float64) / scales)
    stored = initializer(
        graph, f"{name}/int32", rounded.clip(limits.min, limits.max).astype(np.int32)
    )
    scale = initializer(graph, f"{name}{SCALE}", scales)
    return _read_back(graph, layer.node, [stored, scale], 0)


def _read_back(graph: ir.Graph, before: ir.Node, inputs: list[ir.Value], axis: int) -> ir.Value:
    node = ir.node("DequantizeLinear", inputs, {"axis": axis})
    graph.insert_before(before, node)
    return node.outputs[0]
