"""The coordinator's own calls for sites, behind the edge, on a Unix socket that only the edge can open.

What the edge says of the caller is believed: it overwrites these headers, and nobody else reaches the socket.
X-Client-Verify, X-Client-Serial     its TLS certificate, see fl_server.access.Caller
X-Original-Method, X-Original-URI    what it called
X-Real-IP                            from where

Beside `/v1/site/` it answers the edge: `GET /check`, whether a caller may go on to Flower's fleet API, and
`GET /refused/<why>` for everything that the edge turns away, so that each refusal has its reason, in the answer and in
the audit log.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import AccessError, FLError
from core.files import private_folder
from core.site_protocol import Refusal, json_of
from fl_server.access import Caller, Refusals, check_access
from fl_server.enrollment import Federation
from fl_server.uploads import ACTIVATES, BEGINS, ENDS, Uploads

LONGEST_PATH = 200
UNKNOWN_CALL = AccessError("There is no such call", fix="call what core/site_protocol.py names, with its method")
# Why the edge turned a caller away before anybody looked at its certificate.
EDGE_REFUSALS = {
    "plain": AccessError("The call came without TLS", fix="use https"),
    "malformed": AccessError("The call is no proper HTTP", fix="use fl-client"),
    "large": AccessError("The call's body is too large", fix="send less: an update's objects have at most 6 MB"),
}


@dataclass(frozen=True)
class Site:
    """Who called, once it is known to be an enrolled site."""

    name: str
    serial: str


def caller_of(request: Request) -> Caller:
    """Return who called what, as the edge saw it."""
    headers = request.headers
    path = headers.get("x-original-uri", request.url.path).partition("?")[0]
    return Caller(
        source=headers.get("x-real-ip", ""),
        verify=headers.get("x-client-verify", "NONE"),
        serial=headers.get("x-client-serial", "")[:64],
        method=headers.get("x-original-method", request.method)[:20],
        path=path.encode("ascii", "backslashreplace").decode("ascii")[:LONGEST_PATH],
    )


async def site_of(request: Request) -> Site:
    """Return which site calls.

    Raises: AccessError: none that may.
    """
    caller, federation = caller_of(request), federation_of(request)
    return Site(await run_in_threadpool(check_access, federation.records, caller), caller.serial)


def federation_of(request: Request) -> Federation:
    """Return what the application was made with."""
    federation: Federation = request.app.state.federation
    return federation


def make_app(federation: Federation, routes: list[Route]) -> Starlette:
    """Return the application.

    Args:
        federation: whom it lets in.
        routes: fl_server.site_routes.site_routes's.
    """
    app = Starlette(
        routes=[
            Route("/check", _check, methods=["GET"]),
            Route("/refused/{why}", _refused, methods=["GET"]),
            *routes,
        ],
        exception_handlers={FLError: _on_expected, HTTPException: _on_unknown_call, Exception: _on_bug},
    )
    app.router.redirect_slashes = False
    app.state.federation = federation
    app.state.refusals = Refusals(federation.records)
    app.state.uploads = Uploads(federation.records)
    return app


def serve(app: Starlette, path: Path) -> None:
    """Answer on a Unix socket, which only this account may open, until the process is told to stop.

    Args:
        app: what `make_app` returns.
        path: the socket's; at most 107 bytes long.
    """
    private_folder(path.parent)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_keep_alive=75,  # longer than Nginx keeps an idle connection: only one side may close it
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(settings).run(sockets=[listener])


async def _check(request: Request) -> Response:
    """Say whether a caller is an enrolled site, and note what its call tells of an upload."""
    site = await site_of(request)
    uploads: Uploads = request.app.state.uploads
    path = caller_of(request).path
    if path.endswith((BEGINS, ENDS, ACTIVATES)):
        await run_in_threadpool(uploads.saw, site.name, path)
    return Response(status_code=204, headers={"X-Site": site.name})


async def _refused(request: Request) -> Response:
    """Tell a caller why the edge turned it away."""
    early = EDGE_REFUSALS.get(request.path_params["why"])
    if early is not None:
        return await _refusal(request, early, 403)
    await site_of(request)  # raises where the certificate is the reason
    return await _refusal(request, UNKNOWN_CALL, 403)


async def _refusal(request: Request, error: FLError, status: int) -> Response:
    refusals: Refusals = request.app.state.refusals
    await run_in_threadpool(refusals.note, caller_of(request), error.problem)
    return _answer(error, status)


async def _on_expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, FLError)  # noqa: S101 (registered for these)
    if not isinstance(error, AccessError):
        return _answer(error, error.http_status)
    if request.url.path == "/check":
        # The edge answers the caller by way of /refused, which writes it down.
        return Response(status_code=403, headers={"X-Refusal": error.problem})
    return await _refusal(request, error, error.http_status)


async def _on_unknown_call(request: Request, _error: Exception) -> Response:
    """Refuse an unknown path or method: to a stranger for being one, to a site for what it asked."""
    try:
        await site_of(request)
    except AccessError as error:
        return await _refusal(request, error, error.http_status)
    return await _refusal(request, UNKNOWN_CALL, 403)


async def _on_bug(_request: Request, _error: Exception) -> Response:
    """Hide what went wrong from the caller; the server's log has the traceback."""
    refusal = Refusal(problem="The coordinator made a mistake", fix="try again, and tell the coordinator if it stays")
    return JSONResponse(json_of(refusal), status_code=500)


def _answer(error: FLError, status: int) -> Response:
    return JSONResponse(json_of(Refusal(problem=error.problem, fix=error.fix)), status_code=status)
