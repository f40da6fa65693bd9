"""How the application says no: always JSON of a problem and a fix, never a trace, never a patient's data."""

import logging
import traceback
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from core.errors import FLError, RecordsError

logger = logging.getLogger(__name__)

_FIXES = {
    400: "send what /openapi.json describes",
    404: "check the address; what was deleted is gone",
    405: "use one of the methods that the header Allow names",
    406: "ask for application/json",
    408: "send the request again, over a faster line",
    411: "say the length of what is sent",
    413: "send only the four sequences of one patient, in several requests if need be",
    415: "send JSON, or a form with files",
    422: "correct what is named",
    429: "wait as long as the header Retry-After says",
    503: "wait a moment, then try again; if it stays, call whoever runs this server",
}


class Refused(FLError):
    """A request that is not done, with the HTTP status that says why.

    Args:
        status: 400 to 599.
        problem, fix: as every FLError.
        retry_after: seconds to wait, where waiting helps.
    """

    def __init__(self, status: int, problem: str, *, fix: str, retry_after: int | None = None) -> None:
        super().__init__(problem, fix=fix)
        self.status = status
        self.retry_after = retry_after


class Denied(Refused):
    """Somebody asks for what they may not have, which is an event of its own.

    Args:
        status, problem, fix: as every refusal.
        action: the event's.
        user: who it was, where that is known otherwise than by a session or token.
        why: what the log is told, and the answer is not.
    """

    def __init__(
        self, status: int, problem: str, *, fix: str, action: str = "access.denied", user: str = "", why: str = ""
    ) -> None:
        super().__init__(status, problem, fix=fix)
        self.action = action
        self.user = user
        self.why = why


def missing(what: str) -> Denied:
    """Return the refusal of what is not there, or not for this user: the two look the same."""
    return Denied(404, f"There is no such {what}", fix="check the address, or ask whom it belongs to")


def handle_errors(app: Flask) -> None:
    """Let every failure of an application answer with its problem and its fix."""
    app.register_error_handler(FLError, answer_to)
    app.register_error_handler(SQLAlchemyError, _database)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _bug)


def answer_to(error: FLError) -> Response:
    """Return what is answered to an expected failure."""
    status = error.status if isinstance(error, Refused) else error.http_status
    answer = _answer(status, error.problem, error.fix)
    if isinstance(error, Refused) and error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, RecordsError):
        answer.headers["Retry-After"] = "5"
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def http_error(error: HTTPException) -> Response:
    """Return what is answered to a failure of the framework's own kinds."""
    if error.response is not None and error.code is None:
        return error.response  # type: ignore[return-value]  # a redirect that was raised
    status = error.code or 500
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "The request failed"
    wrong = _fields(getattr(error, "data", None))
    answer = _answer(status, f"{phrase}: {wrong}" if wrong else phrase, _FIXES.get(status, "correct the request"))
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return answer


def _fields(data: dict[str, Any] | None) -> str:
    """Name what the schemas found wrong, without repeating what was sent."""
    found: dict[str, list[str]] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, f"{path}.{name}".strip("."))
        elif isinstance(value, list):
            found[path.partition(".")[2] or path] = [str(item) for item in value]

    walk((data or {}).get("messages"), "")
    return "; ".join(f"{name[:60]}: {' '.join(what)[:200]}" for name, what in sorted(found.items())[:10])


def _database(error: SQLAlchemyError) -> Response:
    logger.error("the database failed", extra={"kind": type(error).__name__})
    fix = "wait a moment, then try again; nothing was lost"
    answer = _answer(503, "The database cannot be used right now", fix)
    answer.headers["Retry-After"] = "5"
    return answer


def _bug(error: Exception) -> Response:
    # Where it happened, but not what the error says: that may repeat what a patient's file holds.
    where = [f"{_place(frame.filename)}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]
    logger.error("a bug", extra={"kind": type(error).__name__, "where": where, "route": str(request.url_rule)})
    return _answer(500, "Something went wrong here", "try again; if it stays, call whoever runs this server")


def _place(filename: str) -> str:
    """Return the last two parts of a file's name."""
    return "/".join(filename.split("/")[-2:])


def _answer(status: int, problem: str, fix: str) -> Response:
    answer = jsonify({"problem": problem, "fix": fix})
    answer.status_code = status
    return answer
