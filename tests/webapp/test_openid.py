"""The hospital's own sign-on, against a provider that runs as a process of its own."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from core.clock import after
from core.records import audit
from core.records.db import reading, unlogged
from core.records.web_tables import User
from tests.factories_ports import free_port
from tests.webapp.factories import PASSWORD, Browser, Server, a_config, a_server, code
from tests.webapp.factories_provider import ROLES, a_provider, openid_settings, vouch
from webapp import openid
from webapp.errors import Denied
from webapp.guards import COOKIE
from webapp.openid import Flow

FLOW_COOKIE = "__Host-gliofed-sign-on"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with a_provider(free_port()) as issuer:
        yield issuer


def a_hospital(folder: Path, database: str, issuer: str, **more: object) -> Server:
    given = a_config(folder, database, folder / "none", openid=openid_settings(issuer, **more))
    return a_server(given, {"anna": "clinician"})


@pytest.fixture
def server(tmp_path: Path, issuer: str) -> Server:
    return a_hospital(tmp_path, "", issuer)


@pytest.fixture
def either_server(database: str, tmp_path: Path, issuer: str) -> Server:
    """On SQLite and on MariaDB, for what the database has a say in."""
    return a_hospital(tmp_path, database, issuer)


@dataclass
class Way:
    """A sign-in that has come back from the provider, and was not brought to us yet.

    Attributes:
        asked: what we asked the provider.
        back: the address that it leads the browser to.
    """

    asked: dict[str, str]
    back: str


def go(browser: Browser, subject: str = "7f3a", **claims: object) -> Way:
    """Go to the provider, and sign in there as somebody of whom it says all this."""
    away = browser.get("/session/openid")
    assert away.status_code == 302
    where = away.headers["Location"]
    provider = "{0.scheme}://{0.netloc}".format(urlsplit(where))
    vouch(provider, subject, **{"name": "Bert.Vogel", "groups": ["all", "mri-readers"], **claims})
    back = httpx.post(where, data={"sub": subject}).headers["Location"]
    return Way({name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}, back)


def come_back(browser: Browser, way: Way, **changed: str) -> TestResponse:
    """Bring a browser back from the provider, perhaps with something changed on the way."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(way.back).query).items()}
    query = {name: value for name, value in {**query, **changed}.items() if value}
    where = "/session/openid/callback"
    return browser.client.get(where, base_url="https://localhost", query_string=query, headers=browser.headers)


def sign_on(server: Server, subject: str = "7f3a", **claims: object) -> tuple[Browser, TestResponse]:
    browser = server.browser()
    return browser, come_back(browser, go(browser, subject, **claims))


def events(server: Server, action: str) -> list[dict[str, object]]:
    with reading(server.engine) as session:
        return [{"user": one.actor[5:], **json.loads(one.body)} for one in audit.events(session, action=action)]


def why(server: Server) -> list[object]:
    return [one["why"] for one in events(server, "sign-in.failed")]


def user(server: Server, name: str) -> User | None:
    with reading(server.engine) as session:
        return session.get(User, name)


def test_whoever_the_hospital_vouches_for_is_signed_in_with_the_role_of_their_groups(either_server: Server) -> None:
    server = either_server
    assert server.browser().get("/session/ways").json == {"openid": True, "signed_in": False}
    browser, answer = sign_on(server)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/app/")
    told = browser.get("/session").json
    assert told is not None
    assert (told["user"], told["role"]) == ("bert.vogel", "clinician")
    row = user(server, "bert.vogel")
    assert row is not None
    assert (row.password_hash, row.totp_sealed) == (None, None)
    assert row.subject is not None
    assert "7f3a" not in row.subject
    created = {"user": "bert.vogel", "who": "bert.vogel", "role": "clinician", "by": "sign-on"}
    assert created in events(server, "user.created")
    assert events(server, "signed.in") == [{"user": "bert.vogel", "by": "sign-on", "address": "127.0.0.1"}]


