"""Who is asking, and whether they may: looked at before every request, and by every resource that is not for all."""

import hmac
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_address, ip_network
from typing import ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, request
from flask_limiter import RateLimitExceeded

from core.clock import after
from core.errors import FLError
from core.records.db import transaction, unlogged
from webapp.config import WebConfig
from webapp.credentials import SEEN_EVERY_S, Identity, csrf_token, find, still, touch
from webapp.database import looking, writing, writing_engine
from webapp.denials import Denials
from webapp.errors import Denied, answer_to, http_error
from webapp.journal import ANYBODY, NOTHING, SERVICE, note
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
    app.extensions["gliofed-denials"] = Denials()
    app.before_request(_tell_counted)
    app.before_request(_identify)
    app.register_error_handler(Denied, _note_denial)
    app.register_error_handler(RateLimitExceeded, _note_limit)


def who() -> Identity:
    """Return who is asking.

    Raises: Denied: nobody who has signed in.
    """
    identity: Identity | None = g.get("identity")
    if identity is None:
        raise Denied(401, "You are not signed in, or no longer", fix="sign in again")
    return identity


def check_still() -> None:
    """Check that whoever asked may still have the answer, after a while in which the session may have been ended.

    Raises: Denied: not any more.
    """
    if not still(looking(), who()):
        g.identity = None
        who()


def allow(*roles: str, machines: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only these roles use a resource's method; without roles, whoever is signed in.

    Args:
        roles: of users.
        machines: whether a token will do; else it takes a person at a browser.
    """

    def guard(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            identity = who()
            _check_page(identity)
            if roles and identity.role not in roles:
                raise Denied(
                    403, f"The role {identity.role} may not do this", fix=f"ask somebody who is {' or '.join(roles)}"
                )
            if identity.kind == "token" and not machines:
                raise Denied(403, "This is not for a machine's token", fix="sign in with a browser")
            return method(*args, **kwargs)

        guarded.roles = roles  # type: ignore[attr-defined]  # for the test that no resource is without a guard
        return guarded

    return guard


def open_to_all(method: Callable[P, R]) -> Callable[P, R]:
    """Mark a resource's method as one that answers without sign-in."""
    method.roles = None  # type: ignore[attr-defined]
    return method


def address() -> str:
    """Return the address that a request came from; empty over a socket, or where a proxy says nonsense."""
    try:
        return str(ip_address(request.remote_addr or ""))
    except ValueError:
        return ""


def network() -> str:
    """Return what one machine can choose its address from: with IPv6, that is 64 bits of it."""
    text = address()
    if text and isinstance(ip_address(text), IPv6Address):
        return str(ip_network((text, 64), strict=False))
    return text


def tell_counted(app: Flask, *, at_once: bool = True) -> None:
    """Note how many denials had no event of their own, as when the process ends."""
    denials: Denials = app.extensions["gliofed-denials"]
    counted = denials.take_counted(at_once=at_once)
    if not counted:
        return
    try:
        with transaction(app.extensions["gliofed-engine"]) as session:
            note(session, SERVICE, "access.denied-often", count=counted)
    except FLError:
        denials.put_back(counted)


def _tell_counted() -> None:
    tell_counted(current_app, at_once=False)


def _identify() -> None:
    g.identity = None
    header = request.headers.get("Authorization", "")
    secret, kind = (header[7:], "token") if header.startswith("Bearer ") else (request.cookies.get(COOKIE), "session")
    if secret:
        g.identity = find(looking(), secret, kind, settings().sign_in.idle_minutes * 60)
    _check_origin()
    identity: Identity | None = g.identity
    if identity is not None and identity.seen_at < after(-SEEN_EVERY_S):
        looking().rollback()
        with unlogged(writing_engine()) as session:
            touch(session, identity)


def _check_origin() -> None:
    """Check that no other site's page makes a browser change something here, signing in included.

    A browser says where a page comes from, and pages cannot lie about it; other programs need not say.
    """
    origin = request.headers.get("Origin")
    if origin is None or request.method in _READS:
        return
    if origin not in (f"https://{request.host}", *settings().server.origins):
        raise Denied(403, "The request comes from another site's page", fix="use this server's own pages", why="origin")


def _check_page(identity: Identity) -> None:
    """Check that a change comes from a page that has read what only ours can read."""
    if identity.kind != "session" or request.method in _READS:
        return
    given = request.headers.get("X-CSRF-Token", "")
    if not hmac.compare_digest(given.encode(), csrf_token(vault(), identity).encode()):
        raise Denied(403, "The request does not come from this page", fix="load the page again", why="page")


def _note_denial(error: Denied) -> Response:
    """Keep a denial in the log before it is answered."""
    try:
        _note(error.action, error.status, error.user, error.why)
    except FLError as unusable:  # nothing is answered that could not be noted
        return answer_to(unusable)
    return answer_to(error)


def _note_limit(error: RateLimitExceeded) -> Response:
    try:
        _note("access.denied", 429, "", "rate")
    except FLError as unusable:
        return answer_to(unusable)
    return http_error(error)


def _note(action: str, status: int, user: str, why: str) -> None:
    identity: Identity | None = g.get("identity")
    denials: Denials = current_app.extensions["gliofed-denials"]
    key = f"user {identity.user}" if identity else f"address {network()}"
    if not denials.has_room(key, known=identity is not None):
        return
    who_it_is = identity.user if identity else user or ANYBODY
    route = f"{request.method} {request.url_rule or ''}"
    told = {"why": why} if why else {}
    with writing() as session:
        note(session, who_it_is, action, NOTHING, route=route, status=status, address=address(), **told)
