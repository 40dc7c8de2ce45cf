"""The error of each layer when it alone is rounded, and the choice of layers that stay in float.

One graph holds every layer in both forms: switches, which are an input, choose the layers that are
rounded, in their input and, as ONNX Runtime needs it, in a convolution's result. So the network is
loaded once, and one run measures a layer, or several at once if they share an input, as queries,
keys and values do, or have the same place in the blocks of a deep transformer.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sdrt.arrays import Array
from sdrt.backends import Network
from sdrt.backends.onnxruntime.backend import OrtBackend
from sdrt.machine import give_back_memory
from sdrt.manifest import TensorSpec
from sdrt_export.quantization.layers import OnnxLayer, constant, find_layers, initializer, uses
from sdrt_export.quantization.observation import Statistics
from sdrt_export.quantization.ranges import (
    QuantizationRange,
    along,
    round_weights,
    squared_error,
    weight_scales,
)
from sdrt_export.quantization.rounding import round_value

SWITCHES = "switches"
MIN_WORTH = 4.0
"""A layer stays in float if its share of the error is at least this many times its share of the
work, as long as all such layers together stay below `CHEAP_SHARE`."""
CHEAP_SHARE = 0.05
"""The largest share of the work of layers that stay in float because that is worth it."""
TARGET_DB = {"unet": 35.0, "controlnet": 35.0}
TARGET_DB_ONCE = 40.0
"""Where all rounding together would leave less SQNR of a network's output than this, more layers
stay in float, those with most error for their work first, up to `DEAR_SHARE`. A run consists mostly
of the U-Net; a network that runs once per image can afford more."""
DEAR_SHARE = 0.25
"""The largest share of the work of layers that stay in float because the output needs it."""
STACKED = re.compile(r"\.transformer_blocks\.\d+\.")
"""The blocks of one attention of a U-Net; SDXL has up to ten in a row."""


@dataclass(frozen=True)
class LayerCost:
    """The error that rounding one layer causes in the network's output, and the layer's work."""

    error: float
    """Power of the error, relative to the output's: 10 ** (-SQNR / 10)."""
    macs: int
    """Multiplications of the layer in one run."""

    @property
    def sqnr_db(self) -> float:
        """Signal to error of the output when this layer alone is rounded."""
        return float(-10 * np.log10(max(self.error, 1e-30)))


def add_switches(graph: ir.Graph, ranges: Mapping[str, QuantizationRange]) -> None:
    """Add an input with a switch for each layer, in the order of `find_layers`."""
    layers = find_layers(graph)
    switches = ir.Value(
        name=SWITCHES, shape=ir.Shape([len(layers)]), type=ir.TensorType(ir.DataType.BOOL)
    )
    graph.inputs.append(switches)
    rounded: dict[ir.Value, ir.Value] = {}
    inputs = [str(layer.input.name) for layer in layers]  # before switches stand in their place
    for i, (layer, name) in enumerate(zip(layers, inputs, strict=True)):
        value, result = layer.input, layer.node.outputs[0]
        if value not in rounded:
            rounded[value] = round_value(graph, value, ranges[name], before=layer.node)
        index = initializer(graph, f"{SWITCHES}/{i}", np.array(i))
        switch = ir.node("Gather", [switches, index])
        chosen = _choose(switch, rounded[value], value)
        graph.insert_before(layer.node, [switch, chosen])
        layer.node.replace_input_with(0, chosen.outputs[0])
        if layer.is_conv and not result.is_graph_output():
            takers = list(uses(result))
            rounded[result] = round_value(graph, result, ranges[str(result.name)], after=layer.node)
            reader = rounded[result].producer()
            assert reader is not None
            chosen = _choose(switch, rounded[result], result)
            graph.insert_after(reader, chosen)
            for taker, place in takers:
                taker.replace_input_with(place, chosen.outputs[0])


def _choose(switch: ir.Node, rounded: ir.Value, exact: ir.Value) -> ir.Node:
    node = ir.node("Where", [switch.outputs[0], rounded, exact])
    node.outputs[0].name = f"{rounded.name}/{switch.inputs[1].name}"  # type: ignore[union-attr]
    return node


