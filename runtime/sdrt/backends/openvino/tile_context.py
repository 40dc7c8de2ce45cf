"""The context of tiles in OpenVINO's graphs: norms and attention get it as inputs, or give it.

See `sdrt.backends.tile_context`.
"""

from collections.abc import Iterator

import numpy as np
import openvino as ov
from openvino import opset13

from sdrt.backends.graph import Network
from sdrt.backends.tile_context import KEY, MEAN, VALUE, VARIANCE, tensor_name

NORMS = ("GroupNormalization", "MVN")
ATTENTION = ("ScaledDotProductAttention",)
BETWEEN = ("Multiply", "Divide", "Convert")
"""Operations around the softmax of an attention that is made of single operations."""


def context_names(model: ov.Model) -> tuple[str, ...]:
    """Names of the context's tensors in a model."""
    return tuple(
        tensor_name(place, tensor)
        for place, node in enumerate(_places(model))
        for tensor in ((MEAN, VARIANCE) if node.get_type_name() in NORMS else (KEY, VALUE))
    )


def apply_context(model: ov.Model, network: Network) -> None:
    """Add a network's context to the outputs or the inputs of its model, in place."""
    if network.context_outputs:
        _add_outputs(model)
    if network.context_inputs:
        _add_inputs(model)


def _add_outputs(model: ov.Model) -> None:
    outputs: dict[str, ov.Output] = {}
    for place, node in enumerate(_places(model)):
        if node.get_type_name() in NORMS:
            mean, variance = _statistics(node)
            outputs[tensor_name(place, MEAN)] = mean.output(0)
            outputs[tensor_name(place, VARIANCE)] = variance.output(0)
        else:
            key, value = _key_and_value(node)
            outputs[tensor_name(place, KEY)] = key.get_source_output()
            outputs[tensor_name(place, VALUE)] = value.get_source_output()
    for name, output in outputs.items():
        output.add_names({name})
    # Operations run in the order in which results need them. The context comes first, because all
    # of it would otherwise stay in memory to the end.
    last = model.get_results()
    for result in last:
        model.remove_result(result)
    model.add_results([*(opset13.result(output) for output in outputs.values()), *last])
    model.validate_nodes_and_infer_types()


def _add_inputs(model: ov.Model) -> None:
    parameters: list[ov.Node] = []

    def add(place: int, tensor: str, shape: ov.PartialShape) -> ov.Node:
        parameter = opset13.parameter(shape, ov.Type.f32, tensor_name(place, tensor))
        parameter.output(0).set_names({tensor_name(place, tensor)})
        parameters.append(parameter)
        return parameter

    for place, node in enumerate(list(_places(model))):
        if node.get_type_name() in NORMS:
            shape = ov.PartialShape([1, -1, 1])
            mean, variance = add(place, MEAN, shape), add(place, VARIANCE, shape)
            node.output(0).replace(_normalized(node, mean, variance).output(0))
        else:
            for tensor, target in zip((KEY, VALUE), _key_and_value(node), strict=True):
                rank = target.get_source_output().get_partial_shape().rank.get_length()
                shape = ov.PartialShape([-1] * rank)
                target.replace_source_output(add(place, tensor, shape).output(0))
    model.add_parameters(parameters)
    model.validate_nodes_and_infer_types()


def _statistics(node: ov.Node) -> tuple[ov.Node, ov.Node]:
    """Mean and variance of a norm's input: of each channel first, which keeps its layout."""
    data = node.input_value(0)
    rank = data.get_partial_shape().rank.get_length()
    axes = list(range(2, rank))
    sizes = opset13.gather(opset13.shape_of(data), axes, 0)
    count = opset13.convert(opset13.reduce_prod(sizes, [0], keep_dims=True), "f32")
    length = opset13.reduce_l2(data, axes, keep_dims=True)
    groups = [0, node.get_attributes().get("num_groups", 0), -1]
    mean, squares = (
        opset13.reduce_mean(opset13.reshape(each, groups, special_zero=True), [2], keep_dims=True)
        for each in (
            opset13.reduce_mean(data, axes, keep_dims=True),
            opset13.divide(opset13.multiply(length, length), count),
        )
    )
    return mean, opset13.subtract(squares, opset13.multiply(mean, mean))


def _normalized(node: ov.Node, mean: ov.Node, variance: ov.Node) -> ov.Node:
    """The norm with these statistics: each channel times a number, plus a number."""
    attributes, data = node.get_attributes(), node.input_value(0)
    epsilon = np.float32(attributes["epsilon" if "epsilon" in attributes else "eps"])
    factor = opset13.power(opset13.add(variance, epsilon), np.float32(-0.5))
    shift = opset13.negative(opset13.multiply(mean, factor))
    if node.get_type_name() == "GroupNormalization":
        weight, bias = (
            opset13.reshape(node.input_value(i), [1, attributes["num_groups"], -1], False)
            for i in (1, 2)
        )
        shift = opset13.add(opset13.multiply(shift, weight), bias)
        factor = opset13.multiply(factor, weight)
    channels = [1, -1, *[1] * (data.get_partial_shape().rank.get_length() - 2)]
    scaled = opset13.multiply(data, opset13.reshape(factor, channels, False))
    return opset13.add(scaled, opset13.reshape(shift, channels, False))


def _places(model: ov.Model) -> Iterator[ov.Node]:
    """Norms and attention in the order of the graph."""
    for node in model.get_ordered_ops():
        if node.get_type_name() in NORMS or _key_and_value(node):
            yield node


def _key_and_value(node: ov.Node) -> list[ov.Input]:
    """Where attention reads its keys and its values; nothing for other nodes."""
    if node.get_type_name() in ATTENTION:
        return [node.input(1), node.input(2)]
    if node.get_type_name() != "Softmax":
        return []
    scores, result = _scores(node), _result(node)
    return [scores.input(1), result.input(1)] if scores and result else []


def _scores(softmax: ov.Node) -> ov.Node | None:
    """The product of queries and keys, before the softmax."""
    node = softmax.input_value(0).get_node()
    while node.get_type_name() in BETWEEN:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "MatMul" else None


def _result(softmax: ov.Node) -> ov.Node | None:
    """The product of scores and values, after the softmax."""
    node = softmax
    while True:
        readers = list(node.output(0).get_target_inputs())
        if len(readers) != 1:
            return None
        node = readers[0].get_node()
        if node.get_type_name() not in BETWEEN:
            return node if node.get_type_name() == "MatMul" else None
