"""Users: passwords, second factors, locks, and what administrators change, on SQLite and on MariaDB."""

import json
import sys
import unicodedata
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

import pyotp
import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from core.clock import after
from core.errors import ConfigError
from core.records import audit
from core.records.db import reading, unlogged
from core.records.web_tables import User
from tests.webapp.factories import PASSWORD, Server, a_config, a_server, code
from webapp import passwords, second_factor
from webapp.accounts import Change, change_user, create_user
from webapp.errors import Denied, Refused
from webapp.passwords import hash_password, verify_password
from webapp.signing_in import Asker, sign_in

HERE = Asker("192.0.2.7")
USERS = {"anna": "clinician", "ada": "administrator"}


@pytest.fixture
def server(database: str, tmp_path: Path) -> Server:
    return a_server(a_config(tmp_path, database, tmp_path / "none"), USERS)


def row(server: Server, name: str) -> User:
    with reading(server.engine) as session:
        user = session.get(User, name)
        assert user is not None
        return user


def events(server: Server, action: str = "") -> list[tuple[str, str, dict[str, object]]]:
    """Actor, action and body of every event, oldest first."""
    with reading(server.engine) as session:
        found = audit.events(session, action=action or None)
        return [(one.actor.removeprefix("user:"), one.action, json.loads(one.body)) for one in found]


def attempt(server: Server, name: str = "anna", password: str = PASSWORD, typed: str | None = None) -> int:
    """Sign in, and return the status."""
    typed = code(server, name) if typed is None else typed
    return server.browser().sign_in(name, typed, password).status_code


def forget_code(server: Server, name: str = "anna") -> None:
    """Let the app's code be used once more, as if half a minute had passed."""
    with unlogged(server.engine) as session:
        session.execute(update(User).where(User.name == name).values(totp_step=0))


def wrong(server: Server, name: str = "anna") -> str:
    """A code that the app does not show."""
    return f"{(int(code(server, name)) + 500_000) % 1_000_000:06d}"


def test_a_password_is_hashed_by_argon2id_as_the_rfc_recommends_where_memory_is_short() -> None:
    found = extract_parameters(hash_password(PASSWORD))
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (64 * 1024, 3, 4)
    assert (found.salt_len, found.hash_len) == (16, 32)


def test_a_password_is_the_same_however_the_keyboard_makes_its_umlauts() -> None:
    composed = unicodedata.normalize("NFC", "grüße an käthe")
    assert verify_password(hash_password(composed), unicodedata.normalize("NFD", composed))
    assert not verify_password(hash_password(composed), "grusse an kathe")


def test_without_a_hash_no_password_is_right_and_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    real = passwords._hasher().verify

    class Counting:
        def verify(self, hashed: str, password: str) -> bool:
            verified.append(extract_parameters(hashed))
            return real(hashed, password)

    existing, nobodys = hash_password(PASSWORD), passwords._nobodys_hash()
    monkeypatch.setattr(passwords, "_hasher", Counting)
    assert verify_password(existing, PASSWORD)
    assert not verify_password(None, PASSWORD)
    assert extract_parameters(nobodys) == extract_parameters(existing)
    assert len(verified) == 2
    assert verified[0] == verified[1]


def test_when_too_many_sign_in_at_once_the_next_is_told_to_wait_and_holds_no_thread() -> None:
    with passwords._HASHING, passwords._HASHING:
        for _ in range(18):
            assert passwords._LINE.acquire(blocking=False)
        try:
            with pytest.raises(Refused) as told:
                verify_password(None, PASSWORD)
        finally:
            for _ in range(18):
                passwords._LINE.release()
    assert (told.value.status, told.value.retry_after) == (429, 5)


