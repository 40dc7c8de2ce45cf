"""Residuals as inputs of a U-Net in OpenVINO; see `sdrt.backends.residuals`."""

from collections.abc import Collection, Iterator

import openvino as ov
from openvino import opset13

from sdrt.backends.graph import Network
from sdrt.backends.openvino.feature_cut import skip_joins
from sdrt.backends.openvino.nodes import ancestors_of, parameter_like
from sdrt.backends.residuals import check_count, not_a_unet

ROUNDING = "FakeQuantize"
READING_BACK = ("Convert", "Subtract", "Multiply")
"""What follows a rounding to 8 bits in a graph that was made from ONNX."""


def add_residuals(model: ov.Model, network: Network) -> None:
    """Add the network's residuals to a model of known shapes, as inputs, in place.

    Raises `UnsupportedError` for a graph with other skip connections.
    """
    joins = skip_joins(model)
    check_count(network.name, len(joins), len(network.residuals))
    middle = joins[-1].input_value(0)
    before = ancestors_of([middle.get_node()])
    # The last join is with the first layer's result, for which the first residual is.
    places = [join.input_value(1) for join in joins] + [middle]
    names = {place.get_node().get_name() for place in places}
    if len(names) != len(places) or not before.issuperset(names):
        raise not_a_unet(network.name)
    for place, name in zip(places, network.residuals, strict=True):
        residual = parameter_like(place, name)
        for form in _forms(place):
            _add(form, residual, before)
        model.add_parameters([residual])
    model.validate_nodes_and_infer_types()


def _add(output: ov.Output, residual: ov.Node, before: Collection[str]) -> None:
    """Let whoever reads this output, and is not on the way down, read the sum."""
    takers = [
        target
        for target in output.get_target_inputs()
        if target.get_node().get_name() not in before and not _is_rounding(target.get_node())
    ]
    if takers:
        total = opset13.add(output, residual)
        for target in takers:
            target.replace_source_output(total.output(0))


def _forms(output: ov.Output) -> list[ov.Output]:
    """The output and what rounding alone makes of it."""
    forms = [output]
    for target in output.get_target_inputs():
        if _is_rounding(target.get_node()):
            forms += _read_back(target.get_node().output(0))
    return forms


def _read_back(rounded: ov.Output) -> Iterator[ov.Output]:
    """Rounded values where they are floats again, at the end of each chain that reads them."""
    followers = [
        target.get_node()
        for target in rounded.get_target_inputs()
        if target.get_node().get_type_name() in READING_BACK
    ]
    if not followers:
        yield rounded
    for node in followers:
        yield from _read_back(node.output(0))


def _is_rounding(node: ov.Node) -> bool:
    return bool(node.get_type_name() == ROUNDING)
