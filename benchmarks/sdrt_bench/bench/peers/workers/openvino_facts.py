"""How the two peers on OpenVINO are configured, and what their U-Net ran in."""

from typing import Any

from harness import Job, Outcome

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
TYPES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8"}
LAYERS = ("Convolution", "FullyConnected", "MatMul", "ScaledDotProductAttention")
# What a folder of `optimum-cli export openvino --weight-format` is named after.
STORED = ("fp32", "fp16", "int8")
# No rounding of what comes into layers of which only the weights are integers; sdrt has it off.
UNROUNDED = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


def settings(job: Job) -> dict[str, Any]:
    """Threads always; the precision only where it was asked for, not as the tool comes."""
    precision = job.params["precision"]
    found: dict[str, Any] = {"INFERENCE_NUM_THREADS": job.params["threads"]}
    if precision == "auto":
        return found
    if precision not in HINTS:
        raise ValueError(f"OpenVINO is asked for {', '.join(HINTS)} or auto, not {precision}")
    return found | {"INFERENCE_PRECISION_HINT": HINTS[precision]}


def precision(job: Job, compiled: Any) -> Outcome:
    """Three facts of a compiled U-Net; layers are counted, not weighed by their work."""
    counts: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in LAYERS:
            name = facts["runtimePrecision"].astype(str)
            counts[TYPES.get(name, name)] = counts.get(TYPES.get(name, name), 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{number} {name}" for name, number in ordered)
    return {
        "requested": job.params["precision"],
        "stored": next((one for one in STORED if job.model.rstrip("/").endswith(one)), "unknown"),
        "executed": ordered[0][0] if ordered else "unknown",
        "evidence": f"runtime model: {shown} layers",
    }
