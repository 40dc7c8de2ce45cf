"""A picture with OpenVINO GenAI from torch's noise: to be compared, not measured."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino_facts
import openvino_genai
from harness import Outcome, RoundSpec, serve_all, versions
from pictures import keep
from run_openvino_genai import set_sampler


def run(spec: RoundSpec) -> Outcome:
    """Make an image with dynamic shapes, on the CPU."""
    params = spec.params
    pipe: Any = openvino_genai.Text2ImagePipeline(Path(spec.model))
    set_sampler(pipe, spec)
    pipe.compile("CPU", **openvino_facts.settings(spec), **openvino_facts.UNROUNDED)
    pixels = pipe.generate(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=spec.guidance_scale,
        # By its documentation this gives the noise of torch, and so of diffusers and sdrt.
        generator=openvino_genai.TorchGenerator(params["seed"]),
    )
    return keep(spec, (), np.array(pixels.data)[0]) | {
        "versions": versions("openvino-genai", "openvino")
    }


if __name__ == "__main__":
    serve_all(run)
