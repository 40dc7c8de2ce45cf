"""The parameters of a picture, read off its run."""

from dataclasses import asdict

from sdrt.generation.controls import control_records
from sdrt.images.metadata import Parameters
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.request import Request
from sdrt.version import __version__


def parameters(model: OpenModel, request: Request, seed: int, state: RunState) -> Parameters:
    """What to store with a picture, once its networks have run."""
    manifest, settings, guidance = model.manifest, request.sampler_settings, request.guidance
    init = None if manifest.edits else request.init  # an edit has neither strength nor mask
    return Parameters(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=seed,
        width=request.width,
        height=request.height,
        num_inference_steps=request.num_inference_steps,
        clip_skip=request.clip_skip,
        style=request.style,
        prompt_embeddings=request.digests,
        init_image=_start_digests(request),
        strength=init.strength if init else None,
        paste=init.pastes if init else None,
        controls=control_records(model, request),
        guess_mode=request.guess_mode,
        vae_tiling=state.tiles_vae,
        hires=asdict(request.hires) if request.hires else None,
        denoising_range=request.denoising_range.record,
        size_conditioning=request.size_options,
        sampler=settings.sampler,
        scheduler=settings.scheduler,
        spacing=settings.spacing,
        steps_offset=settings.offset,
        sampler_options=dict(settings.options),
        guidance_scale=guidance.scale,
        image_guidance_scale=guidance.image_scale if manifest.edits else None,
        guidance_rescale=guidance.rescale,
        guidance_start=guidance.start,
        guidance_end=guidance.end,
        speed=request.speed,
        cache_interval=request.feature_reuse.interval,
        cache_depth=request.feature_reuse.depth,
        evaluations=asdict(state.evaluations),
        model=manifest.name,
        model_hash=model.artifact.hash,
        loras=[adapter.record.model_dump() for adapter in model.adapters.loras],
        textual_inversions=[file.record for file in model.adapters.inversions.files],
        stored_precision=state.networks["unet"].stored,
        executed_precision=state.networks["unet"].executed,
        networks=dict(state.networks),
        backend=model.backend.name,
        threads=model.backend.threads,
        version=__version__,
    )


def _start_digests(request: Request) -> dict[str, str]:
    """SHA-256 of the image, the mask and the depth map, as far as they were given."""
    images = request.init.digests if request.init else {}
    return {**images, "depth": request.depth.digest} if request.depth else images
