"""The routes of OpenAI's API for pictures."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image, ImageChops

from sdrt.errors import UnsupportedError, UsageError
from sdrt_server.http.errors import json_response
from sdrt_server.http.pictures import open_picture
from sdrt_server.http.streams import event_stream, while_connected
from sdrt_server.jobs.job import Job
from sdrt_server.openai.answers import Kind, answer, stream
from sdrt_server.openai.schema import EditRequest, GenerationRequest, ImagesRequest
from sdrt_server.service import Ask, Service, ServiceOf

router = APIRouter(tags=["OpenAI"])

EditForm = Annotated[EditRequest, Form(media_type="multipart/form-data")]


@router.get("/models")
def list_models(service: ServiceOf) -> dict[str, Any]:
    """The models of the server."""
    return {"object": "list", "data": [_model(name) for name in service.shelf.models]}


@router.get("/models/{name}")
def get_model(name: str, service: ServiceOf) -> dict[str, Any]:
    """One model."""
    return _model(service.shelf.find(name).name)


@router.post("/images/generations")
async def generate(asked: GenerationRequest, request: Request, service: ServiceOf) -> Response:
    """Pictures of a prompt."""
    ask = asked.to_ask()
    return await _made(request, service, asked, ask, "image_generation")


@router.post("/images/edits")
async def edit(form: EditForm, request: Request, service: ServiceOf) -> Response:
    """A picture changed as the prompt says, within the mask if there is one."""
    pictures = await run_in_threadpool(_pictures, form, service.limits.max_pixels)
    return await _made(request, service, form, form.to_ask(pictures), "image_edit")


@router.post("/images/variations")
async def vary(form: EditForm, request: Request, service: ServiceOf) -> Response:
    """Pictures like another one: image to image, mostly without a prompt."""
    return await edit(form, request, service)


async def _made(
    request: Request, service: Service, asked: ImagesRequest, ask: Ask, kind: Kind
) -> Response:
    """The answer, once the pictures are made, or the stream of events on the way to it."""
    job: Job = await run_in_threadpool(service.submit, ask)
    if asked.stream:
        return event_stream(stream(job, asked, kind, service))
    await while_connected(request, job, service)
    return json_response(await run_in_threadpool(answer, job, asked, str(request.base_url)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sdrt"}


def _pictures(form: EditRequest, max_pixels: int) -> dict[str, Any]:
    """The image and the mask as options of a run."""
    images = [*form.image, *form.images]
    if not images:
        raise UsageError("there is no image to change; send it as the part 'image'", "image")
    if len(images) > 1:
        raise UnsupportedError(f"{len(images)} images were sent; one can be changed at a time")
    image = open_picture("image", images[0].file.read(), max_pixels)
    if form.mask is not None:
        shades = open_picture("mask", form.mask.file.read(), max_pixels)
        is_cut_out = shades.has_transparency_data
        return {"image": image, "mask": _hole(shades) if is_cut_out else shades.convert("L")}
    hole = _hole(image) if image.has_transparency_data else None
    if hole is None or hole.getextrema() == (0, 0):
        return {"image": image}
    return {"image": image.convert("RGBA").convert("RGB"), "mask": hole}


def _hole(image: Image.Image) -> Image.Image:
    """White where a picture is transparent, black where it is not."""
    return ImageChops.invert(image.convert("RGBA").getchannel("A"))
