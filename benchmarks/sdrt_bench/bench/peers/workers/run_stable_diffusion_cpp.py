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
from harness import Clock, Outcome, RoundSpec, serve, size_of, versions
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
    """The tool's log, which alone has some of its figures."""

    lines: list[str] = field(default_factory=list)

    def seconds(self, event: str) -> float | None:
        """Give the time that all events of a kind took together."""
        matches = [SECONDS.search(line) for line in self.lines if event in line]
        spans = [float(match[1]) / (1000 if match[2] == "ms" else 1) for match in matches if match]
        return sum(spans) if spans else None

    def unet_bytes(self) -> float | None:
        """Give the size of the U-Net's weights in memory."""
        sizes = [match[1] for line in self.lines if (match := UNET_SIZE.search(line))]
        return float(sizes[-1]) * 2**20 if sizes else None


def run(spec: RoundSpec) -> Outcome:
    """`best` is flash attention in the U-Net and convolutions without im2col."""
    params, log = spec.params, Log()
    if params["precision"] not in TYPES:
        raise ValueError(f"expected one of {', '.join(TYPES)}, not {params['precision']}")
    if params["sampler"] not in SAMPLERS:
        raise ValueError(f"the peers are compared with {' or '.join(SAMPLERS)}")

    @stable_diffusion_cpp.sd_log_callback  # type: ignore[untyped-decorator]
    def listen(level: int, text: bytes, data: Any) -> None:
        log.lines.append(text.decode("utf-8", "replace").strip())

    stable_diffusion_cpp.sd_set_log_callback(listen, ctypes.c_void_p(0))
    clock = Clock(spec.measure)
    clock.start_loading()
    model = stable_diffusion_cpp.StableDiffusion(
        model_path=spec.model,
        vae_decode_only=True,
        n_threads=params["threads"],
        wtype=TYPES[params["precision"]],
        diffusion_flash_attn=spec.is_best,
        diffusion_conv_direct=spec.is_best,
        vae_conv_direct=spec.is_best,
        verbose=True,
    )
    outcome = _paint(model, spec, clock, log)
    return outcome | {
        "precision": _precision(spec, log),
        "artifact_bytes": size_of(spec.model),
        "versions": versions("stable-diffusion-cpp-python"),
        "options": {
            "wtype": TYPES[params["precision"]],
            "flash_attention": spec.is_best,
            "conv_direct": spec.is_best,
            "sampler": SAMPLERS[params["sampler"]],
            "threads": params["threads"],
        },
    }


def _paint(model: Any, spec: RoundSpec, clock: Clock, log: Log) -> Outcome:
    """The tool cannot be stopped; a shorter schedule stands for the first steps of a longer one."""
    params = spec.params

    def progress(step: int, steps: int, seconds: float) -> None:
        if steps == spec.measure and step > len(clock.step_s):
            clock.step_s.append(seconds)
            if step == 1:
                clock.first_step_end_s = clock.load_s + time.perf_counter() - clock.begun
            clock.sample_memory()

    clock.start_picture()
    images = model.generate_image(
        prompt=params["prompt"],
        width=params["width"],
        height=params["height"],
        cfg_scale=spec.guidance_scale,
        sample_method=SAMPLERS[params["sampler"]],
        sample_steps=spec.measure,
        seed=params["seed"],
        batch_count=params["batch"],
        progress_callback=progress,
    )
    for name, event in (("text_encoder", CONDITION), ("vae_decoder", DECODED)):
        if (spent := log.seconds(event)) is not None:
            clock.spans[name] = spent
    return {"round": clock.round(params["steps"])} | keep(spec, (), np.asarray(images[0]))


def _precision(spec: RoundSpec, log: Log) -> Outcome:
    """Infer the precision from the weights' size in memory, in whose type the kernels multiply.

    The log counts the types in the file. For q8_0 the tool converts the linear layers alone, and
    convolutions are f16.
    """
    requested, size = spec.params["precision"], log.unet_bytes()
    executed, bits = "unknown", 0.0
    if size:
        bits = 8 * size / _unet_weights(spec.model)
        executed = "fp32" if bits > 24 else "fp16" if bits > 15.5 else f"fp16 and {requested}"
    return {
        "requested": requested,
        "stored": "fp32",
        "executed": executed,
        "evidence": f"{bits:.1f} bits a weight of the U-Net in memory" if size else "",
    }


def _unet_weights(path: str) -> int:
    """Count them in the header of the safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(
        math.prod(tensor["shape"]) for name, tensor in header.items() if name.startswith(UNET)
    )


if __name__ == "__main__":
    serve(run)