def test_the_way_there_holds_what_the_protocol_needs_and_the_cookie_is_short_lived_and_sealed(server: Server) -> None:
    browser = server.browser()
    answer = browser.get("/session/openid")
    name, *parts = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"{FLOW_COOKIE}=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} == {p for p in parts if "Expires" not in p}
    asked = {n: v[0] for n, v in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    secret = {asked.pop("state"), asked.pop("nonce"), asked.pop("code_challenge")}
    assert all(re.fullmatch(r"[\w-]{43}", text) for text in secret)
    assert asked == {
        "response_type": "code",
        "client_id": "gliofed",
        "redirect_uri": "https://localhost/session/openid/callback",
        "scope": "openid profile",
        "code_challenge_method": "S256",
    }
    again = browser.get("/session/openid").headers["Location"]
    assert not any(text in again for text in secret)


def test_the_code_is_redeemed_with_a_secret_of_which_only_the_hash_went_by_the_browser(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []
    real = openid.Provider._ask

    def ask(self: openid.Provider, method: str, url: str, **more: Any) -> httpx.Response:
        sent.extend([more["data"]] if "data" in more else [])
        return real(self, method, url, **more)

    monkeypatch.setattr(openid.Provider, "_ask", ask)
    browser = server.browser()
    way = go(browser)
    assert come_back(browser, way).status_code == 302
    digest = hashlib.sha256(sent[0]["code_verifier"].encode()).digest()
    assert way.asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_token_that_the_providers_private_key_did_not_sign_is_nobodys_word(server: Server, issuer: str) -> None:
    public = httpx.get(f"{issuer}/jwks").json()["keys"][0]
    says = {"iss": issuer, "aud": "gliofed", "sub": "7f3a", "nonce": "n", "iat": int(time.time())}
    says |= {"exp": int(time.time()) + 600, "preferred_username": "bert", "groups": ["it"]}

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    pem = RSAKey.import_key(public).as_pem(private=False)
    forged = [f"{part({'alg': 'none'})}.{part(says)}.", f"{part({'alg': 'RS256'})}.{part(says)}.", "no token", ""]
    for key in (pem, json.dumps(public).encode()):  # what is public, taken for a shared secret
        unsigned = f"{part({'alg': 'HS256'})}.{part(says)}"
        mac = hmac.new(key, unsigned.encode(), hashlib.sha256).digest()
        forged.append(f"{unsigned}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")
    forged.append(jwt.encode({"alg": "RS256"}, says, RSAKey.generate_key(2048, private=True)))
    with server.app.app_context():
        for text in forged:
            with pytest.raises(Denied):
                openid.provider()._checked({"id_token": text}, "n")


def test_the_session_cookie_is_strict_although_the_way_back_comes_from_another_site(server: Server) -> None:
    _, answer = sign_on(server)
    session, flow = answer.headers.getlist("Set-Cookie")
    assert session.startswith(f"{COOKIE}=")
    assert "SameSite=Strict" in session
    assert flow.startswith(f"{FLOW_COOKIE}=;")
    assert "Max-Age=0" in flow


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "another"}, "state"),
        ({"state": ""}, "state"),
        ({"state": "é"}, "state"),
        ({"code": "forged"}, "code"),
        ({"code": "", "error": "access_denied"}, "refused there"),
        ({"iss": "https://evil.example"}, "issuer"),
    ],
)
def test_an_answer_that_was_changed_on_the_way_signs_nobody_in(
    server: Server, changed: dict[str, str], reason: str
) -> None:
    browser = server.browser()
    answer = come_back(browser, go(browser), **changed)
    assert answer.status_code == 401
    assert set(answer.json) == {"problem", "fix"}  # type: ignore[arg-type]
    assert why(server) == [reason]
    assert browser.get("/session").status_code == 401


def test_an_answer_is_for_the_browser_that_asked_and_works_once(server: Server) -> None:
    victim, attacker = server.browser(), server.browser()
    way = go(attacker)
    assert come_back(victim, way).status_code == 401  # has asked nothing
    go(victim)
    assert come_back(victim, way).status_code == 401  # has asked something else
    kept = attacker.client.get_cookie(FLOW_COOKIE, "localhost")
    assert kept is not None
    assert come_back(attacker, way).status_code == 302
    assert come_back(attacker, way).status_code == 401  # the cookie is gone
    attacker.client.set_cookie(FLOW_COOKIE, kept.value, domain="localhost", secure=True)
    assert come_back(attacker, way).status_code == 401  # the provider redeems no code twice
    assert why(server) == ["flow", "state", "flow", "code"]


