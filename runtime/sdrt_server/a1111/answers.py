"""Finished jobs and the server's contents, as clients of AUTOMATIC1111 expect them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sdrt import machine
from sdrt.images.metadata import Parameters
from sdrt.request.sampler_options import SCHEDULER_NAMES
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.version import __version__
from sdrt_server.a1111.schema import TextToImage
from sdrt_server.http.pictures import preview_bytes, to_base64
from sdrt_server.jobs.job import Job
from sdrt_server.jobs.queue import JobQueue
from sdrt_server.models.shelf import ServedModel
from sdrt_server.service import Service


def pictures_answer(job: Job, asked: TextToImage) -> dict[str, Any]:
    """The answer of `txt2img` and `img2img`; `info` is JSON as text."""
    assert job.outcome is not None
    pictures = job.outcome.pictures
    made_by = [picture.parameters for picture in pictures if picture.parameters]
    sent = [] if asked.send_images is False else pictures
    return {
        "images": [to_base64(picture.png) for picture in sent],
        "parameters": asked.model_dump(exclude={"init_images", "mask"}, mode="json"),
        "info": json.dumps(_info(job, asked, made_by), ensure_ascii=True),
    }


def _info(job: Job, asked: TextToImage, made_by: list[Parameters]) -> dict[str, Any]:
    first = made_by[0] if made_by else None
    info: dict[str, Any] = {
        "prompt": job.order.prompt,
        "negative_prompt": asked.negative_prompt,
        "job_timestamp": datetime.fromtimestamp(job.created).strftime("%Y%m%d%H%M%S"),
        "infotexts": [each.to_a1111() for each in made_by],
        "index_of_first_image": 0,
        "extra_generation_params": {},
        "restore_faces": False,
        "styles": asked.styles or [],
        "version": f"sdrt {__version__}",
        "warnings": list(job.progress.warnings),
        "ignored": asked.ignored,
        "interrupted": first is None,
    }
    if first is not None:
        info |= {
            "all_prompts": [each.prompt for each in made_by],
            "all_negative_prompts": [each.negative_prompt for each in made_by],
            "seed": first.seed,
            "all_seeds": [each.seed for each in made_by],
            "subseed": first.seed,
            "all_subseeds": [each.seed for each in made_by],
            "subseed_strength": 0,
            "width": first.width,
            "height": first.height,
            "sampler_name": SAMPLERS[first.sampler].a1111,
            "cfg_scale": first.guidance_scale,
            "steps": first.num_inference_steps,
            "batch_size": len(made_by),
            "denoising_strength": first.hires["strength"] if first.hires else first.strength,
            "clip_skip": first.clip_skip,
            "sd_model_name": first.model,
            "sd_model_hash": first.model_hash[:10],
        }
    return info


def progress_answer(queue: JobQueue, with_image: bool) -> dict[str, Any]:
    """How far the running job is; zeros where there is none."""
    job, waiting = queue.running, queue.waiting
    now = job.progress if job else None
    steps = job.order.steps if job else 0
    image = now.preview if now and with_image else None
    share = now.step / steps if now and steps else 0.0
    return {
        # Clients take 0 for idle, so a job that has begun is never at 0.
        "progress": max(share, 0.01) if job else 0.0,
        "eta_relative": (now.seconds_left or 0.0) if now else 0.0,
        "state": {
            "skipped": False,
            "interrupted": bool(job and job.wants_partial),
            "stopping_generation": queue.is_stopping,
            "job": job.id if job else "",
            "job_count": waiting + bool(job),
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": now.step if now else 0,
            "sampling_steps": steps,
        },
        "current_image": to_base64(preview_bytes(image, "png")) if image else None,
        "textinfo": now.stage if now else None,
    }


def title(served: ServedModel) -> str:
    """The name of a model with the beginning of its hash."""
    return f"{served.name} [{served.pipe.artifact.hash[:10]}]"


def model_answer(served: ServedModel) -> dict[str, Any]:
    """An entry of `sd-models`; the file's name is the model's, as no path leaves the server."""
    hash = served.pipe.artifact.hash
    return {
        "title": title(served),
        "model_name": served.name,
        "hash": hash[:10],
        "sha256": hash,
        "filename": served.name,
        "config": None,
    }


def options_answer(chosen: ServedModel) -> dict[str, Any]:
    """The settings that clients read."""
    return {
        "sd_model_checkpoint": title(chosen),
        "sd_checkpoint_hash": chosen.pipe.artifact.hash,
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
        "live_previews_enable": True,
        "show_progress_every_n_steps": 1,
    }


def samplers_answer() -> list[dict[str, Any]]:
    """All samplers by A1111's names."""
    return [
        {"name": sampler.a1111, "aliases": [name], "options": {}}
        for name, sampler in SAMPLERS.items()
    ]


def schedulers_answer() -> list[dict[str, Any]]:
    """All schedulers; "automatic" is the model's own."""
    names = {"automatic": "Automatic"}
    names |= {name: name.replace("_", " ").title() for name in SCHEDULER_NAMES[1:]}
    return [
        {
            "name": name,
            "label": label,
            "aliases": None,
            "default_rho": -1.0,
            "need_inner_model": False,
        }
        for name, label in names.items()
    ]


def adapters_answer(service: Service) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """LoRAs, and embeddings, by their names."""
    loras = [
        {"name": name, "alias": name, "path": name, "metadata": {}}
        for name in service.loras.by_name()
    ]
    unknown = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None}
    loaded = {name: {**unknown, "shape": 0, "vectors": 0} for name in service.embeddings.by_name()}
    return loras, {"loaded": loaded, "skipped": {}}


def memory_answer() -> Mapping[str, Any]:
    """Memory of the machine in bytes."""
    total, available = machine.memory_bytes()
    ram = {"free": available, "used": machine.resident_bytes(), "total": total}
    return {"ram": ram, "cuda": {"error": "this server computes on the CPU"}}
