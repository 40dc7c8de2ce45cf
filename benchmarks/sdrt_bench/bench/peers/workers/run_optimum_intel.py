"""One picture with optimum-intel: diffusers' pipeline around networks in OpenVINO."""

from typing import Any

import like_diffusers
import openvino_facts
import torch
from harness import Clock, Outcome, RoundSpec, serve, size_of, versions
from optimum.intel import OVStableDiffusionPipeline


def run(spec: RoundSpec) -> Outcome:
    """Measure a round; `best` is static shapes and the hint of the requested precision."""
    params = spec.params
    torch.set_num_threads(params["threads"])
    config = openvino_facts.settings(spec) | {"CACHE_DIR": ""}
    clock = Clock(spec.measure)
    clock.start_loading()
    pipe: Any = OVStableDiffusionPipeline.from_pretrained(
        spec.model, compile=False, ov_config=config, safety_checker=None, local_files_only=True
    )
    like_diffusers.prepare(pipe, spec)
    if spec.is_best:
        pipe.reshape(1, params["height"], params["width"], params["batch"])
    pipe.compile()
    outcome = like_diffusers.paint(pipe, spec, clock)
    return outcome | {
        "precision": openvino_facts.precision(spec, pipe.unet.request),
        "artifact_bytes": size_of(spec.model),
        "versions": versions("optimum-intel", "openvino", "diffusers", "torch"),
        "options": {"static": spec.is_best} | config,
    }


if __name__ == "__main__":
    serve(run)
