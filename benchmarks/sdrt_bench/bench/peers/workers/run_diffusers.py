"""One picture with diffusers on torch."""

from typing import Any

import like_diffusers
import torch
from diffusers import StableDiffusionPipeline
from harness import Clock, Outcome, RoundSpec, serve, size_of, versions

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(spec: RoundSpec) -> Outcome:
    """Measure a round; `best` is channels-last. On `torch.compile` see docs/measure/peers.md."""
    torch.set_num_threads(spec.params["threads"])
    precision = spec.params["precision"]
    if precision not in DTYPES:
        raise ValueError(f"diffusers on processors runs {' or '.join(DTYPES)}, not {precision}")
    clock = Clock(spec.measure)
    clock.start_loading()
    pipe: Any = StableDiffusionPipeline.from_pretrained(
        spec.model,
        dtype=DTYPES[precision],
        safety_checker=None,
        local_files_only=True,
        use_safetensors=True,
    )
    like_diffusers.prepare(pipe, spec)
    if spec.is_best:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    outcome = like_diffusers.paint(pipe, spec, clock)
    return outcome | {
        "precision": _precision(pipe, precision),
        "artifact_bytes": size_of(spec.model),
        "versions": versions("diffusers", "torch", "transformers"),
        "options": {
            "channels_last": spec.is_best,
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
