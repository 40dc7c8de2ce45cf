"""One picture with stable-diffusion.cpp, through its Python binding."""

import ctypes
import json
import math
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import stable_diffusion_cpp
from harness import Clock, Job, Outcome, serve, size_of, versions
from pictures import keep

SAMPLERS = {"ddim": "ddim_trailing", "euler": "euler"}
TYPES = {"fp32": "f32", "f16": "f16", "q8_0": "q8_0", "auto": "default"}
UNET_SIZE = re.compile(r"unet params backend buffer size =\s*([\d.]+) MB")
UNET = "model.diffusion_model."
CONDITION = "get_learned_condition completed"
DECODED = "decode_first_stage completed"
SECONDS = re.compile(r"taking\s+([\d.]+)\s*(ms|s)")


@dataclass
class Log:
    """What the tool says of itself; it is the only one who knows."""

    lines: list[str] = field(default_factory=list)

    def seconds(self, event: str) -> float | None:
        """That all events of a kind took together."""
        found = [SECONDS.search(line) for line in self.lines if event in line]
        spans = [float(one[1]) / (1000 if one[2] == "ms" else 1) for one in found if one]
        return sum(spans) if spans else None

    def unet_bytes(self) -> float | None:
        """Of the U-Net's weights in memory."""
        found = [one[1] for line in self.lines if (one := UNET_SIZE.search(line))]
        return float(found[-1]) * 2**20 if found else None


def run(job: Job) -> Outcome:
    """`best` is flash attention in the U-Net and convolutions without im2col."""
    params, log = job.params, Log()
    if params["precision"] not in TYPES:
        raise ValueError(f"expected one of {', '.join(TYPES)}, not {params['precision']}")
    if params["sampler"] not in SAMPLERS:
        raise ValueError(f"the peers are compared with {' or '.join(SAMPLERS)}")

    @stable_diffusion_cpp.sd_log_callback  # type: ignore[untyped-decorator]
    def listen(level: int, text: bytes, data: Any) -> None:
        log.lines.append(text.decode("utf-8", "replace").strip())

    stable_diffusion_cpp.sd_set_log_callback(listen, ctypes.c_void_p(0))
    clock = Clock(job.measure)
    clock.start_loading()
    model = stable_diffusion_cpp.StableDiffusion(
        model_path=job.model,
        vae_decode_only=True,
        n_threads=params["threads"],
        wtype=TYPES[params["precision"]],
        diffusion_flash_attn=job.is_best,
        diffusion_conv_direct=job.is_best,
        vae_conv_direct=job.is_best,
        verbose=True,
    )
    outcome = _paint(model, job, clock, log)
    return outcome | {
        "precision": _precision(job, log),
        "artifact_bytes": size_of(job.model),
        "versions": versions("stable-diffusion-cpp-python"),
        "options": {
            "wtype": TYPES[params["precision"]],
            "flash_attention": job.is_best,
            "conv_direct": job.is_best,
            "sampler": SAMPLERS[params["sampler"]],
            "threads": params["threads"],
        },
    }


def _paint(model: Any, job: Job, clock: Clock, log: Log) -> Outcome:
    """It cannot be stopped, so a shorter schedule stands for the first steps of the asked one."""
    params = job.params

    def progress(step: int, steps: int, seconds: float) -> None:
        if steps == job.measure and step > len(clock.step_s):
            clock.step_s.append(seconds)
            if step == 1:
                clock.first_step_end_s = clock.load_s + time.perf_counter() - clock.begun
            clock.look()

    clock.start_picture()
    images = model.generate_image(
        prompt=params["prompt"],
        width=params["width"],
        height=params["height"],
        cfg_scale=job.guidance_scale,
        sample_method=SAMPLERS[params["sampler"]],
        sample_steps=job.measure,
        seed=params["seed"],
        batch_count=params["batch"],
        progress_callback=progress,
    )
    for name, event in (("text_encoder", CONDITION), ("vae_decoder", DECODED)):
        if (spent := log.seconds(event)) is not None:
            clock.spans[name] = spent
    return {"round": clock.round(params["steps"])} | keep(job, (), np.asarray(images[0]))


def _precision(job: Job, log: Log) -> Outcome:
    """Told from the weights' size in memory, in whose type the kernels multiply.

    The log's own count of types is that of the file. Asked for q8_0 the tool converts the linear
    layers alone, and convolutions are f16.
    """
    asked, size = job.params["precision"], log.unet_bytes()
    executed, bits = "unknown", 0.0
    if size:
        bits = 8 * size / _unet_weights(job.model)
        executed = "fp32" if bits > 24 else "fp16" if bits > 15.5 else f"fp16 and {asked}"
    return {
        "requested": asked,
        "stored": "fp32",
        "executed": executed,
        "evidence": f"{bits:.1f} bits a weight of the U-Net in memory" if size else "",
    }


def _unet_weights(path: str) -> int:
    """How many there are, from the header of the safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(one["shape"]) for name, one in header.items() if name.startswith(UNET))


if __name__ == "__main__":
    serve(run)
