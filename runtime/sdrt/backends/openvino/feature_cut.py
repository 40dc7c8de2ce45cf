"""A cut through the deep features of a U-Net in OpenVINO; see `sdrt.backends.feature_cut`."""

import openvino as ov
from openvino import opset13

from sdrt.backends.feature_cut import FEATURES, SAMPLE, checked_depth
from sdrt.backends.graph import Network

CHANNELS, RANK = 1, 4  # features are (batch, channels, height, width), joined along the channels


def apply_cut(model: ov.Model, network: Network) -> None:
    """Bring a model of known shapes into the form that the network's cut asks for, in place.

    Raises `UnsupportedError` for a depth that it does not have.
    """
    assert network.cut
    skips = _skips(model)
    join = skips[checked_depth(network.name, network.cut.depth, len(skips))]
    deep = join.input_value(0)
    if network.cut.form == "whole":
        deep.add_names({FEATURES})
        model.add_results([opset13.result(deep)])
    else:
        shape, kind = deep.get_partial_shape(), deep.get_element_type()
        features = opset13.parameter(shape, kind, FEATURES)
        features.output(0).set_names({FEATURES})
        for target in deep.get_target_inputs():
            target.replace_source_output(features.output(0))
        model.add_parameters([features])
    model.validate_nodes_and_infer_types()


def _skips(model: ov.Model) -> list[ov.Node]:
    """The nodes that join deep features, the first input, with others: the last of them first."""
    from_sample: dict[str, bool] = {}
    joins = []
    for node in model.get_ordered_ops():
        name, kind = node.get_name(), node.get_type_name()
        sources = [node.input_value(i) for i in range(node.get_input_size())]
        known = [from_sample[source.get_node().get_name()] for source in sources]
        if kind == "Parameter":
            from_sample[name] = SAMPLE in node.output(0).get_names()
        else:
            from_sample[name] = any(known) and kind != "ShapeOf"
        is_join = kind == "Concat" and len(sources) == 2 and all(known)
        if is_join and _rank(node) == RANK and node.get_attributes()["axis"] == CHANNELS:
            joins.append(node)
    return joins[::-1]


def _rank(node: ov.Node) -> int:
    rank = node.get_output_partial_shape(0).rank
    return int(rank.get_length()) if rank.is_static else 0
