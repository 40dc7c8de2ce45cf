"""Keeps out of bf16 what stands at the two ends of a network and must not be rounded.

A U-Net is told the timestep as sines and cosines of up to 1000. Where OpenVINO executes bf16 it
rounds their arguments to 8 bits, so that late timesteps are told wrong by up to two: for Stable
Diffusion 1.5 that is a larger error than all others together. It also rounds the latents before
anything has looked at them, and what the last convolution adds up; what a U-Net predicts is mostly
a copy of its latents, and shows both errors whole. All three cost next to nothing in fp32
(docs/internals/bf16.md has the figures).

When a network is opened it is cut behind the waves, behind the first convolutions and before the
last ones. Graphs of their own compute the ends in fp32; files stay as they are, and those that
others exported are treated alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import openvino as ov
from openvino import opset13

from sdrt.arrays import Array

WAVES = ("Sin", "Cos")
LAYERS = ("MatMul", "Convolution")
MAX_RANK = 2  # of inputs that waves are made of: timesteps, and sizes of pictures in a batch
PICTURE_CHANNELS = 3  # eight bits are enough for a picture, and its layer would be a large one
PASSING = ("Convert", "Reshape")  # from how a constant is stored to how it is used
CUT = "sdrt_cut"
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}

Roots = Mapping[str, set[str]]


@dataclass(frozen=True)
class Head:
    """A graph in fp32 that computes what a cut network takes in place of some of its inputs."""

    request: ov.InferRequest
    inputs: frozenset[str]
    names: tuple[str, ...]
    replaced: frozenset[str]
    """Inputs that the cut network takes no more."""

    def complete(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Turn feeds of the whole network into those of the cut one."""
        own = {name: array for name, array in feeds.items() if name in self.inputs}
        self.request.infer(own, share_inputs=True)
        made = {name: self.request.get_output_tensor(i).data for i, name in enumerate(self.names)}
        return {**{name: a for name, a in feeds.items() if name not in self.replaced}, **made}


@dataclass(frozen=True)
class Tail:
    """A graph in fp32 that computes one output from what a cut network gives in its place."""

    request: ov.InferRequest
    names: frozenset[str]
    """Of the output."""

    def infer(self, cut: ov.InferRequest) -> None:
        """Run, after a run of the cut network."""
        self.request.infer({CUT: cut.get_tensor(CUT).data}, share_inputs=True)

    def output(self) -> Array:
        """A copy of what the last run gave."""
        array: Array = self.request.get_output_tensor(0).data.copy()
        return array


def cut_head(core: ov.Core, model: ov.Model) -> Head | None:
    """Cut waves and first convolutions off a model of known shapes, in place; None without any."""
    roots = _roots(model.get_ordered_ops())
    ends = _behind_waves(model, roots) + _behind_first_convolutions(model, roots)
    if not ends:
        return None
    above = _ancestors(end.get_node() for end in ends)
    taken = [one for one in model.get_parameters() if one.get_name() in above]
    apart = ov.Model([opset13.result(end) for end in ends], taken, "head")
    request = core.compile_model(apart, "CPU", SETTINGS).create_infer_request()
    names = tuple(f"{CUT}_{i}" for i in range(len(ends)))
    for end, name in zip(ends, names, strict=True):
        made = _input_like(end, name)
        for target in end.get_target_inputs():
            if target.get_node().get_type_name() != "Result":
                target.replace_source_output(made.output(0))
        model.add_parameters([made])
    used = _ancestors(model.get_results())
    replaced = [one for one in taken if one.get_name() not in used]
    for parameter in replaced:
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return Head(request, _names(taken), names, _names(replaced))


def cut_tail(core: ov.Core, model: ov.Model) -> Tail | None:
    """Cut the last convolutions off a model of known shapes, in place; None without any."""
    roots = _roots(model.get_ordered_ops())
    for result in model.get_results():
        end = result.input_value(0)
        first = _last_convolutions(end, roots)
        if first is None:
            continue
        begin = first.input_value(0)
        made = _input_like(begin, CUT)
        first.input(0).replace_source_output(made.output(0))
        apart = ov.Model([opset13.result(end)], [made], "tail")
        request = core.compile_model(apart, "CPU", SETTINGS).create_infer_request()
        begin.add_names({CUT})
        model.remove_result(result)
        model.add_results([opset13.result(begin)])
        model.validate_nodes_and_infer_types()
        return Tail(request, frozenset(end.get_names()))
    return None


