"""Pictures made through the Python interface."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sdrt
from sdrt_bench.unchanged.library.digests import (
    PROMPT,
    SMALL,
    Record,
    digest,
    picture,
    result_of,
)

SAMPLERS = (
    *("ddim", "ddpm", "plms", "euler", "euler_a", "heun", "dpm2", "dpm2_a", "lms", "dpm-solver"),
    *("dpm++2m", "dpm++2m_sde", "dpm++3m_sde", "dpm++2s", "dpm++2s_a", "dpm++sde", "unipc"),
    *("deis", "ipndm", "lcm", "tcd"),
)
SCHEDULERS = ("karras", "exponential", "polyexponential", "beta", "ays", "ays-sdxl")
SAMPLER_OPTIONS: tuple[tuple[str, Record], ...] = (
    ("plms", {"runge_kutta": True}),
    ("lms", {"order": 3}),
    ("dpm-solver", {"order": 3, "singlestep": True, "solver_type": "heun"}),
    ("dpm-solver", {"sde": True, "euler_at_final": True}),
    ("dpm++2m", {"order": 3, "lower_order_final": False, "solver_type": "heun"}),
    ("dpm++2s", {"order": 3}),
    ("unipc", {"order": 3, "solver_type": "bh1", "predict_x0": False}),
    ("deis", {"order": 3}),
    ("ddim", {"eta": 0.5, "clip": 2.0}),
    ("euler", {"final": "min", "thresholding": 0.9, "thresholding_max": 3}),
    ("tcd", {"eta": 0.7, "original_steps": 100}),
)
TRAINING: Record = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
SCHEDULER_CONFIGS: tuple[Record, ...] = (
    {"_class_name": "EulerAncestralDiscreteScheduler", **TRAINING},
    {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1, **TRAINING},
    {"_class_name": "HeunDiscreteScheduler", "use_karras_sigmas": True, **TRAINING},
    {"_class_name": "UniPCMultistepScheduler", "solver_order": 3, **TRAINING},
    {"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 1, **TRAINING},
)


def samplers(models: Path) -> Record:
    """Every sampler, with the latents that it ends at."""
    pipe = sdrt.load(backend="onnxruntime", threads=2)
    record = {}
    for name in SAMPLERS:
        run = pipe.start(PROMPT, sampler=name, **SMALL)
        record[name] = {"latents": digest(run.latents()), **result_of(run.result(), name)}
    return record


def schedules(models: Path) -> Record:
    """Every spacing of noise levels and of timesteps, with the levels themselves."""
    pipe = sdrt.load(models / "tiny", "onnxruntime", threads=2)
    ways: dict[str, Any] = {name: {"scheduler": name} for name in ("default", *SCHEDULERS)}
    ways |= {name: {"spacing": name} for name in ("leading", "trailing", "linspace")}
    ways["rho"] = {"scheduler": "karras", "sampler_options": {"rho": 5}}
    record = {}
    for name, options in ways.items():
        run = pipe.start(PROMPT, sampler="euler", **{**SMALL, "num_inference_steps": 7}, **options)
        levels = [step.sigma for step in run]
        record[name] = {"sigmas": levels, **result_of(run.result(), name)}
    return record


def sampler_options(models: Path) -> Record:
    """Options of samplers, and schedulers of diffusers by their configuration."""
    pipe = sdrt.load(models / "tiny", "onnxruntime", threads=2)
    record = {}
    for number, (sampler, options) in enumerate(SAMPLER_OPTIONS):
        run = pipe.start(PROMPT, sampler=sampler, sampler_options=options, **SMALL)
        name = f"{number}-{sampler}"
        record[name] = {"latents": digest(run.latents()), **result_of(run.result(), name)}
    for config in SCHEDULER_CONFIGS:
        name = config["_class_name"]
        record[name] = result_of(pipe(PROMPT, scheduler_config=config, **SMALL), name)
    return record


def steps(models: Path) -> Record:
    """Latents and guesses of each step, decoded and shown roughly, on both engines."""
    record = {}
    for engine in ("onnxruntime", "openvino"):
        pipe = sdrt.load(models / "tiny", engine, threads=2)
        run = pipe.start(PROMPT, num_images_per_prompt=2, **SMALL)
        run.will_decode("tiny")
        seen: list[Record] = []
        for step in run:
            shown = [*pipe.preview(step.denoised), *run.decode(step.latents, "tiny")]
            seen.append(
                {
                    "index": step.index,
                    "count": step.count,
                    "sigma": step.sigma,
                    "latents": digest(step.latents),
                    "denoised": digest(step.denoised),
                    "shown": [picture(image) for image in shown],
                }
            )
        record[engine] = {"length": len(run), "steps": seen, **result_of(run.result(), engine)}
    levels: list[float] = []
    pipe(PROMPT, callback=lambda step: levels.append(step.sigma), **SMALL)
    return {**record, "callback": levels}


def prompt_embeddings(models: Path) -> Record:
    """Embeddings in place of prompts: of one text encoder, of two, and one for each image."""
    pipe = sdrt.load(backend="onnxruntime", threads=2)
    boat, cat = (pipe.encode(text) for text in (PROMPT, "a white cat on the grass"))
    long = pipe.encode("a boat, " * 40, clip_skip=2)
    options: Any = {**SMALL, "num_images_per_prompt": 2}
    record = {
        "states": [digest(array) for array in (boat, cat, long)],
        "one": result_of(pipe(prompt_embeds=boat, **SMALL), "one"),
        "each": result_of(pipe(prompt_embeds=np.concatenate([boat, cat]), **options), "each"),
        "negative": result_of(
            pipe(prompt_embeds=long, negative_prompt_embeds=np.concatenate([cat, cat], 1), **SMALL),
            "negative",
        ),
    }
    pipe = sdrt.load(models / "tiny-sdxl", "onnxruntime", threads=2)
    text = pipe.encode_text(PROMPT)
    assert text.pooled is not None
    embeddings: Any = {"prompt_embeds": text.states, "pooled_prompt_embeds": text.pooled}
    record["sdxl"] = result_of(pipe(**embeddings, **SMALL), "sdxl")
    record["pooled"] = digest(text.pooled)
    return record


def denoising_range(models: Path) -> Record:
    """A run in two halves, by one model and by base and refiner."""
    pipe = sdrt.load(models / "tiny-sdxl", "onnxruntime", threads=2)
    run = pipe.start(PROMPT, denoising_end=0.5, **SMALL)
    left = run.latents()
    record = {"latents": digest(left), "first half": result_of(run.result(), "first")}
    rest: Any = {"latents": left, "denoising_start": 0.5, "num_inference_steps": 4}
    record["second half"] = result_of(pipe(PROMPT, seed=11, **rest), "second")
    refiner = sdrt.load(models / "tiny-sdxl-refiner", "onnxruntime", threads=2)
    refined = refiner(PROMPT, seed=11, aesthetic_score=8.0, **rest)
    record["refined"] = result_of(refined, "refined")
    return record


def size_conditioning(models: Path) -> Record:
    """Sizes, crops and scores, of the prompt and of the negative prompt."""
    pipe = sdrt.load(models / "tiny-sdxl", "openvino", threads=2)
    sizes = {"original_size": (300, 200), "crops_coords_top_left": (16, 8), "target_size": (96, 80)}
    negative = {f"negative_{name}": (side + 8, 40) for name, (side, _) in sizes.items()}
    options: dict[str, Any] = {**sizes, **negative, **SMALL}
    record = {"sdxl": result_of(pipe(PROMPT, **options), "sdxl")}
    refiner = sdrt.load(models / "tiny-sdxl-refiner", "openvino", threads=2)
    options = {"aesthetic_score": 9.0, "negative_aesthetic_score": 1.0, "strength": 0.5}
    options |= {"image": models / "inputs" / "small.png", "num_inference_steps": 4, "seed": 11}
    return {**record, "refiner": result_of(refiner(PROMPT, **options), "refiner")}


def images(models: Path) -> Record:
    """Pictures as objects, several seeds, and sheets of several columns."""
    pipe = sdrt.load(backend="onnxruntime", threads=2)
    image = Image.open(models / "inputs" / "picture.png")
    mask = Image.open(models / "inputs" / "mask.png").convert("RGB")
    few: Any = {"num_inference_steps": 4}
    seeds: Any = {"seed": [5, 3, 5], "num_images_per_prompt": 3}
    several = pipe(PROMPT, image=image, strength=0.75, **seeds, **few)
    painted = pipe(PROMPT, image=image, mask=mask, strength=0.75, seed=5, **few)
    larger = pipe(PROMPT, image=image.resize((64, 64)), hires=1.5, hires_strength=0.7, **SMALL)
    several.save_grid("grid.png", columns=2)
    several.save_grid("plain-grid.png", with_parameters=False)
    return {
        "several": result_of(several, "several"),
        "grid": picture(several.grid(3)),
        "painted": result_of(painted, "painted"),
        "larger": result_of(larger, "larger"),
    }


def adapters(models: Path) -> Record:
    """LoRAs and textual inversions that come and go while a pipeline is open, on both engines."""
    inputs, record = models / "inputs", {}
    prompt = f"{PROMPT}, ink"
    for engine in ("onnxruntime", "openvino"):
        pipe = sdrt.load(backend=engine, threads=2, loras=[f"{inputs}/demo-kohya.safetensors"])
        results = {"at load": pipe(prompt, **SMALL)}
        pipe.use_loras(f"{inputs}/demo-diffusers.safetensors:2", f"{inputs}/demo-kohya.safetensors")
        pipe.use_embeddings(f"{inputs}/ink-style.safetensors:ink")
        results["both"] = pipe(prompt, **SMALL)
        pipe.use_loras()
        results["embedding"] = pipe(prompt, **SMALL)
        pipe.use_embeddings()
        results["neither"] = pipe(prompt, **SMALL)
        record[engine] = {
            name: result_of(result, f"{engine}-{name}") for name, result in results.items()
        }
    return record
