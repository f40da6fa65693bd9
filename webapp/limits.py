"""How often anybody may ask: counted in this process; each of several servers on one folder counts for itself."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flask import Flask, g
from flask_limiter import Limiter

from webapp.guards import network, settings

P = ParamSpec("P")
R = TypeVar("R")


def _who_asks() -> str:
    identity = g.get("identity")
    return f"user {identity.user}" if identity else f"address {network()}"


limiter = Limiter(
    key_func=_who_asks,
    default_limits=[lambda: f"{settings().server.requests_a_minute}/minute"],
    storage_uri="memory://",
    strategy="fixed-window",
    headers_enabled=False,
)


def sign_in_limit(method: Callable[P, R]) -> Callable[P, R]:
    """Bound how often one address may try to sign in."""
    limited: Callable[P, R] = limiter.limit(lambda: f"{settings().sign_in.attempts_a_minute}/minute", key_func=network)(
        method
    )
    return limited


def limit(app: Flask) -> None:
    """Bound how often an application is asked."""
    limiter.init_app(app)
