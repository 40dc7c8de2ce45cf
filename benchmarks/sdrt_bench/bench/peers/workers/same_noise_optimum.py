"""A picture with optimum-intel or optimum-onnx from given noise: to be compared, not measured."""

from typing import Any

import like_diffusers
import numpy as np
import openvino_facts
import torch
from harness import Outcome, RoundSpec, serve_all, versions
from pictures import keep


def run(spec: RoundSpec) -> Outcome:
    """Make an image with the pipeline that the folder's `model_index.json` names."""
    params = spec.params
    torch.set_num_threads(params["threads"])
    pipe = _openvino(spec) if params["format"] == "openvino" else _onnx(spec)
    like_diffusers.prepare(pipe, spec)
    images = pipe(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=spec.guidance_scale,
        latents=torch.from_numpy(np.load(params["noise"])),
    ).images
    names = ("optimum-intel", "openvino", "optimum-onnx", "onnxruntime", "diffusers")
    return keep(spec, (), np.asarray(images[0])) | {"versions": versions(*names)}


def _openvino(spec: RoundSpec) -> Any:
    from optimum.intel import OVPipelineForText2Image

    config = openvino_facts.settings(spec) | openvino_facts.UNROUNDED | {"CACHE_DIR": ""}
    return OVPipelineForText2Image.from_pretrained(
        spec.model, ov_config=config, safety_checker=None, local_files_only=True
    )


def _onnx(spec: RoundSpec) -> Any:
    import onnxruntime
    from optimum.onnxruntime import ORTPipelineForText2Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.params["threads"]
    return ORTPipelineForText2Image.from_pretrained(
        spec.model,
        export=False,
        provider="CPUExecutionProvider",
        session_options=options,
        safety_checker=None,
        local_files_only=True,
    )


if __name__ == "__main__":
    serve_all(run)
