"""Every call of core/site_protocol.py: read what was sent, do it in the records, answer."""

import os
import re
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.clock import now
from core.config import Section, validate
from core.errors import AccessError, ConfigError, RegistryError
from core.records.home import public_folder
from core.site_protocol import (
    MAX_TRANSFER_BYTES,
    PREFIX,
    SITE_PROTOCOL,
    Answer,
    Enrollment,
    Models,
    ProtocolInfo,
    Renewal,
    Status,
    Transferred,
    json_of,
)
from fl_server.enrollment import check_protocol, enroll, renew
from fl_server.offers import answer_offer, bundle_for, file_of, frozen_for, offers_of, published
from fl_server.presence import orders_for, report
from fl_server.site_api import federation_of, site_of
from fl_server.sites import leave, seen

MAX_BODY_BYTES = 64 * 1024
_BLOCK = os.urandom(64 * 1024)  # not zeros, which something on the way might compress

BodyT = TypeVar("BodyT", bound=Section)


def site_routes(registry: Path, approved: Callable[[], list[str]], retired: Callable[[], list[str]]) -> list[Route]:
    """Return the calls of `/v1/site/`.

    Args:
        registry: the folder of model versions.
        approved: returns the names of the versions that a site may have, oldest first.
        retired: returns the names of those that it should use no more.
    """

    async def models(request: Request) -> Response:
        await site_of(request)
        versions = await run_in_threadpool(lambda: published(registry, approved()))
        return _json(Models(versions=versions, retired=await run_in_threadpool(retired)))

    async def model_file(request: Request) -> Response:
        await site_of(request)
        name, file = request.path_params["version"], request.path_params["file"]
        may_have = await run_in_threadpool(lambda: approved() + (retired() if file == "approval.json" else []))
        if name not in may_have:
            raise RegistryError("There is no approved model version of this name", fix="see `fl-client models`")
        return FileResponse(file_of(registry, name, file), media_type="application/octet-stream")

    calls: list[tuple[str, str, Callable[[Request], object]]] = [
        ("POST", "/enroll", _enroll),
        ("POST", "/renew", _renew),
        ("GET", "/protocol", _protocol),
        ("GET", "/offers", _offers),
        ("GET", "/offers/{study}/bundle", _bundle),
        ("GET", "/offers/{study}/frozen", _frozen),
        ("POST", "/offers/{study}", _answer),
        ("POST", "/status", _status),
        ("POST", "/leave", _leave),
        ("GET", "/models", models),
        ("GET", "/models/{version}/{file}", model_file),
        ("POST", "/transfer", _receive),
        ("GET", "/transfer", _send),
    ]
    return [Route(PREFIX + path, call, methods=[method]) for method, path, call in calls]


async def _enroll(request: Request) -> Response:
    sent = await _sent(request)
    check_protocol(sent.get("protocol"))  # before what another protocol may call otherwise
    enrollment = validate(Enrollment, sent, "the call")
    return _json(await run_in_threadpool(enroll, federation_of(request), enrollment))


async def _renew(request: Request) -> Response:
    site = await site_of(request)
    renewal = await _body(request, Renewal)
    return _json(await run_in_threadpool(renew, federation_of(request), site.name, renewal.certificate_request))


async def _protocol(request: Request) -> Response:
    site = await site_of(request)
    await run_in_threadpool(seen, federation_of(request).records, site.name)
    return _json(ProtocolInfo(protocol=SITE_PROTOCOL, release=version("gliofed"), time=now(), site=site.name))


async def _offers(request: Request) -> Response:
    site = await site_of(request)
    return _json(await run_in_threadpool(offers_of, federation_of(request).records, site.name))


async def _bundle(request: Request) -> Response:
    site, study = await site_of(request), request.path_params["study"]
    bundle = await run_in_threadpool(bundle_for, federation_of(request).records, site.name, study)
    return Response(bundle, media_type="application/octet-stream")


async def _frozen(request: Request) -> Response:
    site, study = await site_of(request), request.path_params["study"]
    weights = await run_in_threadpool(frozen_for, federation_of(request).records, site.name, study, public_folder())
    return Response(weights, media_type="application/octet-stream")


async def _answer(request: Request) -> Response:
    site, study = await site_of(request), request.path_params["study"]
    answer = await _body(request, Answer)
    await run_in_threadpool(answer_offer, federation_of(request).records, site.name, study, answer)
    return JSONResponse({})


async def _status(request: Request) -> Response:
    site, records = await site_of(request), federation_of(request).records
    status = await _body(request, Status)
    seen = await run_in_threadpool(report, records, site.name, status)
    return _json(await run_in_threadpool(orders_for, records, site.name, status, seen))


async def _leave(request: Request) -> Response:
    site, federation = await site_of(request), federation_of(request)
    await run_in_threadpool(leave, federation.records, site.name, federation.unregister)
    return JSONResponse({})


async def _receive(request: Request) -> Response:
    await site_of(request)
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > MAX_TRANSFER_BYTES:
            raise _too_large()
    return _json(Transferred(bytes=count))


async def _send(request: Request) -> Response:
    await site_of(request)
    wanted = request.query_params.get("bytes", "")
    if not re.fullmatch(r"[0-9]{1,9}", wanted) or int(wanted) > MAX_TRANSFER_BYTES:
        raise ConfigError("This many bytes cannot be sent", fix=f"ask for 0 to {MAX_TRANSFER_BYTES}")
    length = {"Content-Length": str(int(wanted))}
    return StreamingResponse(_blocks(int(wanted)), media_type="application/octet-stream", headers=length)


async def _blocks(left: int) -> AsyncIterator[bytes]:
    while left > 0:
        yield _BLOCK[:left]
        left -= len(_BLOCK)


async def _body(request: Request, model: type[BodyT]) -> BodyT:
    """Read what a call sent, as `_sent` and core.config.validate do."""
    return validate(model, await _sent(request), "the call")


async def _sent(request: Request) -> dict[str, object]:
    """Read a call's JSON body.

    Raises:
        AccessError: it is too large.
        ConfigError: it is no JSON object.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise _too_large()
    try:
        sent = from_json(bytes(content))
    except ValueError:
        raise ConfigError("The call's body is not JSON", fix="install the coordinator's release") from None
    if not isinstance(sent, dict):
        raise ConfigError("The call's body is no JSON object", fix="install the coordinator's release")
    return sent


def _too_large() -> AccessError:
    return AccessError("The call's body is too large", fix="send less; see core/site_protocol.py for what is agreed")


def _json(message: Section) -> Response:
    return JSONResponse(json_of(message))
