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
ELSEWHERE = ("body", "query", "path")
"""Where a field is, at the beginning of its place in a request."""
SHOWN = 3  # problems in a message

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
        said = _invalid(error, request.headers.get("content-type", ""))
        return error_response(request, 400 if is_openai else 422, said)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path[:80]
        no_route = f"there is no {request.method} {path}; /docs lists what there is"
        message = no_route if error.detail in ("Not Found", "Method Not Allowed") else error.detail
        said = {"message": message, "type": "InvalidRequest"}
        return error_response(request, error.status_code, said, error.headers)

    async def on_mistake(request: Request, error: Exception) -> Response:
        said = {"message": "a mistake in sdrt; the server's log has it", "type": "InternalError"}
        return error_response(request, 500, said)

    app.add_exception_handler(SdrtError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_mistake)


def _invalid(error: RequestValidationError, content_type: str) -> dict[str, Any]:
    """What is wrong with a body, in one sentence, and the first field; never what was sent."""
    problems = error.errors()
    places = [[part for part in each["loc"] if part not in ELSEWHERE] for each in problems]
    if not any(places) and "json" not in content_type:
        said = "the body is not said to be JSON; send it with Content-Type: application/json"
        return {"message": said, "type": "InvalidRequest"}
    named = [
        f"{'.'.join(str(part)[:80] for part in place) or 'the body'}: {each['msg']}"
        for place, each in zip(places, problems, strict=True)
    ]
    rest = len(named) - SHOWN
    more = f"; and {rest} more" if rest > 0 else ""
    field = str(places[0][0])[:80] if places[0] else None
    said = "; ".join(named[:SHOWN]) + more
    return {"message": said, "type": "InvalidRequest", "param": field}
