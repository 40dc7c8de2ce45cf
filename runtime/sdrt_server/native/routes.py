"""The routes of the native API."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Path, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile as Upload

from sdrt.errors import UsageError
from sdrt_server.errors import UnknownJobError
from sdrt_server.http.errors import json_response
from sdrt_server.http.pictures import MEDIA_TYPES, Format, encoded, to_base64
from sdrt_server.http.streams import KEEP_OPEN, event, event_stream
from sdrt_server.jobs.job import Job
from sdrt_server.native.answers import capabilities, event_answer, job_answer
from sdrt_server.native.picture_facts import picture_facts
from sdrt_server.native.schema import (
    PICTURES,
    ErrorAnswer,
    JobAnswer,
    JobList,
    JobRequest,
    PictureFacts,
)
from sdrt_server.service import Service, ServiceOf

SUFFIXES: dict[str, Format] = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
REFERENCE = {"$ref": "#/components/schemas/JobRequest"}
FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
MULTIPART = {
    "type": "object",
    "properties": {"request": REFERENCE, **dict.fromkeys(PICTURES, FILE)},
    "required": ["request"],
    "additionalProperties": False,
}
"""A job's body in parts: the JSON, and pictures as files."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "What is asked for cannot be made.",
        401: "The key is missing or wrong.",
        403: "A page of another site asked.",
        404: "There is no such thing.",
        413: "The body is too large.",
        421: "The server is not called so.",
        422: "The body is not of the right form.",
        429: "Too many jobs wait; Retry-After says for how long.",
        503: "The server is stopping.",
    }.items()
}
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]

router = APIRouter(prefix="/v1", tags=["jobs"], responses=ERRORS)


@router.get("/capabilities")
def get_capabilities(service: ServiceOf) -> dict[str, Any]:
    """Models, samplers, styles, LoRAs and limits of this server."""
    return capabilities(service)


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobAnswer,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": REFERENCE},
                "multipart/form-data": {"schema": MULTIPART},
            },
        }
    },
)
async def create_job(request: Request, service: ServiceOf) -> Response:
    """Put a job into the queue: JSON, or the same as the part `request` beside files."""
    asked = await _read(request)

    def submit() -> Job:
        return service.submit(asked.to_ask(service.limits.max_pixels))

    job = await run_in_threadpool(submit)
    place = {"Location": f"v1/jobs/{job.id}"}
    return json_response(job_answer(job, service.private_paths), 202, place)


@router.get("/jobs", response_model=JobList)
def list_jobs(service: ServiceOf) -> Response:
    """All jobs that are known, the newest first."""
    private = service.private_paths
    jobs = [job_answer(job, private, brief=True) for job in service.queue.jobs()]
    return json_response({"jobs": jobs})


@router.get("/jobs/{id}", response_model=JobAnswer)
def get_job(id: JobId, service: ServiceOf) -> Response:
    """A job as it is now."""
    return json_response(job_answer(service.queue.find(id), service.private_paths))


@router.delete("/jobs/{id}", response_model=JobAnswer)
def cancel_job(id: JobId, service: ServiceOf) -> Response:
    """Cancel a job, whether it waits or runs; one that has ended stays as it is."""
    job = service.queue.find(id)
    service.queue.cancel(job)
    return json_response(job_answer(job, service.private_paths))


@router.get(
    "/jobs/{id}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def watch_job(id: JobId, service: ServiceOf) -> Response:
    """Server-sent events: the job now, then whenever it changes, to its end.

    An event's name is the job's state, its data the job; while it runs, `preview` is a data URL.
    """
    return event_stream(_events(service.queue.find(id), service))


@router.get(
    "/jobs/{id}/images/{name}",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": FILE} for kind in MEDIA_TYPES.values()}}},
)
def get_picture(
    id: JobId,
    name: Annotated[str, Path(pattern=r"^[0-9]{1,2}\.(png|jpg|jpeg|webp)$")],
    service: ServiceOf,
) -> Response:
    """A finished picture, such as 0.png; a PNG has its parameters inside."""
    number, _, suffix = name.partition(".")
    outcome = service.queue.find(id).outcome
    if outcome is None or int(number) >= len(outcome.pictures):
        raise UnknownJobError(f"{id}/{name}")
    format = SUFFIXES[suffix]
    contents = encoded(outcome.pictures[int(number)].png, format)
    return Response(contents, media_type=MEDIA_TYPES[format])


@router.post("/parameters", response_model=PictureFacts)
def read_parameters(image: Annotated[UploadFile, File()]) -> Response:
    """What made a PNG, as options that make it again."""
    return json_response(picture_facts(image.file.read()))


async def _read(request: Request) -> JobRequest:
    """The body of a job in either form."""
    try:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return JobRequest.model_validate_json(await request.body())
        async with request.form(max_files=len(PICTURES), max_fields=1) as form:
            unknown = set(form) - {"request", *PICTURES}
            if unknown:
                raise UsageError(f"unknown part {min(unknown)[:80]!r}; known: request, image, mask")
            asked = json.loads(str(form.get("request", "")))
            for name in PICTURES:
                file = form.get(name)
                if isinstance(file, Upload) and isinstance(asked, dict):
                    asked[name] = to_base64(await file.read())
            return JobRequest.model_validate(asked)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    except (ValueError, RecursionError) as error:
        raise UsageError("the part 'request' is not valid JSON", "request") from error


async def _events(job: Job, service: Service) -> AsyncIterator[bytes]:
    private = service.private_paths
    async for progress in job.changes():
        if progress is None:
            yield KEEP_OPEN
        else:
            answer = await run_in_threadpool(event_answer, job, private, progress)
            yield event(progress.state, answer)
