"""Runs the application on a port until it is told to stop, and writes its log."""

import json
import logging
import socket
import time
from types import FrameType
from typing import Literal

import uvicorn
from fastapi import FastAPI

from sdrt.errors import UsageError
from sdrt_server.service import Service

LogFormat = Literal["text", "json"]
LOGGER = "sdrt.server"
MARGIN_S = 5.0  # for answers on their way, after the last job has ended


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `UsageError` where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because asyncio turns Nagle's algorithm off only for sockets that say
    # it, and answers would take 40 ms longer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
        """Take no more jobs; a second signal cancels the running one.

        The signal ends the process in no other way, so that its exit code is 0.
        """
        self._service.queue.stop(self._grace_s)
        self.should_exit = True


class JsonLines(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """A line without its end."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def start_logging(format: LogFormat, with_access: bool) -> None:
    """Write the server's log to standard error, with each request if `with_access`.

    Prompts are in it only where the service was told to log them.
    """
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonLines() if format == "json" else text)
    for name in (LOGGER, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == LOGGER else logging.WARNING)
    logging.getLogger(f"{LOGGER}.access").setLevel(logging.INFO if with_access else logging.WARNING)
