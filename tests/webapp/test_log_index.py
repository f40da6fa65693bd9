"""The log's index beside the chain: whatever is changed in it is found, on whichever side of a page's end it stands."""

import random
import struct
from itertools import combinations
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session

from core.errors import AuditError
from core.records import audit, chain
from core.records.db import open_database, reading, transaction
from core.records.web_tables import LogEntry
from tests.factories_mariadb import MariaDB
from tests.webapp.factories import a_config
from webapp import log
from webapp.journal import About, note
from webapp.vault import Vault

CASE = "1" * 32


def verify(engine: Engine) -> str:
    """What is wrong with a log, or ""."""
    try:
        log.verify(engine, None, None)
    except AuditError as error:
        return error.problem
    return ""


def change(engine: Engine, statement: str) -> None:
    """What somebody does who owns the database."""
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def eight(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A log of eight events, read in pages of three; the fifth is none of a user's."""
    monkeypatch.setattr(chain, "_PAGE", 3)
    with transaction(engine) as session:
        for number in range(1, 9):
            if number == 5:
                audit.append(session, "service", "site.enrolled")
            else:
                note(session, "anna", "result.shown", About(CASE, "0001-m-00000000", 0.5))
    assert verify(engine) == ""
    return engine


@pytest.mark.parametrize("seq", [1, 2, 3, 4, 6, 7, 8])
@pytest.mark.parametrize(
    "change_of",
    [
        "DELETE FROM log_entries WHERE seq = {}",
        "UPDATE log_entries SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = {}",
        "UPDATE log_entries SET user = 'ben' WHERE seq = {}",
        "UPDATE log_entries SET action = 'result.viewed' WHERE seq = {}",
        "UPDATE log_entries SET prediction = NULL WHERE seq = {}",
        "UPDATE log_entries SET model = '' WHERE seq = {}",
        "UPDATE log_entries SET tumor_probability = 0.5000000000000001 WHERE seq = {}",
        "UPDATE log_entries SET mgmt_probability = 0 WHERE seq = {}",
    ],
)
def test_whatever_is_changed_in_the_index_is_found_and_named(eight: Engine, seq: int, change_of: str) -> None:
    change(eight, change_of.format(seq))
    assert verify(eight) == f"The log's index tells of event {seq} otherwise than the audit log"


@pytest.mark.parametrize("seq", [-1, 0, 5, 9, 1000])
def test_an_entry_that_no_event_of_a_user_has_is_found(eight: Engine, seq: int) -> None:
    change(eight, f"INSERT INTO log_entries (seq, at, user, action) VALUES ({seq}, 'now', 'anna', 'result.shown')")
    assert verify(eight) == f"The log's index has an event {seq} that the audit log has not"


def test_the_first_of_several_is_named_and_the_chain_comes_first(eight: Engine) -> None:
    change(eight, "UPDATE log_entries SET user = 'ben' WHERE seq IN (3, 4, 8)")
    assert "event 3 otherwise" in verify(eight)
    change(eight, "UPDATE audit_head SET seq = 7")
    assert verify(eight) == "Event 8 of the audit log was inserted after the log's end"


def test_lines_that_are_moved_from_one_column_to_the_next_are_found(eight: Engine) -> None:
    line = "'anna' || char(10) || 'result'" if eight.dialect.name == "sqlite" else r"'anna\nresult'"
    change(eight, f"UPDATE log_entries SET user = {line}, action = 'shown' WHERE seq = 4")
    assert "event 4 otherwise" in verify(eight)


def test_a_probability_is_the_same_number_in_both_to_its_last_bit(engine: Engine) -> None:
    chance = random.Random(1)
    numbers = [chance.random() for _ in range(200)]
    numbers += [abs(struct.unpack("<d", chance.randbytes(8))[0]) for _ in range(200)]
    numbers = [one for one in numbers if one < 1e300] + [
        0.0,
        1.0,
        5e-324,
        2.2250738585072014e-308,
        0.1 + 0.2,
        1 - 2**-53,
    ]
    with transaction(engine) as session:
        for number in numbers:
            note(session, "anna", "result.shown", About(CASE, "m", number, number / 3))
    assert verify(engine) == ""


def rows_read(session: Session) -> int:
    """How many rows and index entries MariaDB has looked at for this connection."""
    counts = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
    return sum(int(count) for _, count in counts)


def test_a_page_looks_at_hardly_more_rows_than_it_shows(mariadb_server: MariaDB, tmp_path: Path) -> None:
    engine = open_database(mariadb_server.fresh())
    chance = random.Random(1)
    entries = [
        {
            "seq": seq,
            "at": f"2026-{1 + seq // 500:02d}-01T00:00:{seq % 500 // 10:02d}.{seq:06d}Z",
            "user": f"user{chance.randrange(4)}",
            "action": f"action{chance.randrange(4)}",
            "prediction": f"case{chance.randrange(100)}",
            "model": f"model{seq // 1500}",
        }
        for seq in range(6000)
    ]
    with transaction(engine) as session:
        session.execute(insert(LogEntry), entries)
    every = {"user": "user1", "action": "action2", "case": "case3", "model": "model1", "since": "2026-02-01"}
    vault = Vault(a_config(tmp_path).keys_path)
    for names in [(), *combinations(every, 1), *combinations(every, 2)]:
        for cursor in ({}, {"cursor": "2026-11-15T00:00:00.000000Z_5400"}):
            wanted = {name: every[name] for name in names} | cursor
            with reading(engine) as session:
                before = rows_read(session)
                shown, _ = log.page(session, vault, wanted, 20)
                assert shown
                assert rows_read(session) - before <= 130, wanted  # of one case there are some 60 events in all
    engine.dispose()
