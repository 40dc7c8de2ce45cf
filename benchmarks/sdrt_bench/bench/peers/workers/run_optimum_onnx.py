"""One picture with optimum-onnx: diffusers' pipeline around networks in ONNX Runtime."""

from typing import Any

import like_diffusers
import onnxruntime
import torch
from harness import Clock, Job, Outcome, serve, size_of, versions
from optimum.onnxruntime import ORTStableDiffusionPipeline

TYPES = {"tensor(float)": "fp32", "tensor(float16)": "fp16"}


def run(job: Job) -> Outcome:
    """`best` is all of the graph optimizations, and no memory arena that keeps what it ever had."""
    params = job.params
    if params["precision"] != "fp32":
        raise ValueError(f"ONNX Runtime on processors is asked for fp32, not {params['precision']}")
    torch.set_num_threads(params["threads"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = params["threads"]
    if job.is_best:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.enable_cpu_mem_arena = False
    clock = Clock(job.measure)
    clock.start_loading()
    pipe: Any = ORTStableDiffusionPipeline.from_pretrained(
        job.model,
        export=False,
        provider="CPUExecutionProvider",
        session_options=options,
        safety_checker=None,
        local_files_only=True,
    )
    like_diffusers.prepare(pipe, job)
    outcome = like_diffusers.paint(pipe, job, clock)
    found = {one.name: one.type for one in pipe.unet.session.get_inputs()}
    executed = TYPES.get(found["sample"], "unknown")
    return outcome | {
        "precision": {
            "requested": params["precision"],
            "stored": executed,
            "executed": executed,
            "evidence": "the graph's inputs",
        },
        "artifact_bytes": size_of(job.model),
        "versions": versions("optimum-onnx", "onnxruntime", "diffusers", "torch"),
        "options": {"memory_arena": not job.is_best, "threads": params["threads"]},
    }


if __name__ == "__main__":
    serve(run)
