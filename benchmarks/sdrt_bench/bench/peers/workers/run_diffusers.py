"""One picture with diffusers on torch."""

from typing import Any

import like_diffusers
import torch
from diffusers import StableDiffusionPipeline
from harness import Clock, Job, Outcome, serve, size_of, versions

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(job: Job) -> Outcome:
    """`best` is channels-last; `torch.compile` is left out, see docs/measure/peers.md."""
    torch.set_num_threads(job.params["threads"])
    precision = job.params["precision"]
    if precision not in DTYPES:
        raise ValueError(f"diffusers on processors runs {' or '.join(DTYPES)}, not {precision}")
    clock = Clock(job.measure)
    clock.start_loading()
    pipe: Any = StableDiffusionPipeline.from_pretrained(
        job.model,
        dtype=DTYPES[precision],
        safety_checker=None,
        local_files_only=True,
        use_safetensors=True,
    )
    like_diffusers.prepare(pipe, job)
    if job.is_best:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    outcome = like_diffusers.paint(pipe, job, clock)
    return outcome | {
        "precision": _precision(pipe, precision),
        "artifact_bytes": size_of(job.model),
        "versions": versions("diffusers", "torch", "transformers"),
        "options": {
            "channels_last": job.is_best,
            "threads": torch.get_num_threads(),
            "attention": type(next(iter(pipe.unet.attn_processors.values()))).__name__,
        },
    }


def _precision(pipe: Any, requested: str) -> Outcome:
    names = {dtype: name for name, dtype in DTYPES.items()}
    counts: dict[str, int] = {}
    for weight in pipe.unet.parameters():
        name = names.get(weight.dtype, str(weight.dtype))
        counts[name] = counts.get(name, 0) + weight.numel()
    return {
        "requested": requested,
        "stored": "fp32",
        "executed": max(counts, key=lambda name: counts[name]),
        "evidence": "parameters' dtype",
    }


if __name__ == "__main__":
    serve(run)
