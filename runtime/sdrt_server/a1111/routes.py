"""The routes of AUTOMATIC1111's API that clients use."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from sdrt.text.styles import known_styles
from sdrt_server.a1111 import answers
from sdrt_server.a1111.schema import (
    ErrorAnswer,
    ImageToImage,
    NewOptions,
    PngInfoRequest,
    TextToImage,
)
from sdrt_server.http.errors import describe
from sdrt_server.http.pictures import from_base64
from sdrt_server.http.streams import patient, while_connected
from sdrt_server.jobs.job import Job
from sdrt_server.native import routes as native
from sdrt_server.native.picture_facts import picture_facts
from sdrt_server.service import Service, ServiceOf

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {**described, "model": ErrorAnswer} for status, described in native.ERRORS.items()
}

router = APIRouter(prefix="/sdapi/v1", tags=["AUTOMATIC1111"], responses=ERRORS)


class Chosen:
    """The model that clients of this API have changed to."""

    def __init__(self, model: str) -> None:
        self.model = model


def _chosen(request: Request) -> Chosen:
    chosen = request.app.state.a1111
    assert isinstance(chosen, Chosen)
    return chosen


ChosenOf = Annotated[Chosen, Depends(_chosen)]


@router.post("/txt2img")
async def text_to_image(
    asked: TextToImage, request: Request, service: ServiceOf, chosen: ChosenOf
) -> Response:
    """Pictures of a prompt; spaces come before the JSON if that takes long."""
    return await _made(request, service, asked, chosen.model)


@router.post("/img2img")
async def image_to_image(
    asked: ImageToImage, request: Request, service: ServiceOf, chosen: ChosenOf
) -> Response:
    """Pictures from a picture, within the mask if there is one."""
    return await _made(request, service, asked, chosen.model)


@router.get("/progress")
def progress(
    service: ServiceOf, skip_current_image: Annotated[bool, Query()] = False
) -> dict[str, Any]:
    """How far the running job is, with a rough picture of it."""
    return answers.progress_answer(service.queue, not skip_current_image)


@router.post("/interrupt")
@router.post("/skip")
def interrupt(service: ServiceOf) -> dict[str, Any]:
    """End the running job with the picture that there is by now."""
    job = service.queue.running
    if job is not None:
        job.wants_partial = True
        service.queue.cancel(job)
    return {}


@router.get("/options")
def get_options(service: ServiceOf, chosen: ChosenOf) -> dict[str, Any]:
    """The settings of the server."""
    return answers.options_answer(service.shelf.find(chosen.model))


@router.post("/options")
def set_options(new: NewOptions, service: ServiceOf, chosen: ChosenOf) -> None:
    """Change to another model; other settings stay as they are."""
    if new.model is not None:
        chosen.model = service.shelf.find(new.model).name


@router.get("/sd-models")
def models(service: ServiceOf) -> list[dict[str, Any]]:
    """The models of the server."""
    return [answers.model_answer(served) for served in service.shelf.models.values()]


@router.get("/samplers")
def samplers() -> list[dict[str, Any]]:
    """All samplers."""
    return answers.samplers_answer()


@router.get("/schedulers")
def schedulers() -> list[dict[str, Any]]:
    """All spacings of noise levels."""
    return answers.schedulers_answer()


@router.get("/upscalers")
def upscalers() -> list[dict[str, Any]]:
    """What enlarges the first pass of hires."""
    named = {"model_name": None, "model_path": None, "model_url": None}
    return [{"name": "Lanczos", **named, "scale": 4}]


@router.get("/latent-upscale-modes")
@router.get("/sd-vae")
@router.get("/hypernetworks")
@router.get("/face-restorers")
@router.get("/realesrgan-models")
@router.get("/script-info")
@router.get("/extensions")
def nothing() -> list[dict[str, Any]]:
    """What this server has none of."""
    return []


@router.get("/scripts")
def scripts() -> dict[str, list[str]]:
    """No scripts."""
    return {"txt2img": [], "img2img": []}


@router.get("/cmd-flags")
def flags() -> dict[str, Any]:
    """No flags."""
    return {}


@router.get("/loras")
def loras(service: ServiceOf) -> list[dict[str, Any]]:
    """LoRAs that prompts may name."""
    return answers.adapters_answer(service)[0]


@router.get("/embeddings")
def embeddings(service: ServiceOf) -> dict[str, Any]:
    """Textual inversions, which are in use where a prompt has their name."""
    return answers.adapters_answer(service)[1]


@router.get("/prompt-styles")
def styles() -> list[dict[str, Any]]:
    """Styles by name."""
    return [style.model_dump() for style in known_styles().values()]


@router.get("/memory")
def memory() -> dict[str, Any]:
    """Memory of the machine."""
    return dict(answers.memory_answer())


@router.post("/refresh-checkpoints")
@router.post("/refresh-vae")
@router.post("/refresh-loras")
def refresh() -> None:
    """Nothing to do: models are given at the start, and LoRAs are looked for each time."""


@router.post("/png-info")
def png_info(asked: PngInfoRequest) -> dict[str, Any]:
    """The parameters inside a PNG."""
    facts = picture_facts(from_base64("image", asked.image))
    text = facts["text"] or ""
    return {"info": text, "items": {"parameters": text}, "parameters": facts["options"]}


async def _made(request: Request, service: Service, asked: TextToImage, model: str) -> Response:
    def submit() -> Job:
        words = list(service.embeddings.by_name())
        return service.submit(asked.to_ask(model, service.limits.max_pixels, words))

    job = await run_in_threadpool(submit)

    def said(error: Exception) -> dict[str, Any]:
        error_body = describe(error, service.private_paths)
        message = error_body["message"]
        return {"error": error_body["type"], "detail": message, "body": "", "errors": message}

    return await patient(
        while_connected(request, job, service),
        lambda: answers.pictures_answer(job, asked),
        said,
        service.patience_s,
    )
