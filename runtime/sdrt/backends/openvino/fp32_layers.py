"""The first and last layers of a network, kept in fp32 where the rest is executed in bf16.

A U-Net receives the timestep as sinusoids of up to 1000. Where OpenVINO executes bf16 it rounds
their arguments to 8 bits, so that late timesteps are wrong by up to two: for Stable Diffusion 1.5
that is a larger error than all others together. It also rounds the latents before the first layer,
and the sums of the last convolution; what a U-Net predicts is mostly a copy of its latents, and
shows both errors in full. All three cost next to nothing in fp32 (figures: docs/internals/bf16.md).

When a network is opened, it is cut after the sinusoids, after the first convolutions and before the
last ones. Graphs of their own compute this prefix and suffix in fp32. Files stay unchanged, and
those that other tools exported are treated in the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import openvino as ov
from openvino import opset13

from sdrt.arrays import Array
from sdrt.backends.openvino.nodes import (
    Roots,
    ancestors_of,
    parameter_like,
    roots_of,
    sources_of,
)

SINUSOIDS = ("Sin", "Cos")
LAYERS = ("MatMul", "Convolution")
MAX_RANK = 2  # of inputs of sinusoids: timesteps, and sizes of pictures in a batch
PICTURE_CHANNELS = 3  # eight bits are enough for a picture, and its layer would be a large one
CONVERSIONS = ("Convert", "Reshape")  # between a stored constant and the layer that uses it
CUT = "sdrt_cut"
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


@dataclass(frozen=True)
class Fp32Prefix:
    """The first layers as a graph in fp32: it computes new inputs of the cut network."""

    request: ov.InferRequest
    inputs: frozenset[str]
    """Names of its own inputs."""
    names: tuple[str, ...]
    """Names of the cut network's new inputs, in the order of its outputs."""
    replaced: frozenset[str]
    """Inputs of the whole network that the cut network no longer takes."""

    def complete(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Turn feeds of the whole network into those of the cut one."""
        inputs = {name: array for name, array in feeds.items() if name in self.inputs}
        self.request.infer(inputs, share_inputs=True)
        kept = {name: array for name, array in feeds.items() if name not in self.replaced}
        return kept | {
            name: self.request.get_output_tensor(i).data for i, name in enumerate(self.names)
        }


@dataclass(frozen=True)
class Fp32Suffix:
    """The last layers as a graph in fp32: it computes one output from that of the cut network."""

    request: ov.InferRequest
    names: frozenset[str]
    """All names of that output."""

    def infer(self, cut: ov.InferRequest) -> None:
        """Run on the results of the cut network's last run."""
        self.request.infer({CUT: cut.get_tensor(CUT).data}, share_inputs=True)

    def output(self) -> Array:
        """A copy of the last run's result."""
        array: Array = self.request.get_output_tensor(0).data.copy()
        return array


def cut_prefix(core: ov.Core, model: ov.Model) -> Fp32Prefix | None:
    """Cut sinusoids and first convolutions off a model of known shapes, in place.

    None where it has neither.
    """
    roots = roots_of(model.get_ordered_ops())
    cuts = _after_sinusoids(model, roots) + _after_first_convolutions(model, roots)
    if not cuts:
        return None
    ancestors = ancestors_of(cut.get_node() for cut in cuts)
    parameters = [node for node in model.get_parameters() if node.get_name() in ancestors]
    prefix = ov.Model([opset13.result(cut) for cut in cuts], parameters, "prefix")
    request = core.compile_model(prefix, "CPU", SETTINGS).create_infer_request()
    names = tuple(f"{CUT}_{i}" for i in range(len(cuts)))
    for cut, name in zip(cuts, names, strict=True):
        parameter = parameter_like(cut, name)
        for target in cut.get_target_inputs():
            if target.get_node().get_type_name() != "Result":
                target.replace_source_output(parameter.output(0))
        model.add_parameters([parameter])
    used = ancestors_of(model.get_results())
    replaced = [node for node in parameters if node.get_name() not in used]
    for parameter in replaced:
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return Fp32Prefix(request, _names(parameters), names, _names(replaced))


def cut_suffix(core: ov.Core, model: ov.Model) -> Fp32Suffix | None:
    """Cut the last convolutions off a model of known shapes, in place; None without any."""
    roots = roots_of(model.get_ordered_ops())
    for result in model.get_results():
        output = result.input_value(0)
        first = _last_convolutions(output, roots)
        if first is None:
            continue
        cut = first.input_value(0)
        parameter = parameter_like(cut, CUT)
        first.input(0).replace_source_output(parameter.output(0))
        suffix = ov.Model([opset13.result(output)], [parameter], "suffix")
        request = core.compile_model(suffix, "CPU", SETTINGS).create_infer_request()
        cut.add_names({CUT})
        model.remove_result(result)
        model.add_results([opset13.result(cut)])
        model.validate_nodes_and_infer_types()
        return Fp32Suffix(request, frozenset(output.get_names()))
    return None


def _after_sinusoids(model: ov.Model, roots: Roots) -> list[ov.Output]:
    """Outputs of the sinusoids' region: from sine and cosine up to the first layer with weights."""
    ordered = model.get_ordered_ops()
    small = {p.get_name() for p in model.get_parameters() if len(p.get_shape()) <= MAX_RANK}
    inside: set[str] = set()
    for node in ordered:
        name, kind = node.get_name(), node.get_type_name()
        begins = kind in SINUSOIDS or any(
            source.get_name() in inside for source in sources_of(node)
        )
        if begins and kind not in LAYERS and roots[name] and roots[name] <= small:
            inside.add(name)
    return [
        output
        for node in ordered
        if node.get_name() in inside
        for output in node.outputs()
        if any(target.get_node().get_name() not in inside for target in output.get_target_inputs())
    ]


def _after_first_convolutions(model: ov.Model, roots: Roots) -> list[ov.Output]:
    """Outputs of the convolutions that read an input such as latents, with no layer before them."""
    outputs = []
    for parameter in model.get_parameters():
        begin = end = parameter.output(0)
        while (reader := _only_reader(end)) and _has_constant(reader, "Convolution", roots):
            end = reader.output(0)
            if (bias := _only_reader(end)) and _has_constant(bias, "Add", roots):
                end = bias.output(0)
        if end.get_node().get_name() != begin.get_node().get_name() and not _is_picture(begin):
            outputs.append(end)
    return outputs


def _last_convolutions(end: ov.Output, roots: Roots) -> ov.Node | None:
    """The first of the convolutions that compute this output, with no other layer after them."""
    first = None
    while _only_reader(end) and not _is_picture(end):
        node = end.get_node()
        if _has_constant(node, "Add", roots) and _only_reader(node.input_value(0)):
            node = node.input_value(0).get_node()
        if not _has_constant(node, "Convolution", roots):
            break
        first, end = node, node.input_value(0)
    return first


def _is_picture(output: ov.Output) -> bool:
    shape = output.get_shape()
    return len(shape) == 4 and shape[1] == PICTURE_CHANNELS


def _only_reader(output: ov.Output) -> ov.Node | None:
    """The one node that reads these values; None where there are several."""
    readers = [target.get_node() for target in output.get_target_inputs()]
    readers = [node for node in readers if node.get_type_name() != "ShapeOf"]
    return readers[0] if len(readers) == 1 else None


def _has_constant(node: ov.Node, kind: str, roots: Roots) -> bool:
    """Whether a node of this kind combines values with constants stored in floating point.

    A layer with quantized weights stays in the network, where the engine recognises it.
    """
    if node.get_type_name() != kind or node.get_input_size() != 2:
        return False
    values, constants = sources_of(node)
    stored = constants
    while stored.get_type_name() in CONVERSIONS:
        stored = stored.input_value(0).get_node()
    is_stored = stored.get_type_name() == "Constant" and stored.get_element_type().is_real()
    return is_stored and bool(roots[values.get_name()])


def _names(parameters: Iterable[ov.Node]) -> frozenset[str]:
    return frozenset(name for node in parameters for name in node.output(0).get_names())
