"""One network of an artifact inside a graph that holds several."""

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper


class Subgraph:
    """A network's nodes and weights under names of their own, in a graph of several networks."""

    def __init__(self, name: str, graph: GraphProto) -> None:
        self.name = name
        self.weights = list(graph.initializer)
        self.nodes = list(graph.node)
        for weight in self.weights:
            weight.name = self.at(weight.name)
        for node in self.nodes:
            node.name = self.at(node.name)
            node.input[:] = [self.at(name) for name in node.input]
            node.output[:] = [self.at(name) for name in node.output]

    def at(self, value: str) -> str:
        """The new name of a value; an omitted input stays without a name."""
        return f"{self.name}/{value}" if value else ""

    def open_group_norms(self) -> None:
        """Decompose group norms into simpler operators.

        OpenVINO keeps them whole for kernels that it lacks inside a loop; ONNX Runtime decomposes
        them anyway.
        """
        opened: list[NodeProto] = []
        for node in self.nodes:
            opened += self._open(node) if node.op_type == "GroupNormalization" else [node]
        self.nodes = opened

    def _open(self, node: NodeProto) -> list[NodeProto]:
        x, scale, bias = node.input
        made = {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        groups = made["num_groups"]
        ones, zeros, apart = (self.at(f"{what}_{groups}") for what in ("ones", "zeros", "apart"))
        known = {weight.name for weight in self.weights}
        for name, array in (
            (ones, np.ones(groups, np.float32)),
            (zeros, np.zeros(groups, np.float32)),
            (apart, np.array([0, groups, -1])),
            (self.at("sides"), np.array([1, 2])),
        ):
            if name not in known:
                self.weights.append(numpy_helper.from_array(array, name))
        at = node.name
        make = helper.make_node
        return [
            make("Reshape", [x, apart], [f"{at}/groups"]),
            make(
                "InstanceNormalization",
                [f"{at}/groups", ones, zeros],
                [f"{at}/even"],
                epsilon=made.get("epsilon", 1e-5),
            ),
            make("Shape", [x], [f"{at}/shape"]),
            make("Reshape", [f"{at}/even", f"{at}/shape"], [f"{at}/joined"]),
            make("Unsqueeze", [scale, self.at("sides")], [f"{at}/scale"]),
            make("Unsqueeze", [bias, self.at("sides")], [f"{at}/bias"]),
            make("Mul", [f"{at}/joined", f"{at}/scale"], [f"{at}/scaled"]),
            make("Add", [f"{at}/scaled", f"{at}/bias"], list(node.output)),
        ]

    def split(self) -> tuple[list[NodeProto], list[NodeProto]]:
        """Nodes that depend on weights alone, such as casts of stored weights, and the others.

        `DequantizeLinear` stays with its reader, so that engines see the two as one.
        """
        known = {weight.name for weight in self.weights}
        constant, others = [], []
        for node in self.nodes:
            is_constant = node.input and all(name in known for name in node.input if name)
            if is_constant and node.op_type != "DequantizeLinear":
                known.update(node.output)
                constant.append(node)
            else:
                others.append(node)
        return constant, others
