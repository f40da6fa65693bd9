"""Who may call the site API and who is refused, over a real Nginx with mutual TLS."""

import asyncio
import stat
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from core.clock import now
from fl_server.site_api import make_app
from fl_server.site_routes import MAX_BODY_BYTES, site_routes
from fl_server.sites import resume, revoke, suspend
from tests.fl_server.factories_coordinator import (
    Coordinator,
    client,
    coordinator,
    edge,
)
from tests.fl_server.factories_sites import reasons, refused, site

STATUS = {"state": "idle", "progressed_at": now(), "receipt": "1" * 64}


@pytest.fixture(scope="module")
def of() -> Iterator[Coordinator]:
    with coordinator() as made, edge(made):
        yield made


def test_without_a_certificate_every_call_is_refused_by_name(of: Coordinator) -> None:
    routes = [route for route in site_routes(of.home, list, list) if not route.path.endswith("/enroll")]
    assert len(routes) == 12
    with client(of) as stranger:
        for route in routes:
            path = route.path.replace("{study}", "any").replace("{version}", "any").replace("{file}", "card.json")
            for method in sorted((route.methods or set()) - {"HEAD"}):
                assert refused(stranger.request(method, path)).problem == "No client certificate was shown", path
                assert "No client certificate was shown" in reasons(of, f"{method} {path}")


def test_a_suspension_holds_on_an_open_connection_and_ends_with_it(of: Coordinator) -> None:
    with site(of, "suspended") as north:
        assert north.get("/v1/site/protocol").status_code == 200
        suspend(of.records, "suspended")
        assert refused(north.get("/v1/site/protocol")).problem == "The site suspended is suspended"
        assert refused(north.post("/v1/fleet/pull-messages")).problem == "The site suspended is suspended"
        resume(of.records, "suspended")
        assert north.get("/v1/site/protocol").status_code == 200
    assert reasons(of, "POST /v1/fleet/pull-messages") == ["The site suspended is suspended"]


def test_a_revocation_holds_on_an_open_connection(of: Coordinator) -> None:
    with site(of, "revoked") as north:
        assert north.get("/v1/site/protocol").status_code == 200
        revoke(of.records, "revoked", of.federation.unregister)
        for call in (lambda: north.get("/v1/site/protocol"), lambda: north.post("/v1/fleet/push-object", content=b"x")):
            assert refused(call()).problem == "The site revoked was revoked"


def test_a_body_that_is_too_large_or_no_json_object_is_refused(of: Coordinator) -> None:
    with site(of, "bodies") as north:
        assert "too large" in refused(north.post("/v1/site/status", content=b"x" * (MAX_BODY_BYTES + 1))).problem
        chunks = (b"x" * 1000 for _ in range(100))  # without a length, which Nginx could have refused
        assert "too large" in refused(north.post("/v1/site/status", content=chunks)).problem
        for body in (b"", b"[]", b"{", b"\xff", b'"x"'):
            assert "JSON" in refused(north.post("/v1/site/status", content=body), 400).problem


def test_an_unknown_call_is_refused_and_written_down(of: Coordinator) -> None:
    with site(of, "curious") as north:
        for method, path in (("GET", "/v1/site/nothing"), ("GET", "/v1/site/status"), ("PUT", "/v1/site/leave")):
            assert refused(north.request(method, path)).problem == "There is no such call"
            assert reasons(of, f"{method} {path}") == ["There is no such call"]


def test_only_this_account_can_reach_the_socket(of: Coordinator) -> None:
    assert stat.S_IMODE((of.home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((of.home / "run" / "site-api.sock").stat().st_mode) == 0o600


def test_a_mistake_of_ours_is_told_without_its_traceback(of: Coordinator) -> None:
    app = make_app(of.federation, [])
    app.state.federation = replace(of.federation, records=None)  # type: ignore[arg-type]
    headers = {"X-Client-Verify": "SUCCESS", "X-Client-Serial": "1"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def calls() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="http://edge", headers=headers) as direct:
            return [await direct.get(path) for path in ("/check", "/v1/site/protocol", "/refused/refused")]

    for answer in asyncio.run(calls()):
        refusal = refused(answer, 500)
        assert refusal.problem == "The coordinator made a mistake"
        assert "NoneType" not in answer.text
