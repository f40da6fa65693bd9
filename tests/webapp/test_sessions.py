"""Sessions of browsers, tokens of machines, and what becomes of denials, on SQLite and on MariaDB."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from core.clock import after, now
from core.records import audit
from core.records.db import reading, unlogged
from core.records.tables import AuditEvent
from core.records.web_tables import Credential, Prediction
from tests.webapp.factories import Browser, Server, a_config, a_server, code
from webapp import denials, guards
from webapp.guards import COOKIE, tell_counted

USERS = {"anna": "clinician", "ada": "administrator"}


@pytest.fixture
def server(database: str, tmp_path: Path) -> Server:
    return a_server(a_config(tmp_path, database, tmp_path / "none"), USERS)


def age(server: Server, **columns: str) -> None:
    """Write into every credential as if time had passed."""
    with unlogged(server.engine) as session:
        session.execute(update(Credential).values(**columns))


def events(server: Server, action: str) -> list[dict[str, object]]:
    with reading(server.engine) as session:
        return [{"user": one.actor[5:], **json.loads(one.body)} for one in audit.events(session, action=action)]


def a_queued_prediction(server: Server) -> str:
    """A prediction of anna's that waits for a worker."""
    fields: dict[str, object] = dict.fromkeys(column.name for column in Prediction.__table__.columns)
    fields |= {"id": "1" * 32, "owner": "anna", "state": "queued", "created_at": now(), "queued_at": now()}
    with unlogged(server.engine) as session:
        session.add(Prediction(**{**fields, "upload_bytes": 1, "attempts": 0, "step": "", "steps_done": 0, "steps": 1}))
    return "1" * 32


def test_the_cookie_is_this_hosts_alone_and_no_script_or_other_site_has_it(server: Server) -> None:
    browser = server.browser()
    answer = browser.sign_in("anna", code(server, "anna"))
    assert answer.headers["Set-Cookie"].startswith("__Host-")
    parts = answer.headers["Set-Cookie"].split("; ")[1:]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict", "Max-Age=43200"} <= set(parts)
    assert not any(part.startswith("Domain") for part in parts)
    gone = browser.delete("/session").headers["Set-Cookie"].split("; ")
    assert {"Secure", "HttpOnly", "Path=/", "Max-Age=0"} <= set(gone[1:])


def test_a_sign_in_makes_another_session_and_ends_the_browsers_old_one(server: Server) -> None:
    browser = server.browser("anna")
    old = browser.client.get_cookie(COOKIE, "localhost")
    assert old is not None
    assert browser.sign_in("anna", code(server, "anna")).status_code == 200
    thief = Browser(server.app.test_client())
    thief.client.set_cookie(COOKIE, old.value, domain="localhost", secure=True)
    assert thief.get("/session").status_code == 401
    assert browser.get("/session").status_code == 200


def test_a_session_that_somebody_chose_beforehand_is_not_taken_over(server: Server) -> None:
    browser = server.browser()
    browser.client.set_cookie(COOKIE, "chosen", domain="localhost", secure=True)
    assert browser.sign_in("anna", code(server, "anna")).status_code == 200
    cookie = browser.client.get_cookie(COOKIE, "localhost")
    assert cookie is not None
    assert cookie.value != "chosen"


def test_only_the_hash_of_a_session_is_kept(server: Server) -> None:
    browser = server.browser("anna")
    cookie = browser.client.get_cookie(COOKIE, "localhost")
    assert cookie is not None
    with reading(server.engine) as session:
        row = session.query(Credential).one()
        assert cookie.value not in str(vars(row))


def test_an_idle_session_ends_and_one_in_use_does_not(server: Server) -> None:
    anna = server.browser("anna")
    age(server, seen_at=after(-29 * 60))
    assert anna.get("/session").status_code == 200  # and is seen
    with reading(server.engine) as session:
        assert session.query(Credential).one().seen_at > after(-60)
    age(server, seen_at=after(-31 * 60))
    assert anna.get("/session").status_code == 401


