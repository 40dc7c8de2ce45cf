"""Networks of a few layers, and how they are run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from sdrt.arrays import Array
from sdrt_export.quantization.layers import find_layers, initializer
from sdrt_export.quantization.observation import (
    SEEN,
    SHAPE,
    Statistics,
    observe,
)
from sdrt_export.quantization.ranges import (
    QuantizationRange,
    choose_range,
)

Floats = npt.NDArray[np.float32]


def small_network(first: str = "first", last: str = "last") -> ir.Model:
    """x + conv(linear(silu(conv(x)))): (n, 16, h, w) -> the same."""
    rng = np.random.default_rng(0)
    graph, x, y = empty_graph()
    conv = convolution(graph, first, x, rng.standard_normal((16, 16, 3, 3)) / 12)
    gate = ir.node("Sigmoid", [conv.outputs[0]])
    silu = ir.node("Mul", [conv.outputs[0], gate.outputs[0]])
    rows = ir.node("Transpose", [silu.outputs[0]], {"perm": [0, 2, 3, 1]})
    weight = (rng.standard_normal((16, 64)) / 4).astype(np.float32)
    linear = ir.node("MatMul", [rows.outputs[0], initializer(graph, "linear.weight", weight)])
    back = ir.node("Transpose", [linear.outputs[0]], {"perm": [0, 3, 1, 2]})
    end = convolution(graph, last, back.outputs[0], rng.standard_normal((16, 64, 3, 3)) / 24)
    graph.extend([conv, gate, silu, rows, linear, back, end])
    return finished(graph, ir.node("Add", [end.outputs[0], x]), y)


def vector_network(weight: Floats, is_turned: int) -> ir.Model:
    """One linear layer of vectors: (n, 64) -> (n, 24)."""
    graph, x, y = empty_graph()
    x.shape, y.shape = ir.Shape(["n", 64]), ir.Shape(["n", 24])
    inputs = [x, initializer(graph, "time.weight", weight)]
    return finished(graph, ir.node("Gemm", inputs, {"transB": is_turned}), y)


def concat_network() -> ir.Model:
    """Two convolutions, and one of their concatenation: (n, 16, h, w) -> (n, 64, h, w)."""
    rng = np.random.default_rng(0)
    graph, x, y = empty_graph()
    first = convolution(graph, "one", x, rng.standard_normal((16, 16, 3, 3)) / 12)
    second = convolution(graph, "two", first.outputs[0], rng.standard_normal((48, 16, 3, 3)) / 12)
    both = ir.node("Concat", [first.outputs[0], second.outputs[0]], {"axis": 1})
    graph.extend([first, second, both])
    weights = rng.standard_normal((64, 64, 1, 1)) / 8
    return finished(graph, convolution(graph, "shortcut", both.outputs[0], weights), y)


def empty_graph() -> tuple[ir.Graph, ir.Value, ir.Value]:
    float_type = ir.TensorType(ir.DataType.FLOAT)
    x, y = (
        ir.Value(name=name, shape=ir.Shape(["n", channels, "h", "w"]), type=float_type)
        for name, channels in (("x", 16), ("y", "channels"))
    )
    return ir.Graph([x], [], nodes=[], opset_imports={"": 23}, name="small"), x, y


def convolution(
    graph: ir.Graph, name: str, value: ir.Value, weights: npt.NDArray[np.float64]
) -> ir.Node:
    bias = np.linspace(-1, 1, len(weights)).astype(np.float32)
    inputs = [
        value,
        initializer(graph, f"{name}.weight", weights.astype(np.float32)),
        initializer(graph, f"{name}.bias", bias),
    ]
    side = weights.shape[2]
    node = ir.node("Conv", inputs, {"pads": [side // 2] * 4, "kernel_shape": [side, side]})
    node.outputs[0].name = f"{name}.result"
    return node


def finished(graph: ir.Graph, last: ir.Node, y: ir.Value) -> ir.Model:
    graph.append(last)
    result = last.outputs[0]
    result.name, result.shape, result.type = "y", y.shape, y.type
    graph.outputs.append(result)
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, feeds: dict[str, Floats], folder: Path) -> dict[str, Array]:
    ir.save(model, folder / "run.onnx")
    session = ort.InferenceSession(folder / "run.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def measured(feeds: dict[str, Floats], folder: Path) -> tuple[Array, dict[str, QuantizationRange]]:
    model = small_network()
    values = {
        str(value.name): value for layer in find_layers(model.graph) for value in layer.rounded
    }
    observe(model, values.values())
    outputs = run(model, feeds, folder)
    ranges = {
        name: choose_range(
            Statistics.from_samples(outputs[f"{name}{SEEN}"], outputs[f"{name}{SHAPE}"].tolist())
        )
        for name in values
    }
    return outputs["y"], ranges


def optimized_kinds(model: ir.Model, folder: Path) -> list[str]:
    ir.save(model, folder / "run.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(folder / "run.onnx", options, providers=["CPUExecutionProvider"])
    return list(kinds_of(ir.load(folder / "optimized.onnx")))


def kinds_of(model: ir.Model) -> Iterator[str]:
    for node in model.graph:
        yield node.op_type
