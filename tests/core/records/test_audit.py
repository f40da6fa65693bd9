"""The audit log as it is written, listed and checked while nobody tampers, on SQLite and on a real MariaDB."""

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError

from core.errors import AuditError, RecordsError
from core.records import audit
from core.records.chain import EMPTY
from core.records.db import open_database, reading, transaction
from core.records.tables import AuditEvent, Site

AT = "2026-11-24T21:55:19.123456Z"


def append(engine: Engine, actor: str, action: str, **body: object) -> str:
    with transaction(engine) as session:
        return audit.append(session, actor, action, **body)


def rows(engine: Engine) -> list[AuditEvent]:
    with reading(engine) as session:
        return audit.events(session)


def test_an_events_hash_is_that_of_six_lines(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worked out at a shell: printf '%064d\\n1\\n2026-...Z\\nsite:north\\nupdate.sent\\n{"bytes":7}' 0 | sha256sum."""
    monkeypatch.setattr(audit, "now", lambda: AT)
    first = append(engine, "site:north", "update.sent", bytes=7)
    assert first == "0539d05345ba449e7daf1e7b2f3914d8ff2509da31de76e40dae80f301f7907e"
    second = append(engine, "it", "study.approved", study="demo", reason="é\n", again=None)
    body = '{"again":null,"reason":"\\u00e9\\n","study":"demo"}'
    assert second == hashlib.sha256(f"{first}\n2\n{AT}\nit\nstudy.approved\n{body}".encode()).hexdigest()
    assert [(e.seq, e.at, e.actor, e.action, e.body, e.previous, e.hash) for e in rows(engine)] == [
        (1, AT, "site:north", "update.sent", '{"bytes":7}', EMPTY, first),
        (2, AT, "it", "study.approved", body, first, second),
    ]


def test_an_empty_log_is_whole_and_has_a_head(engine: Engine) -> None:
    with reading(engine) as session:
        assert audit.head(session) == EMPTY
        assert audit.events(session) == []
    assert audit.verify(engine, None, None) == audit.Verified(0, EMPTY, 0)


def test_a_log_of_several_pages_is_whole(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.records.chain._PAGE", 3)
    with transaction(engine) as session:
        heads = [audit.append(session, "it", "a.b", number=n) for n in range(8)]
    told: list[tuple[str, int, int]] = []
    assert audit.verify(engine, None, None, lambda *step: told.append(step)) == audit.Verified(8, heads[-1], 0)
    assert told == [("audit", 3, 8), ("audit", 6, 8), ("audit", 8, 8)]


def test_what_is_rolled_back_leaves_no_event(engine: Engine) -> None:
    first = append(engine, "it", "a.b")
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        session.add(Site(name="north", state="invited", invited_at=AT))
        audit.append(session, "coordinator", "site.invited", site="north")
        raise ZeroDivisionError
    with reading(engine) as session:
        assert session.scalars(select(Site)).all() == []
        assert audit.head(session) == first
    append(engine, "it", "a.b")
    assert audit.verify(engine, None, None).events == 2


def test_who_only_reads_appends_nothing(engine: Engine) -> None:
    with pytest.raises(RecordsError), reading(engine) as session:
        audit.append(session, "it", "a.b")
    assert rows(engine) == []


def test_events_are_listed_in_order_after_one_of_one_kind_and_up_to_a_limit(engine: Engine) -> None:
    for number in range(6):
        append(engine, "it", "even.one" if number % 2 == 0 else "odd.one", number=number)
    with reading(engine) as session:
        assert [e.seq for e in audit.events(session)] == [1, 2, 3, 4, 5, 6]
        assert [e.seq for e in audit.events(session, after=4)] == [5, 6]
        assert [e.seq for e in audit.events(session, action="odd.one", after=2, limit=1)] == [4]
        assert json.loads(audit.events(session)[3].body) == {"number": 3}


def test_a_citation_holds_for_every_head_that_ever_was(engine: Engine) -> None:
    heads = [append(engine, "it", "a.b", number=n) for n in range(3)]
    with reading(engine) as session:
        assert all(audit.cites(session, receipt) for receipt in [EMPTY, *heads])
        assert audit.head(session) == heads[-1]
        assert not audit.cites(session, heads[0][::-1])
        assert not audit.cites(session, "")


@pytest.mark.parametrize(
    ("actor", "action", "body"),
    [
        ("two\nlines", "a.b", {}),
        ("it", "a\u2028b", {}),
        ("", "a.b", {}),
        ("it", "a" * 61, {}),
        ("i" * 101, "a.b", {}),
        ("it", "a.b", {"loss": float("nan")}),
        ("it", "a.b", {"text": "x" * 65_536}),
    ],
)
def test_what_cannot_be_kept_is_a_bug_of_the_caller(engine: Engine, actor: str, action: str, body: dict) -> None:
    with pytest.raises(ValueError, match=r"event|JSON"):
        append(engine, actor, action, **body)
    assert rows(engine) == []


def test_what_cannot_be_json_is_a_bug_of_the_caller(engine: Engine) -> None:
    with pytest.raises(TypeError):
        append(engine, "it", "a.b", path=object())


def test_the_callers_own_mistake_is_not_told_as_the_logs(engine: Engine) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add(Site(name="north", state=None, invited_at=AT))
        audit.append(session, "it", "a.b")


def test_nothing_is_appended_to_a_log_that_does_not_end_at_its_head(engine: Engine) -> None:
    append(engine, "it", "a.b")
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_head SET seq = 0"))
    with pytest.raises(AuditError, match="an event 1 beyond its head"):
        append(engine, "it", "a.b")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_head"))
    for attempt in (lambda: append(engine, "it", "a.b"), lambda: audit.verify(engine, None, None)):
        with pytest.raises(AuditError, match="lost its head"):
            attempt()


def append_many(url: str, actor: str, times: int) -> list[str]:
    engine = open_database(url)
    heads = [append(engine, actor, "a.b", number=number) for number in range(times)]
    engine.dispose()
    return heads


def test_processes_that_append_at_once_make_one_chain(database: str) -> None:
    open_database(database).dispose()
    actors = ["site:north", "site:south", "site:east"]
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        heads = [head for heads in pool.map(append_many, [database] * 3, actors, [25] * 3) for head in heads]
    engine = open_database(database)
    assert audit.verify(engine, None, None).events == 75
    stored = rows(engine)
    assert sorted(e.hash for e in stored) == sorted(heads)
    for actor in actors:
        assert [json.loads(e.body)["number"] for e in stored if e.actor == actor] == list(range(25))
    engine.dispose()
