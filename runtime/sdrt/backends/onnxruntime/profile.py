"""The kernels that ONNX Runtime executed, read from the profile of a run.

A session does not show the graph that it optimised; a profile has each kernel with the types and
shapes of its inputs and outputs.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from sdrt.backends.executed import Kernel
from sdrt.backends.onnxruntime.weights import convolution_sizes

END = "_kernel_time"
PRECISIONS = {"int8": "int8", "uint8": "int8", "bfloat16": "bf16", "float16": "fp16"}

Shape = list[int]


def read_profile(profile: Path, model: Path) -> list[Kernel]:
    """Kernels of the last run in a profile, with their times; `model` is the ONNX file."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    start = max((event["ts"] for event in events if event["name"] == "model_run"), default=0)
    sizes = convolution_sizes(model)
    return [
        _kernel(event, sizes)
        for event in events
        if event["cat"] == "Node" and event["name"].endswith(END) and event["ts"] >= start
    ]


def _kernel(event: Mapping[str, Any], sizes: Mapping[str, int]) -> Kernel:
    details = event["args"]
    inputs, outputs = (
        [item for entry in details[f"{side}_type_shape"] for item in entry.items()]
        for side in ("input", "output")
    )
    shapes = [shape for _, shape in inputs]
    kind, out = details["op_name"], prod(outputs[0][1]) if outputs else 0
    macs = 0
    if "Conv" in kind:
        weights = next((shape for shape in shapes[1:] if len(shape) == len(shapes[0])), None)
        name = event["name"].removesuffix(END)
        macs = out * (prod(weights[1:]) if weights else _size(name, sizes))
    elif "MatMul" in kind or "Gemm" in kind:
        macs = out * shapes[0][-1]
    elif "Attention" in kind:  # queries and keys are multiplied, then their product and the values
        macs = (prod(shapes[0]) + out) * shapes[1][-2]
    return Kernel(kind, _precision({name for name, _ in inputs}), macs, "", event["dur"] / 1e6)


def _size(name: str, sizes: Mapping[str, int]) -> int:
    """Multiply-adds per value of a convolution, whose name the optimizer may have extended.

    1, the smallest possible number, where the name is unknown.
    """
    while name not in sizes and "_" in name:
        name = name.rpartition("_")[0]
    return sizes.get(name, 1)


def _precision(types: set[str]) -> str:
    """Precision of a kernel from the types of its inputs."""
    for name, precision in PRECISIONS.items():
        if name in types:
            return precision
    return "fp32" if "float" in types else "integer"