@pytest.mark.parametrize("name", ["anybody", "service", "console", "Anna", "anna ", "", "a" * 64, "-a", "a\n", "änne"])
def test_a_user_has_a_name_that_the_log_cannot_mistake(server: Server, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        create_user(server.engine, server.vault, name, "clinician", PASSWORD, by="console")


@pytest.mark.parametrize("password", ["short", "aaaabbbbccccdddd", "anna is my name", "x" * 201])
def test_a_weak_password_is_refused(server: Server, password: str) -> None:
    with pytest.raises(ConfigError, match="12 to 200"):
        change_user(server.engine, server.vault, "anna", Change(password=password), by="ada")


def test_a_user_signs_in_and_what_is_wrong_is_told_in_the_log_alone(server: Server) -> None:
    browser = server.browser()
    answers = [
        browser.sign_in("anna", code(server, "anna"), "wrong horse battery"),
        browser.sign_in("anna", wrong(server)),
        browser.sign_in("nobody", "123456"),
        browser.sign_in("x" * 63, "123456"),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    assert browser.sign_in("  Anna ", code(server, "anna")).status_code == 200
    told = [(who, body["why"]) for who, _, body in events(server, "sign-in.failed")]
    assert told == [("anna", "password"), ("anna", "code"), ("anybody", "unknown"), ("anybody", "unknown")]
    assert [(who, body["by"]) for who, _, body in events(server, "signed.in")] == [("anna", "password")]


def test_a_name_with_a_trailing_space_is_nobodys_even_where_the_database_pads(server: Server) -> None:
    with pytest.raises(Denied, match="no such user"):
        change_user(server.engine, server.vault, "anna ", Change(disabled=True), by="ada")


def test_five_failures_lock_an_account_for_its_minutes_and_a_right_sign_in_counts_from_zero(server: Server) -> None:
    for _ in range(4):
        assert attempt(server, typed=wrong(server)) == 401
    assert attempt(server) == 200
    for _ in range(4):
        assert attempt(server, password="wrong horse battery") == 401
    assert row(server, "anna").locked_until is None
    assert attempt(server, typed=wrong(server)) == 401
    until = row(server, "anna").locked_until
    assert until is not None
    assert after(14 * 60) < until < after(15 * 60 + 1)
    assert attempt(server) == 401  # all is right, but it is locked
    assert events(server, "sign-in.failed")[-1] == (
        "anna",
        "sign-in.failed",
        {"address": "127.0.0.1", "route": "POST /session", "status": 401, "why": "locked"},
    )
    with unlogged(server.engine) as session:
        user = session.get(User, "anna")
        assert user is not None
        user.locked_until = after(-1)
    assert attempt(server) == 200


def test_an_administrator_unlocks_and_sessions_go_on(server: Server) -> None:
    anna, ada = server.browser("anna"), server.browser("ada")
    for _ in range(5):
        attempt(server, typed=wrong(server))
    assert [user["locked"] for user in ada.get("/users").json["users"]] == [False, True]  # type: ignore[index]
    assert anna.get("/session").status_code == 200  # whoever guesses cannot sign her out
    assert ada.patch("/users/anna", json={"unlock": True}).status_code == 200
    assert attempt(server) == 200
    assert anna.get("/session").status_code == 200


@pytest.mark.parametrize(("early", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_a_code_is_good_one_step_before_and_after_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch, early: int, status: int
) -> None:
    monkeypatch.setattr(second_factor.time, "time", lambda: 1_800_000_000.0)
    typed = pyotp.TOTP(server.secrets["anna"]).at(1_800_000_000 + 30 * early)
    assert attempt(server, typed=typed) == status


def test_a_code_works_once_and_none_before_it_works_any_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_factor.time, "time", lambda: 1_800_000_000.0)
    before, now, after_it = (pyotp.TOTP(server.secrets["anna"]).at(1_800_000_000 + 30 * step) for step in (-1, 0, 1))
    assert [attempt(server, typed=one) for one in (now, now, before, after_it, after_it)] == [200, 401, 401, 200, 401]


@pytest.mark.parametrize("typed", ["١٢٣٤٥٦", "123456\n", "12345", "1234567", "abcdef", " 12345"])
def test_what_is_no_code_is_refused_before_anything_is_looked_at(server: Server, typed: str) -> None:
    assert attempt(server, typed=typed) == 422
    assert row(server, "anna").failures == 0


_RACER = """
import sys
from core.records.db import open_database
from webapp.config import WebConfig
from webapp.errors import Refused
from webapp.signing_in import Asker, sign_in
from webapp.vault import Vault

config = WebConfig.model_validate_json(sys.argv[1])
engine, vault = open_database(config.database_url), Vault(config.keys_path)
print("ready", flush=True)
code = sys.stdin.readline().strip()
try:
    sign_in(engine, vault, config.sign_in, "anna", sys.argv[2], code, Asker("192.0.2.7"))
    print("won")
except Refused:
    print("lost")
"""


def test_of_processes_that_race_with_one_code_exactly_one_wins(server: Server) -> None:
    command = [sys.executable, "-c", _RACER, server.config.model_dump_json(), PASSWORD]
    with ExitStack() as stack:
        racers = [stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True)) for _ in range(3)]
        assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["ready\n"] * 3
        typed = code(server, "anna")
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write(f"{typed}\n")
            racer.stdin.flush()
        ends = sorted(racer.communicate()[0] for racer in racers)
    assert ends == ["lost\n", "lost\n", "won\n"]
    assert len(events(server, "signed.in")) == 1
    assert row(server, "anna").failures == 2


