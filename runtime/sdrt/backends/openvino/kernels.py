"""The kernels of a network that OpenVINO compiled, read from the compiled graph.

A kernel's name tells its arithmetic ("brgconv_avx512_bf16"), and its shapes tell its multiply-adds.
Attention alone is fused into kernels of any kind and shape; these are recognised by the names of
the layers that were fused into them.
"""

from collections.abc import Iterator
from math import prod

import openvino as ov

from sdrt.backends.executed import Kernel

PRECISIONS = {"f32": "fp32", "f16": "fp16", "I8": "int8"}
INSTRUCTION_SETS = ("sse42", "avx", "avx2", "avx512", "vnni", "amx", "neon", "asimd", "sve")
NOT_KERNELS = ("Input", "Output")


def layer_macs(model: ov.Model) -> dict[str, int]:
    """Multiply-adds of the layers that may be fused into other kernels, by name.

    Takes a model of known shapes, before it is compiled.
    """
    macs = {}
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "ScaledDotProductAttention"):
            continue
        left, right = (node.input_value(i).get_shape() for i in range(2))
        out = node.get_output_shape(0)
        if kind == "MatMul":
            is_transposed = node.get_attributes()["transpose_a"]
            macs[node.get_friendly_name()] = prod(out) * left[-2 if is_transposed else -1]
        else:  # queries and keys are multiplied, then their product and the values
            macs[node.get_friendly_name()] = (prod(left) + prod(out)) * right[-2]
    return macs


def read_kernels(compiled: ov.CompiledModel, layers: dict[str, int]) -> Iterator[Kernel]:
    """Kernels of a compiled model, into which `layers` (see `layer_macs`) may be fused.

    They have times if the model was compiled with PERF_COUNT and has run.
    """
    constants: set[str] = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {name: str(value.value) for name, value in node.get_rt_info().items()}
        sources = {source.get_node().get_friendly_name() for source in node.input_values()}
        if info["layerType"] != "Input" and sources <= constants:  # computed when compiled
            constants.add(node.get_friendly_name())
        if node.get_friendly_name() in constants or info["layerType"] in NOT_KERNELS:
            continue
        words = info["primitiveType"].split("_")
        microseconds = info["execTimeMcs"]
        yield Kernel(
            kind=info["layerType"],
            # `runtimePrecision` may be that of weights which the kernel widens as it runs.
            precision=PRECISIONS.get(words[-1], words[-1]),
            macs=_macs(node, info, layers),
            isa="_".join(word for word in words if word in INSTRUCTION_SETS),
            seconds=float(microseconds) / 1e6 if microseconds.isdigit() else 0.0,
        )


def _macs(node: ov.Node, info: dict[str, str], layers: dict[str, int]) -> int:
    if info["layerType"] in ("Convolution", "FullyConnected"):
        out: list[int] = list(node.get_output_shape(0))
        weights: list[int] = list(node.input_value(1).get_shape())
        if info["layerType"] == "FullyConnected":
            return prod(out) * weights[-1]
        channels = 2 if len(weights) > len(out) else 1  # after the groups, if there are any
        return prod(out) * prod(weights[channels:])
    return sum(layers.get(name, 0) for name in info["originalLayersNames"].split(","))
