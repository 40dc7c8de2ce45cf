"""Runs the application on a port until it is told to stop."""

import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from sdrt.errors import UsageError
from sdrt_server.service import Service

MARGIN_S = 5.0  # for answers on their way, after the last job has ended


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `UsageError` where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # whoever comes before the server is ready waits
        listening.listen(128)  # whoever comes before the server is ready waits
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --port, or stop what "
            "uses it"
        ) from error
    return listening


def address(listening: socket.socket) -> str:
    """The URL of a socket, for people to open."""
    host, port = listening.getsockname()[:2]
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/"


def run(app: FastAPI, service: Service, listening: socket.socket, grace_s: float) -> None:
    """Serve until SIGTERM or SIGINT, then for as long as the running job takes, or `grace_s`."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(grace_s + MARGIN_S),
        timeout_keep_alive=65,  # longer than the usual minute of proxies, which reuse connections
        h11_max_incomplete_event_size=2**16,
    )
    _Server(config, service, grace_s).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells the queue of the first signal, as uvicorn waits for connections before all else."""

    def __init__(self, config: uvicorn.Config, service: Service, grace_s: float) -> None:
        super().__init__(config)
        self._service, self._grace_s = service, grace_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more jobs; a second signal cancels the running one."""
        self._service.queue.stop(self._grace_s)
        super().handle_exit(sig, frame)
