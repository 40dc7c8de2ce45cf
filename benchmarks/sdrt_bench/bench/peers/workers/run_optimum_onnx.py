"""One picture with optimum-onnx: diffusers' pipeline around networks in ONNX Runtime."""

from typing import Any

import like_diffusers
import onnxruntime
import torch
from harness import Clock, Outcome, RoundSpec, serve, size_of, versions
from optimum.onnxruntime import ORTStableDiffusionPipeline

TYPES = {"tensor(float)": "fp32", "tensor(float16)": "fp16"}


def run(spec: RoundSpec) -> Outcome:
    """Measure a round; `best` is all graph optimizations, and no memory arena."""
    params = spec.params
    if params["precision"] != "fp32":
        raise ValueError(f"ONNX Runtime on processors is asked for fp32, not {params['precision']}")
    torch.set_num_threads(params["threads"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = params["threads"]
    if spec.is_best:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.enable_cpu_mem_arena = False
    clock = Clock(spec.measure)
    clock.start_loading()
    pipe: Any = ORTStableDiffusionPipeline.from_pretrained(
        spec.model,
        export=False,
        provider="CPUExecutionProvider",
        session_options=options,
        safety_checker=None,
        local_files_only=True,
    )
    like_diffusers.prepare(pipe, spec)
    outcome = like_diffusers.paint(pipe, spec, clock)
    dtypes = {tensor.name: tensor.type for tensor in pipe.unet.session.get_inputs()}
    executed = TYPES.get(dtypes["sample"], "unknown")
    return outcome | {
        "precision": {
            "requested": params["precision"],
            "stored": executed,
            "executed": executed,
            "evidence": "the graph's inputs",
        },
        "artifact_bytes": size_of(spec.model),
        "versions": versions("optimum-onnx", "onnxruntime", "diffusers", "torch"),
        "options": {"memory_arena": not spec.is_best, "threads": params["threads"]},
    }


if __name__ == "__main__":
    serve(run)
