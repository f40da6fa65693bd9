"""What the server writes of itself: JSON lines without an address, a name or a patient's data."""

import json
import logging
import sys
import time

from flask import Response, g, request

from core.clock import now

logger = logging.getLogger("gliofed.requests")

_TOLD = ("route", "method", "status", "ms", "user", "request", "kind", "where", "prediction", "step", "seconds")


class JsonLines(logging.Formatter):
    """One JSON object a line, of known fields only."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line; an exception's text, which may hold anything, is left out."""
        told = {name: getattr(record, name) for name in _TOLD if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            told["kind"] = record.exc_info[0].__name__
        return json.dumps({"at": now(), "level": record.levelname, "says": record.getMessage(), **told})


def log_to_stderr() -> None:
    """Write this process's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log_request(answer: Response) -> None:
    """Write a line about a request that was answered."""
    identity = g.get("identity")
    told = {
        "route": str(request.url_rule or ""),
        "method": request.method,
        "status": answer.status_code,
        "ms": round(1000 * (time.monotonic() - g.get("began", time.monotonic())), 1),
        "user": identity.user if identity else None,
        "request": g.get("request_id"),
    }
    logger.info("answered", extra=told)
