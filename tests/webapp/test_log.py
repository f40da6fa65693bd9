"""The audit log as auditors meet it: found by every filter, paged without gaps, exported, and impossible to rewrite."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from core.errors import AuditError, RecordsError
from core.records.audit import sign_head
from core.records.db import open_database, reading, transaction
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server
from webapp import log
from webapp.checkpoints import head_signer
from webapp.journal import About, note
from webapp.vault import Vault

USERS = ("anna", "ben")
ACTIONS = ("result.shown", "result.agreed", "log.read")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def server(database: str, tmp_path: Path, home: Path) -> Server:
    return a_server(a_config(tmp_path, database, home))


def events(engine: Engine, vault: Vault, wanted: dict[str, Any], limit: int = 1000) -> list[dict[str, Any]]:
    """All pages of a query, oldest last."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        with reading(engine) as session:
            page, cursor = log.page(session, vault, {**wanted, **({"cursor": cursor} if cursor else {})}, limit)
        assert len(page) == limit or cursor is None
        found += page
    return found


@given(
    made=st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(ACTIONS), st.integers(0, 2)), max_size=25),
    wanted=st.fixed_dictionaries(
        {}, optional={"user": st.sampled_from(USERS), "action": st.sampled_from(ACTIONS), "case": st.just("1" * 32)}
    ),
    limit=st.integers(1, 7),
)
def test_every_filter_finds_what_a_naive_search_finds_page_by_page(
    made: list[tuple[str, str, int]],
    wanted: dict[str, str],
    limit: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("log")
    engine, vault = open_database(f"sqlite:///{folder / 'records.db'}"), Vault(folder / "keys.json")
    with transaction(engine) as session:
        for user, action, case in made:
            note(session, user, action, About(str(case) * 32))
    naive = [
        n
        for n, (user, action, case) in enumerate(made, 1)
        if wanted.get("user", user) == user
        and wanted.get("action", action) == action
        and wanted.get("case", str(case) * 32) == str(case) * 32
    ]
    assert [event["seq"] for event in events(engine, vault, wanted, limit)] == naive[::-1]
    engine.dispose()


def test_events_are_found_by_time_and_model(engine: Engine, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "keys.json")
    with transaction(engine) as session:
        for n in range(6):
            note(session, "anna", "result.shown", About(None, f"000{n % 2}-m-00000000", 0.5))
    everything = events(engine, vault, {})
    assert [event["seq"] for event in events(engine, vault, {"model": "0001-m-00000000"})] == [6, 4, 2]
    middle = everything[2]["at"]
    assert events(engine, vault, {"since": middle}) == [e for e in everything if e["at"] >= middle]
    assert events(engine, vault, {"until": middle}) == [e for e in everything if e["at"] <= middle]
    assert events(engine, vault, {"since": middle[:10], "until": middle[:10]}) == everything
    assert events(engine, vault, {"since": middle[:19] + "Z", "until": middle[:19] + "Z"})
    assert events(engine, vault, {"until": "2020-01-01"}) == []


def test_what_users_did_is_read_exported_and_verified(server: Server, tmp_path: Path) -> None:
    anna, otto = server.browser("anna"), server.browser("otto")
    identifier = anna.upload(a_patient(tmp_path / "p"), wait=0).json["id"]
    server.work()
    probability = anna.get(f"/predict/{identifier}").json["result"]["tumor_probability"]
    said = anna.post("/log", json={"prediction": identifier, "action": "disagreed", "comment": "=1+1 Frau Meier"})
    assert said.status_code == 201

    told = otto.get(f"/log?case={identifier}&action=result.disagreed").json["events"]
    assert [(e["user"], e["tumor_probability"], e["comment"]) for e in told] == [
        ("anna", probability, "=1+1 Frau Meier")
    ]
    assert len(told[0]["hash"]) == 64
    assert anna.get("/log").status_code == 403

    lines = [json.loads(line) for line in otto.get("/log/export?form=jsonl&user=anna").text.splitlines()]
    assert [line["action"] for line in lines] == [
        "access.denied",
        "result.disagreed",
        "result.shown",
        "prediction.asked",
        "scans.uploaded",
        "signed.in",
    ]
    rows = list(csv.DictReader(io.StringIO(otto.get("/log/export?user=anna").text)))
    assert [row["action"] for row in rows] == [line["action"] for line in lines]
    assert rows[1]["comment"] == "'=1+1 Frau Meier"  # not a formula
    assert otto.post("/log/verify").json["intact"] is True
    assert otto.get("/log").json["events"][0]["action"] == "log.read"
    assert otto.get("/log?limit=0").status_code == 422
    assert otto.get("/log?cursor=nonsense").status_code == 422
    assert otto.get("/log?surprise=1").status_code == 422


def unguarded(engine: Engine, *statements: str) -> None:
    """What somebody does who owns the database."""
    with engine.begin() as connection:
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS audit_events_no_{verb}"))
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE audit_events SET body = REPLACE(body, '0.5', '0.1') WHERE seq = 3"], "Event 3 of the audit log"),
        (["DELETE FROM audit_events WHERE seq = 3"], "Event 3 of the audit log was removed"),
        (["UPDATE log_entries SET tumor_probability = 0.1 WHERE seq = 3"], "tells of event 3 otherwise"),
        (["UPDATE log_entries SET user = 'ben' WHERE seq = 4"], "tells of event 4 otherwise"),
        (["DELETE FROM log_entries WHERE seq = 2"], "tells of event 2 otherwise"),
        (["UPDATE log_entries SET seq = 99 WHERE seq = 5"], "tells of event 5 otherwise"),
        (
            [
                "DELETE FROM audit_events WHERE seq > 3",
                "DELETE FROM log_entries WHERE seq > 3",
                "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)",
            ],
            "after event 3",
        ),
    ],
    ids=["changed", "removed", "index changed", "another user", "index removed", "index moved", "truncated"],
)
def test_the_first_event_that_somebody_rewrote_is_named(
    engine: Engine, tmp_path: Path, statements: list[str], found: str
) -> None:
    signer = head_signer(a_config(tmp_path))
    with transaction(engine) as session:
        for _ in range(5):
            note(session, "anna", "result.shown", About("1" * 32, "0001-m-00000000", 0.5))
    assert signer.private
    sign_head(engine, signer.private, signer.checkpoints)
    assert log.verify(engine, signer.checkpoints, signer.public).events == 5
    unguarded(engine, *statements)
    with pytest.raises(AuditError, match=found):
        log.verify(engine, signer.checkpoints, signer.public)