@dataclass(frozen=True)
class Measurement:
    """What the errors of a network's layers are measured with."""

    network: Network
    switched: Path
    """The graph with a switch for each layer."""
    feeds: Mapping[str, Array]
    """The inputs."""
    outputs: Sequence[str]
    """The outputs in which errors count, each relative to its own power."""
    threads: int

    def errors_of(self, layers: Sequence[OnnxLayer]) -> Callable[[Sequence[OnnxLayer]], float]:
        """A function from layers that are rounded together to the mean error of the outputs."""
        switches_input = TensorSpec(name=SWITCHES, dtype="bool", shape=(len(layers),))
        network = self.network
        spec = network.spec.model_copy(update={"inputs": (*network.spec.inputs, switches_input)})
        files = (self.switched, *network.files[1:])
        graph = OrtBackend(self.threads).open(Network(network.name, spec, files, network.stored))
        none = np.zeros(len(layers), bool)
        whole = graph.run({**self.feeds, SWITCHES: none})
        exact = {name: whole[name].astype(np.float64) for name in self.outputs}

        def error(group: Sequence[OnnxLayer]) -> float:
            names = {layer.name for layer in group}
            switches = np.array([layer.name in names for layer in layers])
            rounded = graph.run({**self.feeds, SWITCHES: switches})
            errors = [
                float(((rounded[name] - expected) ** 2).sum()) / float((expected**2).sum())
                for name, expected in exact.items()
            ]
            return sum(errors) / len(errors)

        return error


def measure_costs(
    measurement: Measurement,
    layers: Sequence[OnnxLayer],
    statistics: Mapping[str, Statistics],
    ranges: Mapping[str, QuantizationRange],
) -> dict[str, LayerCost]:
    """Round one layer after another, or the layers of a group together, on one set of inputs.

    An error that layers cause together is divided by their work.
    The rounding of a layer's weights is independent of that of its input and result and passes
    through the same rest of the network, so its share is scaled from the errors' ratio.
    """
    error_of = measurement.errors_of(layers)
    macs = {layer.name: layer.macs(_positions(layer, statistics)) for layer in layers}
    errors: dict[str, float] = {}
    for group in groups_of(layers):
        names = [layer.name for layer in group]
        error = error_of(group)
        errors |= {name: error * macs[name] / sum(macs[n] for n in names) for name in names}
    del error_of  # and its graph, before the weights are read once more
    give_back_memory()
    costs = {}
    for layer in layers:
        measured = sum(_relative_error(value, statistics, ranges) for value in layer.rounded)
        error = errors[layer.name] * (1 + _weight_error(layer) / max(measured, 1e-12))
        costs[layer.name] = LayerCost(error, macs[layer.name])
    return costs


def groups_of(layers: Sequence[OnnxLayer]) -> list[list[OnnxLayer]]:
    """Layers that are measured together: neighbours with one input.

    Keys and values of the text, which all have one input, are grouped by attention. Where an
    attention has several blocks in a row, the layers of one place in all of them are one group:
    their inputs are alike, and SDXL's U-Net takes 157 runs in place of 570.
    """
    groups: dict[tuple[str, ...], list[OnnxLayer]] = {}
    for _, group in groupby(layers, lambda layer: layer.input):
        together = list(group)
        places = tuple(STACKED.sub(".transformer_blocks.", layer.name) for layer in together)
        groups.setdefault(places, []).extend(together)
    return list(groups.values())


def keep_in_float(costs: Mapping[str, LayerCost], network: str) -> list[str]:
    """The layers that cause most error for their work, up to a share of the work.

    Errors of layers are independent, so that their powers add up.
    """
    error = sum(cost.error for cost in costs.values())
    macs = sum(cost.macs for cost in costs.values())
    allowed = 10 ** (-TARGET_DB.get(network, TARGET_DB_ONCE) / 10)
    kept: list[str] = []
    share, left = 0.0, error
    for name in sorted(costs, key=lambda name: costs[name].macs / max(costs[name].error, 1e-30)):
        cost = costs[name]
        own = cost.macs / macs
        is_worth_it = cost.error / error >= MIN_WORTH * own and share + own <= CHEAP_SHARE
        is_needed = left > allowed and share + own <= DEAR_SHARE
        if is_worth_it or is_needed:
            kept.append(name)
            share, left = share + own, left - cost.error
    return kept


def _relative_error(
    value: ir.Value, statistics: Mapping[str, Statistics], ranges: Mapping[str, QuantizationRange]
) -> float:
    """Power of the rounding of a tensor, relative to the tensor's."""
    seen = statistics[str(value.name)]
    return squared_error(seen, ranges[str(value.name)]) / max(seen.mean_square(), 1e-30)


def _weight_error(layer: OnnxLayer) -> float:
    """Power of the rounding of a layer's weights, relative to the weights'."""
    weights = constant(layer.weight).numpy()
    scales = weight_scales(weights, layer.out_axis)
    rounded = round_weights(weights, scales, layer.out_axis)
    read_back = rounded * along(scales, weights.ndim, layer.out_axis)
    return float(((read_back - weights) ** 2).sum() / (weights**2).sum())


def _positions(layer: OnnxLayer, statistics: Mapping[str, Statistics]) -> int:
    """The number of pixels or tokens in a layer's result in the last run."""
    if layer.is_conv:
        batch, _, height, width = statistics[str(layer.node.outputs[0].name)].shape
        return batch * height * width
    return math.prod(statistics[str(layer.input.name)].shape[:-1])
