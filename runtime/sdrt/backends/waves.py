"""Keeps the waves of a time embedding out of bf16.

A U-Net is told the timestep as sines and cosines of up to 1000. Where OpenVINO executes bf16 it
rounds their arguments to 8 bits, so that late timesteps are told wrong by up to two: for Stable
Diffusion 1.5 that is a larger error than all others together. The graph is cut behind the waves
when it is opened. They become inputs, and a graph of their own computes them in fp32; files stay as
they are, and those that others exported are treated alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import openvino as ov
from openvino import opset13

from sdrt.backends import Array

WAVES = ("Sin", "Cos")
LAYERS = ("MatMul", "Convolution")
MAX_RANK = 2  # of inputs that waves are made of: timesteps, and sizes of pictures in a batch
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


@dataclass(frozen=True)
class Waves:
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


def cut_waves(core: ov.Core, model: ov.Model) -> Waves | None:
    """Cut a model of known shapes behind its waves, in place; None where it has none."""
    ends = _ends(model)
    if not ends:
        return None
    above = _ancestors(end.get_node() for end in ends)
    taken = [one for one in model.get_parameters() if one.get_name() in above]
    apart = ov.Model([opset13.result(end) for end in ends], taken, "waves")
    request = core.compile_model(apart, "CPU", SETTINGS).create_infer_request()
    names = tuple(f"waves_{i}" for i in range(len(ends)))
    for end, name in zip(ends, names, strict=True):
        made = opset13.parameter(end.get_shape(), end.get_element_type(), name)
        made.output(0).set_names({name})
        for target in end.get_target_inputs():
            if target.get_node().get_type_name() != "Result":
                target.replace_source_output(made.output(0))
        model.add_parameters([made])
    used = _ancestors(model.get_results())
    replaced = [one for one in taken if one.get_name() not in used]
    for parameter in replaced:
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return Waves(request, _names(taken), names, _names(replaced))


def _ends(model: ov.Model) -> list[ov.Output]:
    """Outputs of the region of waves: from sine and cosine up to the first layer with weights."""
    ordered = model.get_ordered_ops()
    roots = _roots(ordered)
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
