"""Errors as answers: a status for each kind, and the body that each API's clients expect."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sdrt.errors import (
    CancelledError,
    LockedError,
    OutOfMemoryError,
    SdrtError,
    UnsupportedError,
    UsageError,
)
from sdrt_server.errors import (
    JobTimeoutError,
    QueueFullError,
    StoppingError,
    UnknownJobError,
    UnknownModelError,
)

STATUS: Mapping[type[SdrtError], int] = {
    UnknownModelError: 404,
    UsageError: 400,
    UnsupportedError: 400,
    OutOfMemoryError: 400,
    UnknownJobError: 404,
    CancelledError: 409,
    LockedError: 409,
    QueueFullError: 429,
    StoppingError: 503,
    JobTimeoutError: 504,
}
"""Of errors and those that derive from them, the first that fits; of all others it is 500."""
FIELDS = {"steps": "num_inference_steps", "number of images": "num_images_per_prompt"}
"""Names of options where messages have other words for them."""
A1111 = "/sdapi/"

log = logging.getLogger("sdrt.server")


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    fitting = (status for kind, status in STATUS.items() if isinstance(error, kind))
    return next(fitting, 500)


def describe(error: Exception, private: Mapping[str, str]) -> dict[str, Any]:
    """An error as the native API and OpenAI's have it, with `private` paths replaced."""
    message = str(error)
    for path, name in private.items():
        message = message.replace(path, name)
    option = getattr(error, "option", None)
    kind = type(error).__name__
    return {"message": message, "type": kind, "param": _field(option) if option else None}


def _field(option: str) -> str:
    """The name of an option, for which messages may have spaces or other words."""
    return FIELDS.get(option, option.replace(" ", "_"))


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON, whatever characters are in it."""
    text = json.dumps(body, ensure_ascii=True, allow_nan=False)
    return Response(text, status, headers, media_type="application/json")


def error_response(
    request: Request,
    status: int,
    error: dict[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for an error, in the form of the API that was called."""
    if request.url.path.startswith(A1111):
        message, kind = error["message"], error["type"]
        body = {"error": kind, "detail": message, "body": "", "errors": message}
        return json_response(body, status, headers)
    request_id = request.scope.get("state", {}).get("request_id")
    code = "invalid_request_error" if status < 500 else "server_error"
    named = {"message": "", "type": "", "param": None, "code": code, "request_id": request_id}
    return json_response({"error": {**named, **error}}, status, headers)


def install(app: FastAPI, private: Mapping[str, str]) -> None:
    """Answer every exception of the app's routes; `private` are paths that no answer may have."""

    async def on_error(request: Request, error: Exception) -> Response:
        headers = {}
        if isinstance(error, QueueFullError):
            headers["Retry-After"] = str(error.seconds)
        app.state.service.metrics.refused(type(error).__name__)
        return error_response(request, status_of(error), describe(error, private), headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        app.state.service.metrics.refused("InvalidRequest")
        is_openai = request.url.path.startswith(("/v1/images", "/v3/"))
        return error_response(request, 400 if is_openai else 422, _first_of(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = {"message": str(error.detail), "type": "InvalidRequest"}
        return error_response(request, error.status_code, said, error.headers)

    async def on_mistake(request: Request, error: Exception) -> Response:
        said = {"message": "a mistake in sdrt; the server's log has it", "type": "InternalError"}
        return error_response(request, 500, said)

    app.add_exception_handler(SdrtError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_mistake)


def _first_of(error: RequestValidationError) -> dict[str, Any]:
    """The first thing that is wrong with a body, in one sentence; never what was sent."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if part not in ("body", "query", "path")]
    name = str(place[0])[:80] if place else None
    where = ".".join(str(part)[:80] for part in place)
    more = len(error.errors()) - 1
    rest = f", and {more} more" if more else ""
    said = f"{where}: {first['msg']}{rest}" if where else f"the body: {first['msg']}{rest}"
    return {"message": said, "type": "InvalidRequest", "param": name}
