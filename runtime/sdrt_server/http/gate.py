"""What every request passes first: whom it may come from, what it may hold, and its id."""

import asyncio
import hmac
import logging
import re
import secrets
import time
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdrt_server.http.errors import error_response

OPEN = re.compile(
    r"/(page/.*|docs|openapi\.json|healthz|readyz|v2/health/(live|ready)|v1/jobs/[0-9a-f]{32}/images/[^/]*)?"
)
"""Paths that need no key: the page, what routes there are, whether the server is well, and pictures
of secret names."""
LOCAL = ("localhost", "127.0.0.1", "::1")
BODY_S = 60.0  # for which a request may send nothing before it is complete
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

log = logging.getLogger("sdrt.server.access")


@dataclass(frozen=True)
class Access:
    """Who may use a server."""

    keys: Sequence[str] = ()
    """Keys of which a request has to show one; none are needed where there are none."""
    hosts: Sequence[str] = LOCAL
    """Names that the server is called by; empty for any. Others are refused, as a page of another
    site may have its own name point at this machine."""
    origins: Sequence[str] = ()
    """Other sites whose pages may use the server, such as "https://example.org"."""

    def allows_key(self, headers: Headers) -> bool:
        """Whether a request shows a key: as a bearer, as X-API-Key, or as the password of Basic."""
        shown = _shown_key(headers).encode()
        # All are compared, so that the time does not tell which one was nearly right.
        return not self.keys or any([hmac.compare_digest(shown, key.encode()) for key in self.keys])

    def allows_host(self, headers: Headers) -> bool:
        """Whether a request means this server by its name."""
        return not self.hosts or _hostname(f"//{headers.get('host', '')}") in self.hosts

    def allows_origin(self, headers: Headers) -> bool:
        """Whether a request comes from this server's page, from a known site, or from no page."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        return origin.partition("://")[2] == headers.get("host")


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, access: Access, max_body: int) -> None:
        self._app, self._access, self._max_body = app, access, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.update(HEADERS)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", POLICY)
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await refusal(scope, receive, answer)
        else:
            await self._app(scope, _Body(receive, self._max_body), answer)
        seconds = time.perf_counter() - began
        log.info("%s %s %d %.3f s", scope["method"], scope["path"], status, seconds)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not let in; None for one that is."""
        headers, access, request = Headers(scope=scope), self._access, Request(scope)
        length = headers.get("content-length", "0")
        if not access.allows_host(headers):
            host = headers.get("host", "")[:80]
            said = f"this server is not called {host!r}; start it with --allowed-host to allow that"
            return _refused(request, 421, "UnknownHost", said)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not access.allows_origin(headers):
            said = "pages of other sites may not use this server; --cors-origin allows one"
            return _refused(request, 403, "UnknownOrigin", said)
        is_open = OPEN.fullmatch(scope["path"]) or scope["method"] == "OPTIONS"
        if not is_open and not access.allows_key(headers):
            said = "this server wants a key: send it as Authorization: Bearer KEY"
            refused = _refused(request, 401, "Unauthorized", said)
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        if length.isascii() and length.isdigit() and int(length[:20]) > self._max_body:
            return _refused(request, 413, "TooLarge", _too_large(self._max_body))
        return None


class _Body:
    """The body of a request, counted while it is read: it may not say how long it is."""

    def __init__(self, receive: Receive, allowed: int) -> None:
        self._receive, self._allowed, self._left = receive, allowed, allowed
        self._is_complete = False

    async def __call__(self) -> Message:
        """The next message; raises `HTTPException` for too much, and for none in a long time."""
        if self._is_complete:
            return await self._receive()  # that the client has left
        try:
            message = await asyncio.wait_for(self._receive(), BODY_S)
        except TimeoutError as error:
            raise HTTPException(408, f"nothing of the body came for {BODY_S:g} s") from error
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._allowed))
        self._is_complete = not message.get("more_body", False)
        return message


def _refused(request: Request, status: int, kind: str, message: str) -> Response:
    return error_response(request, status, {"message": message, "type": kind})


def _too_large(allowed: int) -> str:
    return f"the body is larger than this server takes, which is {allowed} bytes (--max-body)"


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _shown_key(headers: Headers) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""
    return headers.get("x-api-key", "")
