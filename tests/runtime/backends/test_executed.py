"""What an engine executed: the precision of its kernels, weighed by how much they compute."""

import tempfile
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from sdrt import machine
from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact
from sdrt.backends import Graph, Network, open_backend
from sdrt.backends.executed import Executed, Kernel, executed
from sdrt.backends.onnxruntime.weights import convolution_sizes
from sdrt.backends.openvino.backend import OpenVinoBackend
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.manifest import GraphSpec, TensorSpec

ENGINES = ["onnxruntime", "openvino"]
WIDTH, SIDE = 32, 16
# Multiply-adds of a value: a convolution of 3x3 and a product in integers, a product in float.
INTEGER, FLOAT = WIDTH * 9 + WIDTH, WIDTH


class Quantized:
    """Writes a graph as a quantizer does: Conv and MatMul between Q/DQ, and a MatMul in float."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def write(self, path: Path) -> None:
        activation = self.quantized("x", 0.02)
        scale = np.full(WIDTH, 0.002, np.float32)
        weights = self.stored("kernel", self.integers(WIDTH, WIDTH, 3, 3), scale, axis=0)
        bias = self.rng.integers(-1000, 1000, WIDTH, np.int32)
        bias_name = self.stored("bias", bias, scale * np.float32(0.02), axis=0)
        self.nodes.append(
            make_node(
                "Conv",
                [activation, weights, bias_name],
                ["convolved"],
                name="node_conv2d",
                kernel_shape=[3, 3],
                pads=[1] * 4,
            )
        )
        rows = self.constant("rows", np.array([0, WIDTH, -1]))
        self.add("Reshape", [self.quantized("convolved", 0.05), rows], "flat")
        self.add("Transpose", ["flat"], "tokens", perm=[0, 2, 1])
        self.add("Sigmoid", ["tokens"], "gate")
        self.add("Mul", ["tokens", "gate"], "gated")
        matrix = self.stored("matrix", self.integers(WIDTH, WIDTH), scale, axis=1)
        self.add("MatMul", [self.quantized("gated", 0.02), matrix], "product")
        wide = self.rng.standard_normal((WIDTH, WIDTH), np.float32)
        self.add("MatMul", ["product", self.constant("wide", wide)], "y")
        kind = TensorProto.FLOAT
        graph = make_graph(
            self.nodes,
            "quantized",
            [make_tensor_value_info("x", kind, ["n", WIDTH, "h", "w"])],
            [make_tensor_value_info("y", kind, ["n", "hw", WIDTH])],
            self.constants,
        )
        onnx.save(make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10), path)

    def integers(self, *shape: int) -> Array:
        return self.rng.integers(-127, 128, shape, np.int8)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def constant(self, name: str, values: Array) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def stored(self, name: str, values: Array, scale: Array, axis: int) -> str:
        zero = self.constant(f"{name}_zero", np.zeros(WIDTH, values.dtype))
        inputs = [self.constant(f"{name}_stored", values), self.constant(f"{name}_scale", scale)]
        return self.add("DequantizeLinear", [*inputs, zero], name, axis=axis)

    def quantized(self, name: str, scale: float) -> str:
        how = [
            self.constant(f"{name}_scale", np.array(scale, np.float32)),
            self.constant(f"{name}_zero", np.array(128, np.uint8)),
        ]
        self.add("QuantizeLinear", [name, *how], f"{name}_quantized")
        return self.add("DequantizeLinear", [f"{name}_quantized", *how], f"{name}_dequantized")


@pytest.fixture
def int8(tmp_path: Path) -> Network:
    Quantized().write(tmp_path / "model.onnx")
    spec = GraphSpec(
        files={"onnx": ("model.onnx",)},
        inputs=(TensorSpec(name="x", dtype="float32", shape=("n", WIDTH, "h", "w")),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("n", "hw", WIDTH)),),
    )
    return Network("unet", spec, (tmp_path / "model.onnx",), "int8")


FEEDS = {"x": np.random.default_rng(1).standard_normal((1, WIDTH, SIDE, SIDE), np.float32)}


@pytest.mark.parametrize("engine", ENGINES)
def test_integer_kernels_are_told_from_the_floats_between_them(engine: str, int8: Network) -> None:
    graph = open_backend(engine, precision="fp32").open(int8)
    with pytest.raises(ValueError, match="unet has not run yet"):
        graph.executed()
    graph.run(FEEDS)
    execution = graph.executed()
    assert execution.precision == "int8"
    assert execution.shares == pytest.approx(
        {"int8": INTEGER / (INTEGER + FLOAT), "fp32": FLOAT / (INTEGER + FLOAT)}, abs=1e-4
    )
    macs = sum(kernel.macs for kernel in execution.kernels)
    assert macs == SIDE * SIDE * WIDTH * (INTEGER + FLOAT)
    assert execution.time_shares == {}


def test_what_is_left_in_float_runs_in_bf16_if_openvino_is_told(int8: Network) -> None:
    if not OpenVinoBackend().has_bf16:
        pytest.skip("this processor has no bf16 arithmetic")
    graph = OpenVinoBackend(precision="bf16").open(int8)
    graph.run(FEEDS)
    assert list(graph.executed().shares) == ["int8", "bf16"]


def test_the_engines_agree_on_integers(int8: Network) -> None:
    outputs, other = (
        open_backend(name, precision="fp32").open(int8).run(FEEDS) for name in ENGINES
    )
    assert snr_db(outputs["y"], other["y"]) > 50


def test_float_networks_of_onnxruntime_run_in_fp32(demo: Artifact) -> None:
    graph = opened(demo, "unet", "onnxruntime")  # stored in bf16
    assert graph.executed().shares == {"fp32": 1.0}
    profiled = graph.profile(seeded_feeds(demo, "unet"))
    assert profiled.shares == {"fp32": 1.0}
    assert not [kernel for kernel in profiled.kernels if kernel.precision == "bf16"]
    kinds = {kernel.kind for kernel in profiled.kernels}
    assert {"Conv", "MatMul", "MultiHeadAttention"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_encoder", "unet", "vae_decoder", "vae_encoder"])
def test_the_engines_count_the_same_work(demo: Artifact, name: str) -> None:
    """But for channels, which ONNX Runtime fills up to whole vectors."""
    feeds, counts = seeded_feeds(demo, name), []
    for engine in ENGINES:
        profile = opened(demo, name, engine).profile(feeds)
        counts.append(sum(kernel.macs for kernel in profile.kernels))
        assert sum(profile.time_shares.values()) == pytest.approx(1, abs=0.01)
    assert counts[0] == pytest.approx(counts[1], rel=0.03)


def opened(artifact: Artifact, name: str, engine: str) -> Graph:
    backend = open_backend(engine, precision="fp32")
    return backend.open(artifact.network(name, backend.formats))


def test_a_profile_of_a_first_run_leaves_no_file(
    int8: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    ran, unused = (open_backend("onnxruntime").open(int8) for _ in range(2))
    assert len(list(folder.iterdir())) == 2
    for _ in range(2):
        ran.run(FEEDS)
    ran.profile(FEEDS)
    assert len(list(folder.iterdir())) == 1
    del unused
    assert list(folder.iterdir()) == []


def test_sizes_of_convolutions_are_those_that_the_package_onnx_reads(demo: Artifact) -> None:
    for name in ("unet", "vae_decoder"):
        path = demo.root / name / "model.onnx"
        graph = onnx.load(path, load_external_data=False).graph
        shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
        sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        expected = {
            node.name: prod(shapes[sources.get(node.input[1], node.input[1])][1:])
            for node in graph.node
            if node.op_type == "Conv"
        }
        assert convolution_sizes(path) == expected
        assert len(expected) > 20


def test_the_most_work_and_not_the_most_kernels_name_the_precision() -> None:
    kernels = [Kernel("Convolution", "bf16", 900, "avx512", 1.0)]
    kernels += [Kernel("MatMul", "fp32", 10, "avx2", 0.1) for _ in range(10)]
    kernels += [Kernel("Softmax", "fp32", 0, "", 2.0)]
    execution = executed(kernels)
    assert (execution.precision, execution.shares) == ("bf16", {"bf16": 0.9, "fp32": 0.1})
    assert (execution.isa, execution.isa_from) == ("avx512", "kernels")
    assert execution.time_shares == {"fp32": 0.75, "bf16": 0.25}


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("avx2", "fma"), {"fp32": "avx2", "int8": "avx2"}),
        (("avx2", "avx_vnni"), {"fp32": "avx2", "int8": "avx_vnni"}),
        (("avx2", "avx512f", "avx512_vnni"), {"fp32": "avx512f", "int8": "avx512_vnni"}),
        (("avx512f", "avx512_vnni", "amx_int8"), {"int8": "amx_int8"}),
        ((), {"fp32": "unknown"}),
    ],
)
def test_where_the_engine_names_no_instruction_set_the_processor_tells(
    monkeypatch: pytest.MonkeyPatch, sets: tuple[str, ...], expected: dict[str, str]
) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: sets)
    for precision, isa in expected.items():
        execution: Executed = executed([Kernel("MatMul", precision, 1)])
        assert (execution.isa, execution.isa_from) == (isa, "processor")


def test_a_network_without_multiplications_has_no_precision() -> None:
    execution = executed([Kernel("Log", "fp32")])
    assert (execution.precision, execution.shares, Counter(execution.kernels).total()) == (
        "unknown",
        {},
        1,
    )
