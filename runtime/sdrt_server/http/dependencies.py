"""What routes are given besides the request."""

from typing import Annotated

from fastapi import Depends, Request

from sdrt_server.service import Service


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceOf = Annotated[Service, Depends(_service)]