def test_the_application_itself_cannot_change_an_event(engine: Engine, tmp_path: Path) -> None:
    with transaction(engine) as session:
        note(session, "anna", "result.shown")
    for statement in ("UPDATE audit_events SET body = ''", "DELETE FROM audit_events"):
        with pytest.raises((RecordsError, IntegrityError)), transaction(engine) as session:
            session.execute(text(statement))
    assert len(events(engine, Vault(tmp_path / "keys.json"), {})) == 1


def test_a_comment_that_was_changed_or_erased_is_shown_as_such(server: Server, tmp_path: Path) -> None:
    anna, otto = server.browser("anna"), server.browser("otto")
    identifier = anna.upload(a_patient(tmp_path / "p"), wait=0).json["id"]
    server.work()
    seq = anna.post("/log", json={"prediction": identifier, "action": "agreed", "comment": "fits"}).json["seq"]
    forged = server.vault.seal(b"does not fit", f"feedback.comment/{seq}")
    with server.engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET comment_sealed = :sealed"), {"sealed": forged})
    told = otto.get("/log?action=result.agreed").json["events"][0]
    assert told["comment"] == "(changed)"
    server.browser("ada").post("/patients/erase", json={"record_number": "MRN-4711"})
    assert otto.get("/log?action=result.agreed").json["events"][0]["comment"] == "(erased)"
    assert otto.post("/log/verify").json["intact"] is True
