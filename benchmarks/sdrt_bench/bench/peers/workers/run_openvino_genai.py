"""One picture with OpenVINO GenAI."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_facts
import openvino_genai
from harness import Clock, Outcome, RoundSpec, serve, size_of, versions
from pictures import keep

SAMPLERS = {"ddim": "DDIM", "euler": "EULER_DISCRETE"}


def run(spec: RoundSpec) -> Outcome:
    """Measure a round; `best` is static shapes and the hint of the requested precision."""
    config = openvino_facts.settings(spec)
    clock = Clock(spec.measure)
    clock.start_loading()
    pipe: Any = openvino_genai.Text2ImagePipeline(spec.model)
    set_sampler(pipe, spec)
    params = spec.params
    if spec.is_best:
        pipe.reshape(params["batch"], params["height"], params["width"], spec.guidance_scale)
    pipe.compile("CPU", **config)
    outcome = _paint(pipe, spec, clock)
    del pipe
    return outcome | {
        "precision": openvino_facts.precision(spec, _unet_again(spec, config)),
        "artifact_bytes": size_of(spec.model),
        "versions": versions("openvino-genai", "openvino"),
        "options": {"static": spec.is_best} | config,
    }


def set_sampler(pipe: Any, spec: RoundSpec) -> None:
    """Give the pipeline the requested sampler with the model's noise schedule."""
    sampler = spec.params["sampler"]
    if sampler not in SAMPLERS:
        raise ValueError(f"the peers are compared with {' or '.join(SAMPLERS)}, not {sampler}")
    kind = getattr(openvino_genai.Scheduler.Type, SAMPLERS[sampler])
    path = Path(spec.model, "scheduler", "scheduler_config.json")
    pipe.set_scheduler(openvino_genai.Scheduler.from_config(path, kind))


def _paint(pipe: Any, spec: RoundSpec, clock: Clock) -> Outcome:
    """The tool itself times steps: it calls back late, from a thread of its own."""
    params, latents = spec.params, []

    def step_end(index: int, count: int, latent: Any) -> bool:
        latents.append(np.array(latent.data[:1])[0])
        clock.sample_memory()
        # The next step has begun already, and is finished.
        return spec.measure < count and index + 2 >= spec.measure

    clock.start_picture()
    pixels = pipe.generate(
        params["prompt"],
        width=params["width"],
        height=params["height"],
        num_inference_steps=params["steps"],
        guidance_scale=spec.guidance_scale,
        num_images_per_prompt=params["batch"],
        rng_seed=params["seed"],
        callback=step_end,
    )
    metrics = pipe.get_performance_metrics()
    if len(pixels.get_shape()) == 4:
        clock.spans["vae_decoder"] = metrics.get_vae_decoder_infer_duration() / 1e3
    else:
        last = openvino.Tensor(latents[-1][None])
        pixels = clock.timed("vae_decoder", pipe.decode)(last)
    raw = metrics.raw_metrics
    clock.spans["text_encoder"] = sum(metrics.get_text_encoder_infer_duration().values()) / 1e3
    clock.spans["unet"] = sum(raw.unet_inference_durations) / 1e6
    clock.step_s = [duration / 1e6 for duration in raw.iteration_durations]
    clock.first_step_end_s = clock.load_s + clock.spans["text_encoder"] + clock.step_s[0]
    figures = clock.round(params["steps"])
    return {"round": figures} | keep(spec, latents, np.array(pixels.data)[0])


def _unet_again(spec: RoundSpec, config: dict[str, Any]) -> Any:
    """Compile the U-Net once more, untimed, because GenAI shows no compiled model."""
    core, params = openvino.Core(), spec.params
    model = core.read_model(Path(spec.model, "unet", "openvino_model.xml"))
    if spec.is_best:
        rows = params["batch"] * (2 if params["guidance"] else 1)
        height, width = params["height"] // 8, params["width"] // 8
        model.reshape({"sample": [rows, 4, height, width]})
    return core.compile_model(model, "CPU", config)


if __name__ == "__main__":
    serve(run)
