"""Jobs, pictures and models as the native API shows them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sdrt import machine, validation
from sdrt.manifest import Manifest, guidance_width
from sdrt.request.sampler_options import SCHEDULER_NAMES
from sdrt.request.speed import SPEEDS, speed_preset
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.text.styles import known_styles
from sdrt.version import __version__
from sdrt_server.http.errors import describe
from sdrt_server.http.pictures import preview_url
from sdrt_server.jobs.job import Job, Picture, Progress
from sdrt_server.models.shelf import ServedModel
from sdrt_server.service import Service


def job_answer(
    job: Job, private: Mapping[str, str], progress: Progress | None = None, brief: bool = False
) -> dict[str, Any]:
    """A job, as it is now or was at this progress; brief ones leave parameters out."""
    now = progress or job.progress
    outcome = job.outcome if now.is_final else None
    pictures = outcome.pictures if outcome else []
    return {
        "id": job.id,
        "state": now.state,
        "stage": now.stage,
        "model": job.order.model,
        "prompt": job.order.prompt,
        "created": job.created,
        "ahead": now.ahead,
        "width": job.order.width,
        "height": job.order.height,
        "step": now.step,
        "steps": job.order.steps,
        "elapsed": job.elapsed,
        "seconds_left": now.seconds_left,
        "warnings": list(now.warnings),
        "images": [_picture(job, index, each, brief) for index, each in enumerate(pictures)],
        "timings": asdict(outcome.timings) if outcome else None,
        "error": describe(job.error, private) if job.error and now.is_final else None,
    }


def event_answer(job: Job, private: Mapping[str, str], progress: Progress) -> dict[str, Any]:
    """A job in an event: with a preview while it runs."""
    answer = job_answer(job, private, progress)
    if progress.state == "running":
        shown = progress.preview
        answer["preview"] = preview_url(shown) if shown is not None else None
    return answer


def _picture(job: Job, index: int, picture: Picture, brief: bool) -> dict[str, Any]:
    made_by = picture.parameters
    return {
        "url": f"v1/jobs/{job.id}/images/{index}.png",
        "seed": made_by.seed if made_by else None,
        "width": picture.width,
        "height": picture.height,
        "parameters": asdict(made_by) if made_by and not brief else None,
    }


def capabilities(service: Service) -> dict[str, Any]:
    """What the server has, and what it allows."""
    models = service.shelf.models.values()
    backend = next(iter(models)).pipe.backend
    return {
        "version": __version__,
        "machine": machine.processor(),
        "backend": backend.name,
        "threads": backend.threads,
        "limits": asdict(service.limits),
        "models": [_model(served) for served in models],
        "default_model": service.shelf.default,
        "samplers": [
            {"name": name, "label": sampler.a1111, "summary": sampler.summary}
            for name, sampler in SAMPLERS.items()
        ],
        "schedulers": list(SCHEDULER_NAMES),
        "styles": [style.model_dump() for style in known_styles().values()],
        "loras": list(service.loras.by_name()),
        "embeddings": list(service.embeddings.by_name()),
    }


def _model(served: ServedModel) -> dict[str, Any]:
    manifest = served.pipe.manifest
    defaults, downscale = manifest.defaults, manifest.latent.downscale
    tuned = served.pipe.artifact.tuned_speed()
    presets = {name: speed_preset(manifest, name, tuned) for name in SPEEDS}
    own = f"{defaults.num_inference_steps} steps of {defaults.sampler}, the model's own"
    return {
        "name": served.name,
        "family": manifest.family,
        "precision": manifest.precision,
        **{
            name: getattr(defaults, name)
            for name in (
                *("width", "height", "num_inference_steps", "guidance_scale"),
                *("sampler", "scheduler"),
            )
        },
        "multiple": downscale,
        "smallest": validation.MIN_LATENT * downscale,
        "largest": validation.MAX_SIZE,
        "guides_itself": guidance_width(manifest.graphs.get("unet")) > 0,
        "starts_from": _starts(manifest),
        "decoders": ["full", *(["tiny"] if "tae" in served.previews else [])],
        "previews": list(served.previews),
        "speeds": [
            {
                "name": name,
                "summary": own if name == "exact" else preset.summary(),
                "options": preset.options,
            }
            for name, preset in presets.items()
            if preset.warning is None
        ],
    }


def _starts(manifest: Manifest) -> list[str]:
    """What pictures can be made from."""
    if manifest.edits:
        return ["image"]
    if manifest.takes_mask:
        return ["mask"]
    if manifest.takes_depth:
        return ["depth"]
    return ["noise", *(["image", "mask"] if "vae_encoder" in manifest.graphs else [])]
