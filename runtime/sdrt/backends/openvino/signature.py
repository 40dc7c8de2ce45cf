"""Inputs, outputs and weight types of an OpenVINO IR; its weights are mapped and not loaded."""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from sdrt.backends.signature import Signature
from sdrt.errors import MissingExtraError, UnsupportedError
from sdrt.manifest import TensorSpec

DTYPES = {"f32": "float32", "i32": "int32", "i64": "int64", "boolean": "bool"}
TYPES = ("f64", "f32", "f16", "bf16", "i8", "u8", "i4", "u4")
"""Types of weights; constants of other types are shapes and indices."""
ROUNDING = "FakeQuantize"


def read_openvino_signature(path: Path) -> Signature:
    """Read a file; raises `ArtifactError` for one that is no IR, and without OpenVINO."""
    if find_spec("openvino") is None:
        raise MissingExtraError("openvino", "openvino")
    import openvino as ov

    from sdrt.backends.openvino.backend import read_model

    model = read_model(ov.Core(), path)
    weights: Counter[str] = Counter()
    is_quantized = False
    for node in model.get_ops():
        is_quantized |= node.get_type_name() == ROUNDING
        if node.get_type_name() == "Constant":
            kind = node.get_element_type().get_type_name()
            if kind in TYPES:
                weights[kind] += prod(node.get_output_shape(0))
    return Signature(
        inputs=_tensors(path, model.inputs),
        outputs=_tensors(path, model.outputs),
        weights=weights,
        is_quantized=is_quantized,
        weight_files=(path.with_suffix(".bin").name,),
        made_with=_versions(model),
    )


def _tensors(path: Path, ports: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(_tensor(path, port) for port in ports)


def _tensor(path: Path, port: Any) -> TensorSpec:
    name = min(port.get_names(), default="without a name")
    kind = port.get_element_type().get_type_name()
    if kind not in DTYPES:
        known = ", ".join(DTYPES.values())
        raise UnsupportedError(f"{path} has {name} as {kind}; expected one of {known}")
    return TensorSpec(
        name=name,
        dtype=DTYPES[kind],
        shape=tuple(
            axis.get_length() if axis.is_static else "any" for axis in port.get_partial_shape()
        ),
    )


def _versions(model: Any) -> dict[str, str]:
    """Versions that the exporter recorded; optimum-intel: `optimum_intel_version` and others."""
    versions = {}
    if model.has_rt_info(["optimum"]):
        for key, value in model.get_rt_info(["optimum"]).astype(dict).items():
            name = str(key).removesuffix("_version").replace("_", "-")
            versions[name] = value.astype(str) if hasattr(value, "astype") else str(value)
    return versions
