"""Peak rates of this machine's engines: a chain of one large layer, in each precision.

The layers have the sizes of Stable Diffusion's at 64x64 latents. They go through a file and
`Backend` as networks do, so that engines get the same settings.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from sdrt.backends import Network, open_backend
from sdrt.errors import SdrtError
from sdrt.machine import has_bf16, has_int8
from sdrt.manifest import GraphSpec, Precision, TensorSpec
from sdrt_bench.bench.record import Peak

Kind = Literal["gemm", "conv"]
KINDS: tuple[Kind, ...] = ("gemm", "conv")
SHAPES: dict[Kind, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "gemm": ((1, 1024, 1280), (1280, 1280)),
    "conv": ((1, 320, 64, 64), (320, 320, 3, 3)),
}
LAYERS = 3
OPSET, IR_VERSION = 17, 8


def peaks(
    backends: Sequence[str], precisions: Sequence[str], threads: int, seconds: float = 0.5
) -> Iterator[Peak]:
    """Measure each engine in each precision that it has, about `seconds` for each layer."""
    with TemporaryDirectory(prefix="sdrt-peaks-") as folder:
        for kind in KINDS:
            for precision in precisions:
                for backend in backends:
                    if _can(backend, precision):
                        peak = _peak(Path(folder), kind, backend, precision, threads, seconds)
                        if peak:
                            yield peak


def _can(backend: str, precision: str) -> bool:
    if precision == "bf16":
        return backend == "openvino" and has_bf16()
    return precision != "int8" or has_int8()


def _peak(
    folder: Path, kind: Kind, backend: str, precision: str, threads: int, seconds: float
) -> Peak | None:
    """Give None where the engine cannot run the layer."""
    stored: Precision = "int8" if precision == "int8" else "fp32"
    network = _network(folder, kind, stored)
    shape, _ = SHAPES[kind]
    feeds = {"x": np.random.default_rng(0).standard_normal(shape, np.float32)}
    try:
        engine = open_backend(backend, threads=threads, precision=precision)  # type: ignore[arg-type]
        graph = engine.open(network)
        for _ in range(2):  # the first one compiles, or is profiled
            graph.run(feeds)
    except SdrtError:
        return None
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        graph.run(feeds)
        times.append(time.perf_counter() - started)
    macs = math.prod(shape) * _fan_in(kind) * LAYERS  # layers keep the shape
    return Peak(
        backend=backend,
        precision=precision,
        executed=graph.executed().precision,
        kind=kind,
        gflops=round(2 * macs / min(times) / 1e9, 2),
        threads=threads,
    )


def _network(folder: Path, kind: Kind, stored: Precision) -> Network:
    file = folder / f"{kind}-{stored}.onnx"
    if not file.exists():
        onnx.save(_model(kind, stored), file)
    shape = SHAPES[kind][0]
    spec = GraphSpec(
        files={"onnx": (file.name,)},
        inputs=(TensorSpec(name="x", dtype="float32", shape=shape),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=shape),),
    )
    return Network(f"{kind} in {stored}", spec, (file,), stored)


def _fan_in(kind: Kind) -> int:
    """Multiply-adds for one value of the output."""
    weights = SHAPES[kind][1]
    return math.prod(weights[1:] if kind == "conv" else weights[:1])


def _model(kind: Kind, stored: Precision) -> onnx.ModelProto:
    shape, weights = SHAPES[kind]
    values = np.random.default_rng(1).standard_normal(weights, np.float32)
    values /= math.sqrt(_fan_in(kind) / 2)  # Relu cuts off half of the input
    constants: Mapping[str, npt.ArrayLike] = {"w": values}
    if stored == "int8":
        constants = _quantized(values)
    # Without a Relu at both ends OpenVINO would compute the layers in fp32
    # (`sdrt.backends.openvino.fp32_layers`).
    nodes = [helper.make_node("Relu", ["x"], ["t0"])]
    if stored == "int8":
        nodes.append(helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["w"]))
    for layer in range(LAYERS):
        source, product = f"t{layer}", f"m{layer}"
        if stored == "int8":
            ints, floats = f"q{layer}", f"d{layer}"
            nodes.append(helper.make_node("QuantizeLinear", [source, "xs", "xz"], [ints]))
            nodes.append(helper.make_node("DequantizeLinear", [ints, "xs", "xz"], [floats]))
            source = floats
        if kind == "conv":
            nodes.append(helper.make_node("Conv", [source, "w"], [product], pads=[1, 1, 1, 1]))
        else:
            nodes.append(helper.make_node("MatMul", [source, "w"], [product]))
        output = "y" if layer == LAYERS - 1 else f"t{layer + 1}"
        nodes.append(helper.make_node("Relu", [product], [output]))
    return helper.make_model(
        helper.make_graph(
            nodes,
            kind,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _quantized(values: npt.NDArray[np.float32]) -> dict[str, npt.ArrayLike]:
    """Weights as signed 8-bit integers, and scales and zero points of weights and activations."""
    scale = np.float32(np.abs(values).max() / 127)
    return {
        "w8": np.round(values / scale).astype(np.int8),
        "ws": scale,
        "wz": np.int8(0),
        "xs": np.float32(4 / 255),
        "xz": np.uint8(0),
    }