def test_a_page_is_led_back_to_the_pages_with_why_it_failed_which_are_told_nothing_else(server: Server) -> None:
    browser = server.browser()
    browser.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for claims, status in (({"nonce": "another"}, 401), ({"groups": []}, 403), ({"name": "anna"}, 409)):
        answer = come_back(browser, go(browser, **claims))
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/app/?sign-on={status}")
    assert why(server) == ["token: nonce", "group", "name"]
    assert browser.get("/session").status_code == 401  # anywhere else, a failure stays one


def test_a_flow_that_took_too_long_or_was_made_by_somebody_else_is_refused(server: Server) -> None:
    browser = server.browser()
    way = go(browser)
    old = Flow(way.asked["state"], way.asked["nonce"], "verifier", after(-1)).sealed(server.vault)
    for text in (old, "", "AAAA", "é", "!", old[:-8] + "AAAAAAAA"):
        browser.client.set_cookie(FLOW_COOKIE, text, domain="localhost", secure=True)
        assert come_back(browser, way).status_code == 401
    assert set(why(server)) == {"flow"}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "another"}, "token: nonce"),
        ({"aud": "another-client"}, "token: aud"),
        ({"aud": ["another-client", "gliofed"]}, "token: azp"),
        ({"iss": "https://evil.example"}, "token: iss"),
        ({"exp": int(time.time()) - 120}, "token: exp"),
        ({"iat": int(time.time()) + 7200}, "token: iat"),
        ({"exp": None}, "token: exp"),
    ],
)
def test_a_token_that_is_not_for_us_or_not_now_signs_nobody_in(
    server: Server, claims: dict[str, object], reason: str
) -> None:
    browser, answer = sign_on(server, **claims)
    assert answer.status_code == 401
    assert why(server) == [reason]
    assert browser.get("/session").status_code == 401


def test_clocks_may_differ_by_a_minute(server: Server) -> None:
    assert sign_on(server, exp=int(time.time()) - 30, iat=int(time.time()) + 30)[1].status_code == 302


def test_the_role_follows_the_groups_at_each_sign_in(either_server: Server) -> None:
    server = either_server
    first, _ = sign_on(server, groups=["it", "mri-readers"])
    assert first.get("/session").json["role"] == "clinician"  # type: ignore[index]  # the settings' first that fits
    second, _ = sign_on(server, groups="it")
    assert second.get("/session").json["role"] == "administrator"  # type: ignore[index]
    assert first.get("/session").status_code == 401
    changed = {"user": "bert.vogel", "who": "bert.vogel", "role": "administrator", "by": "sign-on"}
    assert events(server, "user.changed") == [changed]


@pytest.mark.parametrize("groups", [["visitors"], [], None, {"mri-readers": True}, 7, [["mri-readers"]]])
def test_without_a_fitting_group_nobody_is_signed_in_and_whoever_was_is_not_any_more(
    server: Server, groups: object
) -> None:
    before, _ = sign_on(server)
    _, answer = sign_on(server, groups=groups)
    assert answer.status_code == 403
    assert why(server) == ["group"]
    assert before.get("/session").status_code == 401


def test_an_account_with_a_password_of_its_own_is_not_taken_over(either_server: Server) -> None:
    server = either_server
    _, answer = sign_on(server, name="anna")
    assert answer.status_code == 409
    assert why(server) == ["name"]
    row = user(server, "anna")
    assert row is not None
    assert row.subject is None


def test_somebody_new_of_the_same_name_is_somebody_else_and_a_new_name_is_the_same_person(
    either_server: Server,
) -> None:
    server = either_server
    sign_on(server, "7f3a")
    assert sign_on(server, "9c1d")[1].status_code == 409
    married, _ = sign_on(server, "7f3a", name="bert.adler")
    assert married.get("/session").json["user"] == "bert.vogel"  # type: ignore[index]


@pytest.mark.parametrize("name", ["", "console", "anybody", "Jörg Müller", "KLINIK\\jm", "x" * 64, None, 7])
def test_a_name_that_cannot_be_a_users_is_refused(server: Server, name: object) -> None:
    assert sign_on(server, name=name)[1].status_code == 409
    assert why(server) == ["name"]


