"""Answers that take long: streams of events, and JSON that keeps its connection open."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from sdrt.errors import CancelledError
from sdrt_server.http.errors import json_response
from sdrt_server.jobs.job import Job
from sdrt_server.service import Service

UNCACHED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers of streams; the second keeps nginx from holding events back."""
KEEP_OPEN = b": still at work\n\n"


def event(name: str | None, data: object) -> bytes:
    """One server-sent event."""
    text = json.dumps(data, ensure_ascii=True)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer of server-sent events."""
    return StreamingResponse(events, media_type="text/event-stream", headers=UNCACHED)


async def outcome_of(job: Job) -> None:
    """Wait for the end of a job; raises the error that it ended with."""
    await job.finished()
    if job.error is not None:
        raise job.error


async def while_connected(request: Request, job: Job, service: Service) -> None:
    """Wait for the end of a job; raises the error that it ended with.

    If the client leaves before, the job is cancelled, unless the server keeps such jobs.
    """
    done = asyncio.ensure_future(outcome_of(job))
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({done, left}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            service.abandon(job)
            raise CancelledError("the client left before the job was done")
        done.result()
    except asyncio.CancelledError:
        service.abandon(job)
        raise
    finally:
        for task in (done, left):
            task.cancel()


async def patient(
    waiting: Awaitable[None],
    body: Callable[[], Any],
    on_error: Callable[[Exception], Any],
    every_s: float,
) -> Response:
    """JSON for whoever waits: an answer as usual if it comes soon, else with spaces before it.

    Clients and proxies give up on a connection on which nothing comes; JSON may begin with any
    number of spaces. Once they are sent the status is 200, so an error is then in the body alone.
    """
    task = asyncio.ensure_future(waiting)
    done, _ = await asyncio.wait({task}, timeout=every_s)
    if done:
        task.result()
        return json_response(await asyncio.to_thread(body))

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while not (await asyncio.wait({task}, timeout=every_s))[0]:
                yield b" "
            error = task.exception()
            if isinstance(error, Exception):
                answer = on_error(error)
            else:
                answer = await asyncio.to_thread(body)
            yield json.dumps(answer, ensure_ascii=True).encode()
        finally:
            task.cancel()

    return StreamingResponse(pieces(), media_type="application/json", headers=UNCACHED)


async def _left(request: Request) -> None:
    """Wait until the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