def _input_like(output: ov.Output, name: str) -> ov.Node:
    made = opset13.parameter(output.get_shape(), output.get_element_type(), name)
    made.output(0).set_names({name})
    return made


def _behind_waves(model: ov.Model, roots: Roots) -> list[ov.Output]:
    """Outputs of the region of waves: from sine and cosine up to the first layer with weights."""
    ordered = model.get_ordered_ops()
    small = {p.get_name() for p in model.get_parameters() if len(p.get_shape()) <= MAX_RANK}
    inside: set[str] = set()
    for node in ordered:
        name, kind = node.get_name(), node.get_type_name()
        begins = kind in WAVES or any(one.get_name() in inside for one in _inputs(node))
        if begins and kind not in LAYERS and roots[name] and roots[name] <= small:
            inside.add(name)
    return [
        output
        for node in ordered
        if node.get_name() in inside
        for output in node.outputs()
        if any(one.get_node().get_name() not in inside for one in output.get_target_inputs())
    ]


def _behind_first_convolutions(model: ov.Model, roots: Roots) -> list[ov.Output]:
    """Outputs of the convolutions that nothing stands before but an input such as latents."""
    ends = []
    for parameter in model.get_parameters():
        begin = end = parameter.output(0)
        while (reader := _only_reader(end)) and _takes_constant(reader, "Convolution", roots):
            end = reader.output(0)
            if (bias := _only_reader(end)) and _takes_constant(bias, "Add", roots):
                end = bias.output(0)
        if end.get_node().get_name() != begin.get_node().get_name() and not _is_picture(begin):
            ends.append(end)
    return ends


def _last_convolutions(end: ov.Output, roots: Roots) -> ov.Node | None:
    """The first of the convolutions that nothing stands behind but an output such as latents."""
    first = None
    while _only_reader(end) and not _is_picture(end):
        node = end.get_node()
        if _takes_constant(node, "Add", roots) and _only_reader(node.input_value(0)):
            node = node.input_value(0).get_node()
        if not _takes_constant(node, "Convolution", roots):
            break
        first, end = node, node.input_value(0)
    return first


def _is_picture(output: ov.Output) -> bool:
    shape = output.get_shape()
    return len(shape) == 4 and shape[1] == PICTURE_CHANNELS


def _only_reader(output: ov.Output) -> ov.Node | None:
    """The one node that reads these values; None where there are several."""
    readers = [one.get_node() for one in output.get_target_inputs()]
    readers = [node for node in readers if node.get_type_name() != "ShapeOf"]
    return readers[0] if len(readers) == 1 else None


def _takes_constant(node: ov.Node, kind: str, roots: Roots) -> bool:
    """Whether a node of this kind joins values with constants that are stored in floating point.

    A layer whose weights are quantized is left where its engine can find it.
    """
    if node.get_type_name() != kind or node.get_input_size() != 2:
        return False
    values, constants = _inputs(node)
    stored = constants
    while stored.get_type_name() in PASSING:
        stored = stored.input_value(0).get_node()
    is_stored = stored.get_type_name() == "Constant" and stored.get_element_type().is_real()
    return is_stored and bool(roots[values.get_name()])


def _roots(ordered: Iterable[ov.Node]) -> dict[str, set[str]]:
    """For each node, the inputs of the model whose values, and not only shapes, it depends on."""
    roots: dict[str, set[str]] = {}
    for node in ordered:
        name, kind = node.get_name(), node.get_type_name()
        if kind == "Parameter":
            roots[name] = {name}
        elif kind == "ShapeOf":
            roots[name] = set()
        else:
            roots[name] = set().union(*(roots[one.get_name()] for one in _inputs(node)))
    return roots


def _ancestors(nodes: Iterable[ov.Node]) -> set[str]:
    """Names of these nodes and of all that they are made of."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.get_name() not in found:
            found.add(node.get_name())
            waiting += _inputs(node)
    return found


def _inputs(node: ov.Node) -> list[ov.Node]:
    return [node.input_value(i).get_node() for i in range(node.get_input_size())]


def _names(parameters: Iterable[ov.Node]) -> frozenset[str]:
    return frozenset(name for one in parameters for name in one.output(0).get_names())
