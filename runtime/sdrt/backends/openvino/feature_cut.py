"""A cut through the deep features of a U-Net in OpenVINO; see `sdrt.backends.feature_cut`."""

import openvino as ov
from openvino import opset13

from sdrt.backends.feature_cut import FEATURES, SAMPLE, checked_depth
from sdrt.backends.graph import Network
from sdrt.backends.openvino.nodes import parameter_like, roots_of, sources_of

CHANNELS, RANK = 1, 4  # features are (batch, channels, height, width), joined along the channels


def apply_cut(model: ov.Model, network: Network) -> None:
    """Bring a model of known shapes into the form that the network's cut asks for, in place.

    Raises `UnsupportedError` for a depth that it does not have.
    """
    assert network.cut
    skips = skip_joins(model)
    join = skips[checked_depth(network.name, network.cut.depth, len(skips))]
    deep = join.input_value(0)
    if network.cut.form == "whole":
        deep.add_names({FEATURES})
        model.add_results([opset13.result(deep)])
    else:
        features = parameter_like(deep, FEATURES)
        for target in deep.get_target_inputs():
            target.replace_source_output(features.output(0))
        model.add_parameters([features])
    model.validate_nodes_and_infer_types()


def skip_joins(model: ov.Model) -> list[ov.Node]:
    """The nodes that join deep features, the first input, with others: the last of them first.

    The model's shapes have to be known.
    """
    ordered = model.get_ordered_ops()
    roots = roots_of(ordered)
    samples = [node for node in model.get_parameters() if SAMPLE in node.output(0).get_names()]
    names = {node.get_name() for node in samples}
    return [
        node
        for node in reversed(ordered)
        if node.get_type_name() == "Concat"
        and node.get_input_size() == 2
        and not any(names.isdisjoint(roots[source.get_name()]) for source in sources_of(node))
        and len(node.get_output_shape(0)) == RANK
        and node.get_attributes()["axis"] == CHANNELS
    ]