def test_a_session_in_use_is_never_idle_even_with_the_shortest_setting(database: str, tmp_path: Path) -> None:
    config = a_config(tmp_path, database, tmp_path / "none", sign_in={"idle_minutes": 1})
    server = a_server(config, USERS)
    anna = server.browser("anna")
    for _ in range(3):
        age(server, seen_at=after(-59))
        assert anna.get("/session").status_code == 200


def test_a_session_ends_after_its_hours_however_busy(server: Server) -> None:
    anna = server.browser("anna")
    with reading(server.engine) as session:
        expires = session.query(Credential).one().expires_at
    assert after(12 * 3600 - 60) < expires <= after(12 * 3600)
    age(server, expires_at=after(-0.001))
    assert anna.get("/session").status_code == 401


def test_signing_out_ends_the_session_and_no_other(server: Server) -> None:
    here, there = server.browser("anna"), server.browser("anna")
    assert here.delete("/session").status_code == 204
    assert here.get("/session").status_code == 401
    assert there.get("/session").status_code == 200


def test_a_token_stands_for_its_user_until_it_is_revoked_and_makes_no_others(server: Server) -> None:
    anna = server.browser("anna")
    made = anna.post("/tokens", json={"label": "router", "days": 1}).json
    assert made is not None
    machine = Browser(server.app.test_client())
    machine.headers["Authorization"] = f"Bearer {made['token']}"
    its_own = {"csrf": None, "credential": made["id"]}
    assert machine.get("/session").json == {**anna.get("/session").json, **its_own}  # type: ignore[dict-item]
    assert machine.post("/tokens", json={"label": "another"}).status_code == 403
    assert anna.delete(f"/tokens/{made['id']}").status_code == 204
    assert machine.get("/session").status_code == 401
    as_cookie = Browser(server.app.test_client())
    as_cookie.client.set_cookie(COOKIE, made["token"], domain="localhost", secure=True)
    assert as_cookie.get("/session").status_code == 401


def test_nobody_ends_the_session_of_another_and_trying_is_an_event(server: Server) -> None:
    anna, ada = server.browser("anna"), server.browser("ada")
    adas = ada.get("/tokens").json["tokens"][0]["id"]  # type: ignore[index]
    others, none = anna.delete(f"/tokens/{adas}"), anna.delete(f"/tokens/{'0' * 32}")
    assert (others.status_code, others.text) == (404, none.text)
    assert ada.get("/session").status_code == 200
    tried = {"user": "anna", "route": "DELETE /tokens/<string:identifier>", "status": 404, "address": "127.0.0.1"}
    assert events(server, "access.denied") == [tried, tried]


def test_administrators_see_and_end_the_sessions_of_others(server: Server) -> None:
    first, second, ada = server.browser("anna"), server.browser("anna"), server.browser("ada")
    first.post("/tokens", json={"label": "router"})
    listed = ada.get("/users/anna/tokens").json["tokens"]  # type: ignore[index]
    assert sorted(one["kind"] for one in listed) == ["session", "session", "token"]
    assert all(set(one) == {"id", "kind", "label", "created_at", "seen_at", "expires_at"} for one in listed)
    mine = ada.get("/tokens").json["tokens"][0]["id"]  # type: ignore[index]
    assert ada.delete(f"/users/anna/tokens/{mine}").status_code == 404  # not anna's
    assert ada.delete(f"/users/anna/tokens/{listed[0]['id']}").status_code == 204
    assert (first.get("/session").status_code, second.get("/session").status_code) == (401, 200)
    assert ada.delete("/users/anna/tokens").status_code == 204
    assert second.get("/session").status_code == 401
    assert ada.get("/users/anna/tokens").json == {"tokens": []}
    assert ada.get("/users/nobody/tokens").status_code == 404
    assert events(server, "user.signed-out") == [{"user": "ada", "who": "anna", "ended": 2}]


