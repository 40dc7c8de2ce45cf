"""Settings of the two peers on OpenVINO, and the precision that their U-Net ran in."""

from typing import Any

from harness import Outcome, RoundSpec

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
TYPES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8"}
LAYERS = ("Convolution", "FullyConnected", "MatMul", "ScaledDotProductAttention")
# Folders of `optimum-cli export openvino --weight-format` end in one of these.
STORED = ("fp32", "fp16", "int8")
# Leaves inputs of layers with integer weights unrounded, as sdrt does.
UNROUNDED = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


def settings(spec: RoundSpec) -> dict[str, Any]:
    """Set the threads, and the precision where one is requested."""
    precision = spec.params["precision"]
    config: dict[str, Any] = {"INFERENCE_NUM_THREADS": spec.params["threads"]}
    if precision == "auto":
        return config
    if precision not in HINTS:
        raise ValueError(f"OpenVINO is asked for {', '.join(HINTS)} or auto, not {precision}")
    return config | {"INFERENCE_PRECISION_HINT": HINTS[precision]}


def precision(spec: RoundSpec, compiled: Any) -> Outcome:
    """Describe the precision of a compiled U-Net; each layer counts as one."""
    counts: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in LAYERS:
            name = facts["runtimePrecision"].astype(str)
            counts[TYPES.get(name, name)] = counts.get(TYPES.get(name, name), 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{number} {name}" for name, number in ordered)
    return {
        "requested": spec.params["precision"],
        "stored": next(
            (name for name in STORED if spec.model.rstrip("/").endswith(name)), "unknown"
        ),
        "executed": ordered[0][0] if ordered else "unknown",
        "evidence": f"runtime model: {shown} layers",
    }
