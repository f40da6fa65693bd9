"""Every address for everybody who may ask: all roles, a machine, and those who are nobody, or nobody any more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from core.clock import after
from core.records.db import reading, transaction, unlogged
from core.records.web_tables import Credential
from tests.webapp.factories import Browser, Server, a_config, a_server
from webapp import log
from webapp.credentials import open_credential
from webapp.guards import COOKIE

CLINICIAN, AUDITOR, COORDINATOR, ADMINISTRATOR = "clinician", "auditor", "coordinator", "administrator"
EVERYBODY = {CLINICIAN, AUDITOR, COORDINATOR, ADMINISTRATOR}
NAMES = {CLINICIAN: "anna", AUDITOR: "otto", COORDINATOR: "coco", ADMINISTRATOR: "ada"}
OPEN: set[str] = set()

# Who may use what. Written by hand, and compared with what the application has: a new address must be added here.
MAY = {
    "GET /": OPEN,
    "GET /app/": OPEN,
    "GET /app/<path:path>": OPEN,
    "GET /openapi.json": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": {ADMINISTRATOR},
    "POST /session": OPEN,
    "GET /session": EVERYBODY,
    "DELETE /session": EVERYBODY,
    "GET /session/ways": OPEN,
    "PUT /session/password": EVERYBODY,
    "GET /session/openid": OPEN,
    "GET /session/openid/callback": OPEN,
    "GET /tokens": EVERYBODY,
    "POST /tokens": EVERYBODY,
    "DELETE /tokens/<string:identifier>": EVERYBODY,
    "GET /predict": {CLINICIAN},
    "POST /predict": {CLINICIAN},
    "GET /predict/<string:identifier>": {CLINICIAN},
    "PATCH /predict/<string:identifier>": {CLINICIAN},
    "DELETE /predict/<string:identifier>": {CLINICIAN},
    "POST /predict/<string:identifier>/start": {CLINICIAN},
    "GET /predict/<string:identifier>/thumbnails/<string:series>": {CLINICIAN},
    "GET /predict/<string:identifier>/files/<string:name>": {CLINICIAN},
    "POST /log": {CLINICIAN},
    "GET /log": {AUDITOR},
    "GET /log/export": {AUDITOR},
    "POST /log/verify": {AUDITOR},
    "POST /patients/find": {CLINICIAN},
    "POST /patients/export": {ADMINISTRATOR},
    "POST /patients/erase": {ADMINISTRATOR},
    "GET /users": {ADMINISTRATOR},
    "POST /users": {ADMINISTRATOR},
    "PATCH /users/<string:name>": {ADMINISTRATOR},
    "GET /users/<string:name>/tokens": {ADMINISTRATOR},
    "DELETE /users/<string:name>/tokens": {ADMINISTRATOR},
    "DELETE /users/<string:name>/tokens/<string:identifier>": {ADMINISTRATOR},
    "GET /versions": EVERYBODY,
    "GET /versions/<string:name>": EVERYBODY,
    "POST /versions/<string:name>/wish": {COORDINATOR},
    "GET /federation": {COORDINATOR},
    "GET /federation/runs/<string:name>": {COORDINATOR},
    "POST /federation/runs/<string:name>/wish": {COORDINATOR},
    "GET /server": {ADMINISTRATOR},
}
# What a person must do at a browser, whatever role a token has.
NOT_FOR_MACHINES = {
    *(route for route in MAY if "/users" in route),
    "PUT /session/password",
    "POST /tokens",
    "POST /patients/export",
    "POST /patients/erase",
    "POST /versions/<string:name>/wish",
    "POST /federation/runs/<string:name>/wish",
    "GET /server",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("roles")
    return a_server(a_config(folder, home=folder / "none"))


@pytest.fixture(scope="module")
def browsers(server: Server) -> dict[str, Browser]:
    return {role: server.browser(name) for role, name in NAMES.items()}


def ask(browser: Browser, route: str, **headers: str) -> int:
    """Ask for a route, with made-up values where it has any, and return the status."""
    method, _, rule = route.partition(" ")
    path = re.sub(r"<[^>]+>", "0" * 32, rule)
    with browser._open(path, method, headers=headers) as answer:  # a page is an open file
        return answer.status_code


def a_secret(server: Server, name: str, kind: str) -> str:
    with transaction(server.engine) as session:
        return open_credential(session, name, kind, "", 3600)[0]


def denied(server: Server) -> int:
    with reading(server.engine) as session:
        return len(log.page(session, server.vault, {"action": "access.denied"}, 500)[0])


def test_every_route_is_in_the_table_and_has_a_guard(server: Server) -> None:
    found = set()
    for rule in server.app.url_map.iter_rules():
        view = server.app.view_functions[rule.endpoint]
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            found.add(f"{method} {rule.rule}")
            resource = getattr(view, "view_class", None)
            if rule.endpoint != "api-docs.openapi_json" and resource is not None:
                assert hasattr(getattr(resource, method.lower()), "roles"), f"{method} {rule.rule} has no guard"
    assert found == set(MAY)


@pytest.mark.parametrize("route", sorted(MAY))
def test_a_route_lets_in_whom_it_may_and_nobody_else(server: Server, browsers: dict[str, Browser], route: str) -> None:
    server.app.extensions["gliofed-denials"].__init__()  # as in another minute
    nobody = ask(server.browser(), route)
    if MAY[route] is OPEN:
        assert nobody not in (401, 403) or route in ("GET /session/openid/callback",)
        return
    assert nobody == 401
    for role, browser in browsers.items():
        if route == "DELETE /session":  # would end it
            browser = Browser(server.app.test_client())
            browser.client.set_cookie(COOKIE, a_secret(server, NAMES[role], "session"), domain="localhost", secure=True)
            secret = browser.get("/session").json["csrf"]  # type: ignore[index]
            browser.headers["X-CSRF-Token"] = secret
        before = denied(server)
        status = ask(browser, route)
        if role in MAY[route]:
            assert status not in (401, 403, 500), role
        else:
            assert status == 403, role
            assert denied(server) == before + 1


@pytest.mark.parametrize("route", sorted(route for route in MAY if MAY[route] is not OPEN))
def test_a_session_that_has_ended_and_a_token_that_was_revoked_are_nobody(server: Server, route: str) -> None:
    role = min(MAY[route])
    for kind, change in (
        ("session", {"expires_at": after(-1)}),
        ("session", {"seen_at": after(-31 * 60)}),
        ("session", {"revoked_at": after(0)}),
        ("token", {"expires_at": after(-1)}),
        ("token", {"revoked_at": after(0)}),
    ):
        secret = a_secret(server, NAMES[role], kind)
        browser = Browser(server.app.test_client())
        if kind == "session":
            browser.client.set_cookie(COOKIE, secret, domain="localhost", secure=True)
            browser.headers["X-CSRF-Token"] = browser.get("/session").json["csrf"]  # type: ignore[index]
        else:
            browser.headers["Authorization"] = f"Bearer {secret}"
            assert browser.get("/session").status_code == 200
        with unlogged(server.engine) as session:
            newest = Credential.created_at.desc()
            row = session.query(Credential).filter_by(kind=kind).order_by(newest).first()
            assert row is not None
            session.execute(update(Credential).where(Credential.id == row.id).values(**change))
        assert ask(browser, route) == 401, (kind, change)


@pytest.mark.parametrize("route", sorted(route for route in MAY if MAY[route] is not OPEN))
def test_a_token_does_what_machines_do_and_no_more(server: Server, route: str) -> None:
    server.app.extensions["gliofed-denials"].__init__()
    for role in EVERYBODY:
        status = ask(server.browser(), route, Authorization=f"Bearer {a_secret(server, NAMES[role], 'token')}")
        if role not in MAY[route] or route in NOT_FOR_MACHINES:
            assert status == 403, role
        else:
            assert status not in (401, 403, 500), role


@pytest.mark.parametrize("route", sorted(r for r in MAY if MAY[r] is not OPEN and not r.startswith("GET")))
def test_a_change_needs_the_token_that_only_our_page_can_read(
    server: Server, browsers: dict[str, Browser], route: str
) -> None:
    server.app.extensions["gliofed-denials"].__init__()
    before = denied(server)
    for role in MAY[route]:
        assert ask(browsers[role], route, **{"X-CSRF-Token": ""}) == 403
        assert ask(browsers[role], route, **{"X-CSRF-Token": "é" * 64}) == 403
    assert denied(server) == before + 2 * len(MAY[route])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost", "https://localhost:444", ""])
@pytest.mark.parametrize("route", sorted(r for r in MAY if not r.startswith("GET")))
def test_no_change_comes_from_another_sites_page_not_even_a_sign_in(
    server: Server, browsers: dict[str, Browser], route: str, origin: str
) -> None:
    for browser in (server.browser(), *browsers.values()):
        assert ask(browser, route, Origin=origin) == 403
    assert ask(server.browser(), "POST /session", Origin="https://localhost") == 422


def test_another_sites_page_reads_nothing_unless_it_is_listed(tmp_path: Path) -> None:
    listed = "https://portal.example.org"
    config = a_config(tmp_path, home=tmp_path / "none", server={"origins": [listed]})
    browser = a_server(config, {}).browser()
    allowed = "Access-Control-Allow-Origin"
    assert browser.get("/session", headers={"Origin": listed}).headers[allowed] == listed
    for other in ("https://evil.example", "https://portalXexample.org", "https://portal.example.org.evil", "null"):
        assert allowed not in browser.get("/session", headers={"Origin": other}).headers
    assert browser.post("/session", headers={"Origin": listed}, json={}).status_code == 422


@pytest.mark.parametrize(
    "origin", ["*", "https://*.example", "http://a.example", "https://a.example/", "https://a@b.example", "null"]
)
def test_an_origin_of_the_settings_is_exact(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValueError, match="an origin is"):
        a_config(tmp_path, home=tmp_path / "none", server={"origins": [origin]})


def test_the_process_that_serves_never_loads_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from webapp.app import create_app; from webapp.config import WebConfig;"
        f"app = create_app(WebConfig(data=Path({str(tmp_path)!r})));"
        "client = app.test_client(); client.get('/readyz', base_url='https://localhost');"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'monai', 'flwr', 'opacus'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