def test_who_is_disabled_here_stays_out_whatever_the_hospital_says(server: Server) -> None:
    sign_on(server)
    with unlogged(server.engine) as session:
        row = session.get(User, "bert.vogel")
        assert row is not None
        row.disabled_at = after(0)
    assert sign_on(server)[1].status_code == 403
    assert why(server) == ["disabled"]


def test_a_user_of_the_sign_on_has_no_password_and_makes_no_tokens(server: Server) -> None:
    browser, _ = sign_on(server)
    browser.headers["X-CSRF-Token"] = browser.get("/session").json["csrf"]  # type: ignore[index]
    answer = browser.post("/tokens", json={"label": "forever"})
    assert (answer.status_code, answer.json["problem"]) == (403, "Users of the hospital's own sign-on have no tokens")  # type: ignore[index]
    assert server.browser().sign_in("bert.vogel", "123456", PASSWORD).status_code == 401


def test_a_method_that_is_demanded_must_have_been_used(tmp_path: Path, issuer: str) -> None:
    server = a_hospital(tmp_path, "", issuer, methods=["mfa", "hwk"])
    assert sign_on(server)[1].status_code == 401
    assert sign_on(server, amr=["pwd"])[1].status_code == 401
    assert sign_on(server, amr=["pwd", "mfa"])[1].status_code == 302
    assert why(server) == ["method", "method"]


def test_new_keys_of_the_provider_are_taken_and_a_provider_that_is_down_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, clock = free_port(), [1000.0]
    monkeypatch.setattr(openid.time, "monotonic", lambda: clock[0])
    with a_provider(port) as issuer:
        server = a_hospital(tmp_path, "", issuer)
        assert sign_on(server)[1].status_code == 302
        keys = server.app.extensions["gliofed-provider"]._keys
    waiting = server.browser()
    with a_provider(port):  # restarted, with new keys
        assert sign_on(server)[1].status_code == 401  # keys are not fetched again for every forged token
        clock[0] += 31
        assert sign_on(server)[1].status_code == 302
        assert server.app.extensions["gliofed-provider"]._keys.as_dict() != keys.as_dict()
        way = go(waiting)
    answer = come_back(waiting, way)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert set(answer.json) == {"problem", "fix"}  # type: ignore[arg-type]
    clock[0] += 3601
    assert server.browser().get("/session/openid").status_code == 503
    assert server.browser("anna").get("/session").status_code == 200  # local accounts go on


def test_a_provider_that_calls_itself_otherwise_is_not_believed(tmp_path: Path, issuer: str) -> None:
    server = a_hospital(tmp_path, "", issuer.replace("127.0.0.1", "localhost") + "/")
    assert server.browser().get("/session/openid").status_code == 503


def test_without_settings_there_is_no_such_way(tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, home=tmp_path / "none"), {})
    assert server.browser().get("/session/ways").json == {"openid": False, "signed_in": False}
    for path in ("/session/openid", "/session/openid/callback?code=x&state=y"):
        assert server.browser().get(path).status_code in (401, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://sso.hospital.example"},
        {"client_id": ""},
        {"roles": {}},
        {"roles": {"it": "king"}},
        {"scope": "profile"},
    ],
)
def test_settings_that_would_sign_nobody_or_anybody_in_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    given = {"issuer": "https://sso.hospital.example", "client_id": "gliofed", "roles": ROLES, **wrong}
    with pytest.raises(ValueError, match="openid"):
        a_config(tmp_path, home=tmp_path / "none", openid=given)


def test_a_browser_that_was_somebody_else_is_not_any_more(server: Server) -> None:
    browser = server.browser("anna")
    old = browser.client.get_cookie(COOKIE, "localhost")
    assert old is not None
    assert come_back(browser, go(browser)).status_code == 302
    assert browser.get("/session").json["user"] == "bert.vogel"  # type: ignore[index]
    browser.client.set_cookie(COOKIE, old.value, domain="localhost", secure=True)
    assert browser.get("/session").status_code == 401
    assert code(server, "anna")
