"""One picture with optimum-intel: diffusers' pipeline around networks in OpenVINO."""

from typing import Any

import like_diffusers
import openvino_facts
import torch
from harness import Clock, Job, Outcome, serve, size_of, versions
from optimum.intel import OVStableDiffusionPipeline


def run(job: Job) -> Outcome:
    """`best` is static shapes and the hint of the precision that was asked for."""
    params = job.params
    torch.set_num_threads(params["threads"])
    config = openvino_facts.settings(job) | {"CACHE_DIR": ""}
    clock = Clock(job.measure)
    clock.start_loading()
    pipe: Any = OVStableDiffusionPipeline.from_pretrained(
        job.model, compile=False, ov_config=config, safety_checker=None, local_files_only=True
    )
    like_diffusers.prepare(pipe, job)
    if job.is_best:
        pipe.reshape(1, params["height"], params["width"], params["batch"])
    pipe.compile()
    outcome = like_diffusers.paint(pipe, job, clock)
    return outcome | {
        "precision": openvino_facts.precision(job, pipe.unet.request),
        "artifact_bytes": size_of(job.model),
        "versions": versions("optimum-intel", "openvino", "diffusers", "torch"),
        "options": {"static": job.is_best} | config,
    }


if __name__ == "__main__":
    serve(run)