def test_a_password_that_is_changed_while_the_old_one_is_looked_at_is_not_signed_in_with(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = passwords.verify_password

    def slow(hashed: str | None, password: str) -> bool:
        right = real(hashed, password)
        change_user(server.engine, server.vault, "anna", Change(password="another horse battery"), by="ada")
        return right

    monkeypatch.setattr("webapp.signing_in.verify_password", slow)
    with pytest.raises(Refused, match="failed"):
        sign_in(server.engine, server.vault, server.config.sign_in, "anna", PASSWORD, code(server, "anna"), HERE)


def test_users_change_their_own_password_and_only_with_the_old_one_and_a_code(server: Server) -> None:
    anna, elsewhere = server.browser("anna"), server.browser("anna")
    new = "another horse battery"
    forget_code(server)
    body = {"password": PASSWORD, "code": wrong(server), "new_password": new}
    assert (
        anna.client.put("/session/password", base_url="https://localhost", headers=anna.headers, json=body).status_code
        == 401
    )
    body["code"] = code(server, "anna")
    weak = {**body, "new_password": "anna"}
    assert (
        anna.client.put("/session/password", base_url="https://localhost", headers=anna.headers, json=weak).status_code
        == 400
    )
    answer = anna.client.put("/session/password", base_url="https://localhost", headers=anna.headers, json=body)
    assert answer.status_code == 200
    assert anna.get("/session").status_code == 200  # by the new cookie
    assert elsewhere.get("/session").status_code == 401
    forget_code(server)
    assert attempt(server) == 401
    assert attempt(server, password=new) == 200


def test_a_change_is_done_whole_or_not_at_all(server: Server) -> None:
    ada = server.browser("ada")
    answer = ada.patch("/users/anna", json={"role": "auditor", "password": "weak"})
    assert answer.status_code == 400
    assert row(server, "anna").role == "clinician"
    assert ada.patch("/users/anna", json={}).status_code == 400
    assert ada.patch("/users/nobody", json={"role": "auditor"}).status_code == 404
    assert events(server, "user.changed") == []


def test_another_role_password_or_second_factor_ends_sessions_and_tokens(server: Server) -> None:
    ada = server.browser("ada")
    for change in (
        {"role": "auditor"},
        {"password": "another horse battery"},
        {"renew_second_factor": True},
        {"disabled": True},
    ):
        with unlogged(server.engine) as session:
            user = session.get(User, "anna")
            assert user is not None
            user.role, user.password_hash, user.totp_step = "clinician", hash_password(PASSWORD), 0
        anna = server.browser("anna")
        token = anna.post("/tokens", json={"label": "router"}).json["token"]  # type: ignore[index]
        answer = ada.patch("/users/anna", json=change)
        assert answer.status_code == 200
        if "totp_uri" in answer.json:  # type: ignore[operator]
            server.secrets["anna"] = pyotp.parse_uri(answer.json["totp_uri"]).secret  # type: ignore[index]
        assert anna.get("/session").status_code == 401, change
        assert server.browser().get("/session", headers={"Authorization": f"Bearer {token}"}).status_code == 401, change
    forget_code(server)
    assert attempt(server) == 401  # disabled
    assert events(server, "sign-in.failed")[-1][2]["why"] == "disabled"
    assert ada.patch("/users/anna", json={"disabled": False}).status_code == 200
    assert attempt(server) == 200


def test_somebody_stays_administrator_even_if_the_last_one_resigns(server: Server) -> None:
    ada = server.browser("ada")
    for change in ({"role": "clinician"}, {"disabled": True}):
        answer = ada.patch("/users/ada", json=change)
        assert (answer.status_code, answer.json["problem"]) == (400, "Nobody would be administrator any more")  # type: ignore[index]
    assert ada.patch("/users/anna", json={"role": "administrator"}).status_code == 200
    assert ada.patch("/users/ada", json={"role": "clinician"}).status_code == 200
    assert ada.get("/users").status_code == 401


def test_where_nobody_was_administrator_others_can_be_changed_still(database: str, tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, database, tmp_path / "none"), {"anna": "clinician"})
    change_user(server.engine, server.vault, "anna", Change(role="auditor"), by="console")
    assert row(server, "anna").role == "auditor"


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("one")
    return a_server(a_config(folder, home=folder / "none"), {"ada": "administrator"})


TEXT = st.text(st.characters(), max_size=300) | st.text(st.characters(categories=["Cs", "Cc", "Nd"]), max_size=70)


@settings(max_examples=30)
@given(body=st.dictionaries(st.sampled_from(["name", "password", "code", "x\ud800"]), TEXT | st.none() | st.integers()))
def test_whatever_is_sent_to_sign_in_is_a_4xx(one_server: Server, body: dict[str, object]) -> None:
    answer = one_server.browser().post("/session", data=json.dumps(body), content_type="application/json")
    assert answer.status_code in (401, 422)
    assert set(answer.json) == {"problem", "fix"}  # type: ignore[arg-type]


@given(name=TEXT)
def test_whatever_stands_in_an_authorization_cookie_or_page_token_is_a_4xx(one_server: Server, name: str) -> None:
    text = name.encode("utf-8", "replace").decode("latin-1").translate({10: "", 13: "", 0: ""})
    for header in ("Authorization", "Cookie", "X-CSRF-Token"):
        value = {"Authorization": f"Bearer {text}", "Cookie": f"__Host-gliofed={text}"}.get(header, text)
        assert one_server.browser().get("/session", headers={header: value}).status_code == 401
