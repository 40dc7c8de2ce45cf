"""What each layer costs when it alone is rounded, and which layers stay in float therefore.

One graph holds every layer in both forms: switches, which are an input, choose whether a layer's
input is rounded. So the network is loaded once, and one run for each layer measures it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sdrt.backends import Array, Network
from sdrt.backends.ort import OrtBackend
from sdrt.manifest import TensorSpec
from sdrt_export.quantization.layers import Layer, constant, find_layers, initializer
from sdrt_export.quantization.observation import Statistics
from sdrt_export.quantization.ranges import (
    Range,
    round_weights,
    squared_error,
    weight_scales,
)
from sdrt_export.quantization.rounding import round_value

SWITCHES = "switches"
MIN_WORTH = 4.0
"""A layer stays in float if its share of the error is so many times its share of the work, ..."""
CHEAP_SHARE = 0.05
"""... as long as all such layers together are no more of the work than this."""
TARGET_DB = 40.0
"""Where all rounding together would leave less of a network's output than this, more layers stay in
float, the worst for their work first, ..."""
DEAR_SHARE = 0.25
"""... up to this share of the work."""


@dataclass(frozen=True)
class Cost:
    """What rounding one layer does to the network's output, and how much of the work it is."""

    error: float
    """Power of the error, relative to the output's: 10 ** (-SQNR / 10)."""
    macs: int

    @property
    def sqnr_db(self) -> float:
        """Signal to error of the output when this layer alone is rounded."""
        return float(-10 * np.log10(max(self.error, 1e-30)))


def add_switches(graph: ir.Graph, ranges: Mapping[str, Range]) -> list[str]:
    """Put a switch before each layer; gives the layers' names in the order of the switches."""
    layers = find_layers(graph)
    switches = ir.Value(
        name=SWITCHES, shape=ir.Shape([len(layers)]), type=ir.TensorType(ir.DataType.BOOL)
    )
    graph.inputs.append(switches)
    rounded: dict[ir.Value, ir.Value] = {}
    for i, layer in enumerate(layers):
        value = layer.input
        if value not in rounded:
            rounded[value] = round_value(graph, value, ranges[str(value.name)], before=layer.node)
        index = initializer(graph, f"switch{i}", np.array(i))
        switch = ir.node("Gather", [switches, index])
        chosen = ir.node("Where", [switch.outputs[0], rounded[value], value])
        graph.insert_before(layer.node, [switch, chosen])
        layer.node.replace_input_with(0, chosen.outputs[0])
    return [layer.name for layer in layers]


def measure_costs(
    network: Network,
    switched: Path,
    layers: Sequence[Layer],
    statistics: Mapping[str, Statistics],
    ranges: Mapping[str, Range],
    cases: Sequence[Mapping[str, Array]],
    threads: int,
) -> dict[str, Cost]:
    """Round one layer after the other on these inputs.

    The switch rounds a layer's input. Its weights' rounding is independent of that and passes
    through the same rest of the network, so its share is scaled from the two errors' ratio.
    """
    told = TensorSpec(name=SWITCHES, dtype="bool", shape=(len(layers),))
    spec = network.spec.model_copy(update={"inputs": (*network.spec.inputs, told)})
    files = (switched, *network.files[1:])
    graph = OrtBackend(threads).open(Network(network.name, spec, files, network.stored))
    output = network.spec.outputs[0].name
    off = np.zeros(len(layers), bool)
    errors = np.zeros(len(layers))
    for feeds in cases:
        expected = graph.run({**feeds, SWITCHES: off})[output].astype(np.float64)
        power = float((expected**2).sum())
        for i in range(len(layers)):
            on = off.copy()
            on[i] = True
            found = graph.run({**feeds, SWITCHES: on})[output]
            errors[i] += float(((found - expected) ** 2).sum()) / power / len(cases)
    costs = {}
    for layer, error in zip(layers, errors, strict=True):
        seen = statistics[str(layer.input.name)]
        of_input = squared_error(seen, ranges[str(layer.input.name)]) / seen.mean_square()
        whole = error * (1 + _weight_error(layer) / max(of_input, 1e-12))
        costs[layer.name] = Cost(whole, layer.macs(_positions(layer, statistics)))
    return costs


def keep_in_float(costs: Mapping[str, Cost]) -> list[str]:
    """The layers that cause most error for their work, as long as they are little of the work.

    Errors of layers are independent, so that their powers add up.
    """
    error = sum(cost.error for cost in costs.values())
    macs = sum(cost.macs for cost in costs.values())
    kept: list[str] = []
    share, left = 0.0, error
    for name in sorted(costs, key=lambda name: costs[name].macs / max(costs[name].error, 1e-30)):
        cost = costs[name]
        own = cost.macs / macs
        is_worth_it = cost.error / error >= MIN_WORTH * own and share + own <= CHEAP_SHARE
        is_needed = left > 10 ** (-TARGET_DB / 10) and share + own <= DEAR_SHARE
        if is_worth_it or is_needed:
            kept.append(name)
            share, left = share + own, left - cost.error
    return kept


def _weight_error(layer: Layer) -> float:
    """Power of the rounding of a layer's weights, relative to the weights'."""
    weights = constant(layer.weight).numpy()
    scales = weight_scales(weights, layer.out_axis)
    shape = [1] * weights.ndim
    shape[layer.out_axis] = -1
    rounded = round_weights(weights, scales, layer.out_axis) * scales.reshape(shape)
    return float(((rounded - weights) ** 2).sum() / (weights**2).sum())


def _positions(layer: Layer, statistics: Mapping[str, Statistics]) -> int:
    """Rows of pixels or tokens that a layer made in the last run."""
    shape = statistics[str(layer.node.outputs[0].name)].shape
    outputs = layer.shape[layer.out_axis]
    return int(np.prod(shape)) // outputs
