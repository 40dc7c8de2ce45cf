"""The application: every route of the server, behind its gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware

from sdrt.version import __version__
from sdrt_server.a1111 import routes as a1111
from sdrt_server.http import errors
from sdrt_server.http.errors import json_response
from sdrt_server.http.gate import Access, Gate
from sdrt_server.native import routes as native
from sdrt_server.native.schema import JobRequest
from sdrt_server.openai import routes as openai
from sdrt_server.service import Service, ServiceOf

PAGE = Path(__file__).with_name("page")
ABOUT = (
    "Pictures from prompts on CPUs. `/v1/jobs` has every option and shows progress; `/v1/images` "
    "is OpenAI's API, `/sdapi/v1` AUTOMATIC1111's."
)

operation = APIRouter(tags=["operation"])


def create_app(service: Service, access: Access | None = None) -> FastAPI:
    """The application that serves a service to whom `access` allows; by default, to this machine.

    The service's queue stops with it.
    """
    access = access or Access()
    app = FastAPI(
        title="sdrt",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # its page would load scripts from other sites
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = service
    app.state.a1111 = a1111.Chosen(service.shelf.default)
    app.include_router(native.router)
    app.include_router(openai.router, prefix="/v1", responses=native.ERRORS)
    app.include_router(openai.router, prefix="/v3", include_in_schema=False)
    app.include_router(a1111.router)
    app.include_router(operation)
    app.mount("/page", _PageFiles(directory=PAGE), name="page")
    app.add_middleware(Gate, access=access, max_body=service.limits.max_body)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.origins,
            allow_methods=["*"],
            allow_headers=["*"],
        )
    errors.install(app, service.private_paths)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _PageFiles(StaticFiles):
    """The page's files, of which browsers ask each time whether theirs are still the same."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        """The file, or that it has not changed."""
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


@operation.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page for people."""
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


@operation.get("/docs", include_in_schema=False)
def docs() -> FileResponse:
    """The routes, for people who write programs."""
    return FileResponse(PAGE / "docs.html", headers={"Cache-Control": "no-cache"})


@operation.get("/healthz")
@operation.get("/v2/health/live", include_in_schema=False)
def health() -> dict[str, str]:
    """Whether the server answers at all."""
    return {"status": "ok"}


@operation.get("/readyz", responses={503: {"description": "It is stopping."}})
@operation.get("/v2/health/ready", include_in_schema=False)
def readiness(service: ServiceOf) -> Response:
    """Whether the server takes jobs."""
    if service.queue.is_stopping:
        return json_response({"status": "stopping"}, 503)
    return json_response({"status": "ready"})


@operation.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
)
def metrics(service: ServiceOf) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    service: Service = app.state.service
    service.queue.stop()
    service.queue.join()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of all routes, also of the body that is read by hand for its two forms."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=ABOUT, routes=app.routes
        )
        _, read_by_hand = models_json_schema(
            [(JobRequest, "validation")], ref_template="#/components/schemas/{model}"
        )
        schema["components"]["schemas"] |= read_by_hand["$defs"]
        app.openapi_schema = schema
    return app.openapi_schema
