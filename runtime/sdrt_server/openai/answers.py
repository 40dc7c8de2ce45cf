"""Finished jobs, and those on their way, as OpenAI's clients expect them."""

from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi.concurrency import run_in_threadpool

from sdrt_server.http.errors import describe
from sdrt_server.http.pictures import encoded, preview_bytes, to_base64
from sdrt_server.http.streams import KEEP_OPEN, event
from sdrt_server.jobs.job import Job, Picture
from sdrt_server.openai.schema import ImagesRequest
from sdrt_server.service import Service

Kind = Literal["image_generation", "image_edit"]
USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}
"""Clients want to see it; nothing is charged here."""


def answer(job: Job, asked: ImagesRequest, base_url: str) -> dict[str, Any]:
    """The pictures of a job; `base_url` is where the server's routes are for the client."""
    assert job.outcome is not None
    pictures = job.outcome.pictures
    data = [_datum(job, i, picture, asked, base_url) for i, picture in enumerate(pictures)]
    return {"created": int(job.created), "data": data, **_facts(pictures[0], asked), "usage": USAGE}


async def stream(
    job: Job, asked: ImagesRequest, kind: Kind, service: Service
) -> AsyncIterator[bytes]:
    """Events: as many partial pictures as were asked for, then the finished ones."""
    wanted, shown = asked.partial_images or 0, 0
    try:
        async for progress in job.changes():
            if progress is None:
                yield KEEP_OPEN
            elif shown < wanted and progress.preview is not None:
                if progress.step * (wanted + 1) < (shown + 1) * job.order.steps:
                    continue
                contents = await run_in_threadpool(preview_bytes, progress.preview, asked.format)
                partial = {"partial_image_index": shown, "b64_json": to_base64(contents)}
                yield _event(f"{kind}.partial_image", job, asked, progress.preview, partial)
                shown += 1
        if job.error is not None:
            yield event("error", {"error": describe(job.error, service.private_paths)})
            return
        assert job.outcome is not None
        for picture in job.outcome.pictures:
            contents = await run_in_threadpool(
                encoded, picture.png, asked.format, asked.output_compression
            )
            whole = {"b64_json": to_base64(contents), "usage": USAGE}
            yield _event(f"{kind}.completed", job, asked, picture, whole)
    finally:
        if not job.progress.is_final:
            service.abandon(job)


def _event(
    name: str, job: Job, asked: ImagesRequest, picture: Any, content: dict[str, Any]
) -> bytes:
    facts = {"created_at": int(job.created), **_facts(picture, asked)}
    return event(name, {"type": name, **facts, **content})


def _facts(picture: Any, asked: ImagesRequest) -> dict[str, Any]:
    """What is true of all pictures; `picture` has a width and a height."""
    return {
        "background": "opaque",
        "output_format": asked.format,
        "quality": asked.quality or "auto",
        "size": f"{picture.width}x{picture.height}",
    }


def _datum(
    job: Job, index: int, picture: Picture, asked: ImagesRequest, base_url: str
) -> dict[str, Any]:
    seed = {"seed": picture.parameters.seed} if picture.parameters else {}
    if asked.response_format == "url":
        return {"url": f"{base_url}v1/jobs/{job.id}/images/{index}.{asked.format}", **seed}
    contents = encoded(picture.png, asked.format, asked.output_compression)
    return {"b64_json": to_base64(contents), **seed}
