"""What OpenVINO made of a network: its kernels, read from the compiled graph.

A kernel's arithmetic is in its name ("brgconv_avx512_bf16"). How many multiply-adds it has follows
from its shapes, but for attention: that is fused into kernels of any kind and shape, which are
known by the names of the layers that went into them.
"""

from collections.abc import Iterator
from math import prod

import openvino as ov

from sdrt.backends.executed import Kernel

PRECISIONS = {"f32": "fp32", "f16": "fp16", "I8": "int8"}
INSTRUCTION_SETS = ("sse42", "avx", "avx2", "avx512", "vnni", "amx", "neon", "asimd", "sve")
ENDS = ("Input", "Output")


def layer_macs(model: ov.Model) -> dict[str, int]:
    """Multiply-adds of the layers that may become part of another kernel, by their names.

    For a model of known shapes, before it is compiled.
    """
    macs = {}
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "ScaledDotProductAttention"):
            continue
        left, right = (node.input_value(i).get_shape() for i in range(2))
        out = node.get_output_shape(0)
        if kind == "MatMul":
            is_turned = node.get_attributes()["transpose_a"]
            macs[node.get_friendly_name()] = prod(out) * left[-2 if is_turned else -1]
        else:  # queries and keys are multiplied, then their product and the values
            macs[node.get_friendly_name()] = (prod(left) + prod(out)) * right[-2]
    return macs


def read_kernels(compiled: ov.CompiledModel, layers: dict[str, int]) -> Iterator[Kernel]:
    """Kernels of a compiled model, of which `layers` may be a part.

    They have times if it was compiled with PERF_COUNT and has run.
    """
    constants: set[str] = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {name: str(value.value) for name, value in node.get_rt_info().items()}
        sources = {one.get_node().get_friendly_name() for one in node.input_values()}
        if info["layerType"] != "Input" and sources <= constants:  # made once, when compiled
            constants.add(node.get_friendly_name())
        if node.get_friendly_name() in constants or info["layerType"] in ENDS:
            continue
        words = info["primitiveType"].split("_")
        microseconds = info["execTimeMcs"]
        yield Kernel(
            kind=info["layerType"],
            # `runtimePrecision` may be that of weights which the kernel expands as it goes.
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
