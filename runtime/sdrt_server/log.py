"""What the server logs, as text or as JSON lines. Prompts are in it only if that is asked for."""

import json
import logging
import time
from typing import Literal

LogFormat = Literal["text", "json"]
LOGGER = "sdrt.server"


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
    """Write the server's log to standard error; with each request if `with_access`."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonLines() if format == "json" else text)
    for name in (LOGGER, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == LOGGER else logging.WARNING)
    logging.getLogger(f"{LOGGER}.access").setLevel(logging.INFO if with_access else logging.WARNING)
