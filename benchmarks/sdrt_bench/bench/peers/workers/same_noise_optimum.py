"""A picture with optimum-intel or optimum-onnx from given noise: to be compared, not measured."""

from typing import Any

import like_diffusers
import numpy as np
import openvino_facts
import torch
from harness import Job, Outcome, serve_all, versions
from pictures import keep


def run(job: Job) -> Outcome:
    """The pipeline that the folder's `model_index.json` names, on its own engine."""
    params = job.params
    torch.set_num_threads(params["threads"])
    pipe = _openvino(job) if params["format"] == "openvino" else _onnx(job)
    like_diffusers.prepare(pipe, job)
    images = pipe(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=job.guidance_scale,
        latents=torch.from_numpy(np.load(params["noise"])),
    ).images
    names = ("optimum-intel", "openvino", "optimum-onnx", "onnxruntime", "diffusers")
    return keep(job, (), np.asarray(images[0])) | {"versions": versions(*names)}


def _openvino(job: Job) -> Any:
    from optimum.intel import OVPipelineForText2Image

    config = openvino_facts.settings(job) | openvino_facts.UNROUNDED | {"CACHE_DIR": ""}
    return OVPipelineForText2Image.from_pretrained(
        job.model, ov_config=config, safety_checker=None, local_files_only=True
    )


def _onnx(job: Job) -> Any:
    import onnxruntime
    from optimum.onnxruntime import ORTPipelineForText2Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.params["threads"]
    return ORTPipelineForText2Image.from_pretrained(
        job.model,
        export=False,
        provider="CPUExecutionProvider",
        session_options=options,
        safety_checker=None,
        local_files_only=True,
    )


if __name__ == "__main__":
    serve_all(run)