def test_a_wait_that_outlives_the_session_is_not_answered(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    anna, identifier = server.browser("anna"), a_queued_prediction(server)

    def meanwhile(*_: object) -> None:
        age(server, revoked_at=after(0))

    monkeypatch.setattr(server.app.extensions["gliofed-waiting"], "until_ended", meanwhile)
    assert anna.get(f"/predict/{identifier}", headers={"Prefer": "wait=5"}).status_code == 401


def test_a_flood_of_denials_is_counted_in_one_event_and_does_not_silence_users(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials.time, "monotonic", lambda: 600.0)  # a busy machine takes more than a minute
    anna, nobody = server.browser("anna"), server.browser()
    for _ in range(denials.EACH + 30):
        assert nobody.get("/users").status_code == 401
    for _ in range(denials.EACH + 5):
        assert anna.get("/users").status_code == 403
    noted = events(server, "access.denied")
    assert [sum(one["user"] == user for one in noted) for user in ("anybody", "anna")] == [denials.EACH] * 2
    tell_counted(server.app)
    tell_counted(server.app)
    assert events(server, "access.denied-often") == [{"user": "service", "count": 35}]


def test_all_unknown_addresses_together_write_no_more_than_so_much(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials.time, "monotonic", lambda: 600.0)  # a busy machine takes more than a minute
    for number in range(100):
        server.browser().client.get(
            "/users", base_url="https://localhost", environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}
        )
    assert len(events(server, "access.denied")) == denials.UNKNOWN_TOGETHER
    anna = server.browser("anna")
    anna.get("/users")
    assert events(server, "access.denied")[-1]["user"] == "anna"


def test_the_next_minute_tells_of_the_one_before(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [600.0]
    monkeypatch.setattr(denials.time, "monotonic", lambda: clock[0])
    for _ in range(denials.EACH + 3):
        server.browser().get("/users")
    assert events(server, "access.denied-often") == []
    clock[0] += 60
    server.browser().get("/healthz")
    assert events(server, "access.denied-often") == [{"user": "service", "count": 3}]
    server.browser().get("/users")
    assert len(events(server, "access.denied")) == denials.EACH + 1


def test_too_many_sign_ins_of_one_address_are_told_when_to_come_back(database: str, tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, database, tmp_path / "none", sign_in={"attempts_a_minute": 3}), USERS)
    answers = [server.browser().post("/session", json={}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 429, 429]
    assert {"problem", "fix"} == set(answers[-1].json)  # type: ignore[arg-type]
    assert [one["why"] for one in events(server, "access.denied")] == ["rate", "rate"]


def test_an_address_is_one_or_nothing_and_an_ipv6_machine_is_one_however_many_it_takes(server: Server) -> None:
    for given, address, network in (
        ("2001:db8::1", "2001:db8::1", "2001:db8::/64"),
        ("2001:db8::2", "2001:db8::2", "2001:db8::/64"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("x\r\nforged: yes", "", ""),
        ("", "", ""),
    ):
        with server.app.test_request_context(environ_base={"REMOTE_ADDR": given}):
            assert (guards.address(), guards.network()) == (address, network)


def test_a_denial_that_cannot_be_noted_is_not_answered(server: Server) -> None:
    anna = server.browser("anna")
    with unlogged(server.engine) as session:
        last = session.query(AuditEvent).order_by(AuditEvent.seq.desc()).first()
        assert last is not None
        event = {column.name: getattr(last, column.name) for column in AuditEvent.__table__.columns}
        session.add(AuditEvent(**{**event, "seq": last.seq + 1}))  # beyond the head: no event can follow
    assert anna.get("/users").status_code == 409


def test_a_page_that_looks_whether_somebody_is_signed_in_is_denied_nothing(server: Server) -> None:
    assert server.browser().get("/session/ways").json["signed_in"] is False
    anna = server.browser("anna")
    assert anna.get("/session/ways").json["signed_in"] is True
    age(server, expires_at=now())
    assert anna.get("/session/ways").json["signed_in"] is False
    assert events(server, "access.denied") == []
