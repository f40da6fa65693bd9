"""Who is asking, and whether they may: looked at before every request, and by every resource that is not for all."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, request

from core.clock import after
from core.errors import FLError
from webapp.config import WebConfig
from webapp.credentials import SEEN_EVERY_S, Identity, csrf_token, find, touch
from webapp.database import looking, writing
from webapp.errors import Denied, answer_to
from webapp.journal import ANYBODY, note
from webapp.vault import Vault
from webapp.waiting import Waiting

COOKIE = "__Host-gliofed"
_READS = ("GET", "HEAD", "OPTIONS")

P = ParamSpec("P")
R = TypeVar("R")


def settings() -> WebConfig:
    """Return the application's settings."""
    config: WebConfig = current_app.config["GLIOFED"]
    return config


def vault() -> Vault:
    """Return the application's vault."""
    held: Vault = current_app.extensions["gliofed-vault"]
    return held


def waiting() -> Waiting:
    """Return what lets requests wait for an answer."""
    held: Waiting = current_app.extensions["gliofed-waiting"]
    return held


def watch(app: Flask) -> None:
    """Look at every request of an application."""
    app.before_request(_identify)
    app.register_error_handler(Denied, _note_denial)


def who() -> Identity:
    """Return who is asking.

    Raises: Denied: nobody who has signed in.
    """
    identity: Identity | None = g.get("identity")
    if identity is None:
        raise Denied(401, "You are not signed in, or no longer", fix="sign in again")
    return identity


def allow(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only these roles use a resource's method; without roles, whoever is signed in."""

    def guard(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            identity = who()
            if roles and identity.role not in roles:
                raise Denied(403, f"This is not for a {identity.role}", fix=f"ask somebody who is {' or '.join(roles)}")
            return method(*args, **kwargs)

        guarded.roles = roles  # type: ignore[attr-defined]  # for the test that no resource is without a guard
        return guarded

    return guard


def open_to_all(method: Callable[P, R]) -> Callable[P, R]:
    """Mark a resource's method as one that answers without sign-in."""
    method.roles = None  # type: ignore[attr-defined]
    return method


def address() -> str:
    """Return the address that a request came from."""
    return request.remote_addr or ""


def _identify() -> None:
    g.identity = None
    header = request.headers.get("Authorization", "")
    secret, kind = (header[7:], "token") if header.startswith("Bearer ") else (request.cookies.get(COOKIE), "session")
    if not secret:
        return
    identity = find(looking(), secret, kind, settings().sign_in.idle_minutes * 60)
    if identity is None:
        return
    if kind == "session" and request.method not in _READS:
        given = request.headers.get("X-CSRF-Token", "")
        if not hmac.compare_digest(given.encode(), csrf_token(vault(), identity).encode()):
            g.identity = identity
            raise Denied(403, "The request does not come from this page", fix="load the page again")
    if identity.seen_at < after(-SEEN_EVERY_S):
        with writing() as session:
            touch(session, identity)
    g.identity = identity


def _note_denial(error: Denied) -> Response:
    """Keep a denial in the log before it is answered."""
    identity: Identity | None = g.get("identity")
    route = f"{request.method} {request.url_rule or ''}"
    try:
        with writing() as session:
            user = identity.user if identity else ANYBODY
            note(session, user, "access.denied", route=route, status=error.status, address=address())
    except FLError as unusable:  # nothing is answered that could not be noted
        return answer_to(unusable)
    return answer_to(error)
