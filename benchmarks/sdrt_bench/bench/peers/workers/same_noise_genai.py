"""A picture with OpenVINO GenAI from torch's noise: to be compared, not measured."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino_facts
import openvino_genai
from harness import Job, Outcome, serve_all, versions
from pictures import keep
from run_openvino_genai import set_sampler


def run(job: Job) -> Outcome:
    """With shapes as they come, on the CPU."""
    params = job.params
    pipe: Any = openvino_genai.Text2ImagePipeline(Path(job.model))
    set_sampler(pipe, job)
    pipe.compile("CPU", **openvino_facts.settings(job), **openvino_facts.UNROUNDED)
    pixels = pipe.generate(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=job.guidance_scale,
        # Its documentation's way to the noise of torch, and so of diffusers and of sdrt.
        generator=openvino_genai.TorchGenerator(params["seed"]),
    )
    return keep(job, (), np.array(pixels.data)[0]) | {
        "versions": versions("openvino-genai", "openvino")
    }


if __name__ == "__main__":
    serve_all(run)
