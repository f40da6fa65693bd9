"""All rows out of one kind of database and into another, which nobody takes for whole before it is released."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from core.errors import RecordsError
from core.records import audit
from core.records.copying import Page, is_restoring, pages_out, refilling
from core.records.db import connect, open_database, reading, transaction
from core.records.migrate import HEAD, revision_of
from core.records.tables import Round, Run, StudyBundle
from core.records.web_tables import Tally
from tests.factories_mariadb import MariaDB

AT = "2026-11-24T21:55:19.123456Z"
# Every kind of value that a table of ours holds, at its edges.
ODD = ["", "ä€𝄞", "'; --\\", "line\nbreak"]


def fill(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add(StudyBundle(name="s", bundle_sha256="0" * 64, toml=ODD[1], bundle=bytes(range(256)), created_at=AT))
        session.add(
            Run(id="r", study="s", folder=ODD[2], sites=ODD, state="failed", cause=ODD[3], created_at=AT, changed_at=AT)
        )
        session.flush()
        session.add(
            Round(
                run="r",
                number_of_try=1,
                round=1,
                counted=True,
                sites=[],
                left_out={"north": ODD[1]},
                loss=None,
                auc=0.1 + 0.2,
                seconds=5e-324,
                closed_at=AT,
            )
        )
        for number in range(25):
            audit.append(session, "it", "a.b", number=number)


def everything(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    found: dict[str, list[tuple[object, ...]]] = {}
    with reading(engine) as session:
        for page in pages_out(session):
            found.setdefault(page.table, []).extend(tuple(row) for row in page.rows)
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def empty_database(kind: str, tmp_path: Path, server: MariaDB) -> str:
    return server.fresh() if kind == "mariadb" else f"sqlite:///{tmp_path / 'other.db'}"


def pages(engine: Engine) -> list[Page]:
    with reading(engine) as session:
        return list(pages_out(session))


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_every_row_arrives_as_it_was_whichever_database_it_comes_from(
    engine: Engine, kind: str, tmp_path: Path, mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.records.copying._PAGE", 10)
    fill(engine)
    url = empty_database(kind, tmp_path, mariadb_server)
    with refilling(url, HEAD) as refilled:
        for page in pages(engine):
            refilled.load(page)
        refilled.release()
    copy = open_database(url)
    assert everything(copy) == everything(engine)
    with reading(copy) as session:
        assert session.get_one(Run, "r").sites == ODD
        assert session.get_one(Round, ("r", 1)).counted is True
        assert session.get_one(StudyBundle, "s").bundle == bytes(range(256))
    with reading(engine) as session:
        head = audit.head(session)
    assert audit.verify(copy, None, None) == audit.Verified(25, head, 0)
    with pytest.raises(DBAPIError, match="append-only"), copy.begin() as connection:
        connection.execute(text("DELETE FROM audit_events"))
    copy.dispose()


def test_what_is_read_is_one_state_while_others_write(engine: Engine) -> None:
    fill(engine)
    with reading(engine) as session:
        out = pages_out(session)
        first = next(out)
        with transaction(engine) as writing:
            audit.append(writing, "it", "a.b")
            writing.add(Tally(name="t", value=1.0))
        rest = [first, *out]
    assert sum(len(page.rows) for page in rest if page.table == "audit_events") == 25
    assert [row[1] for page in rest if page.table == "audit_head" for row in page.rows] == [25]
    assert not [page for page in rest if page.table == "tallies" and page.rows]


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_until_it_is_released_nobody_opens_it_and_then_nothing_is_left(
    kind: str, tmp_path: Path, mariadb_server: MariaDB
) -> None:
    url = empty_database(kind, tmp_path, mariadb_server)
    with refilling(url, HEAD):
        assert is_restoring(url)
        with pytest.raises(RecordsError, match="is being restored"):
            open_database(url)
    assert not is_restoring(url)
    if kind == "sqlite":
        assert list(tmp_path.iterdir()) == []
    else:
        assert revision_of(connect(url)) == ""


def test_what_a_killed_restore_has_left_is_cleared_away(engine: Engine, database: str) -> None:
    fill(engine)
    found = pages(engine)
    with engine.begin() as connection:  # as a kill leaves it: full of rows, and not released
        connection.execute(text("CREATE TABLE restoring (id INTEGER)"))
    engine.dispose()
    with refilling(database, HEAD) as refilled:
        for page in found:
            refilled.load(page)
        refilled.release()
    audit.verify(open_database(database), None, None)


def test_a_database_with_anything_in_it_is_refused_and_stays(engine: Engine, database: str) -> None:
    with transaction(engine) as session:
        session.add(Tally(name="alive", value=1.0))
    with pytest.raises(RecordsError, match="is not empty: it has tallies"), refilling(database, HEAD):
        raise AssertionError
    assert everything(open_database(database))["tallies"] == [("alive", 1.0)]


def test_a_database_with_tables_of_others_is_refused_and_they_stay(database: str) -> None:
    engine = connect(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE payroll (id INTEGER)"))
    with pytest.raises(RecordsError, match="is not empty: it has payroll"), refilling(database, HEAD):
        raise AssertionError
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM payroll")).scalar() == 0
    engine.dispose()


def test_a_database_that_was_only_made_ready_counts_as_empty(engine: Engine, database: str) -> None:
    engine.dispose()
    with refilling(database, HEAD) as refilled:
        refilled.release()
    open_database(database).dispose()


def test_rows_of_an_older_release_are_brought_up(database: str) -> None:
    run = {"id": "r", "study": "s", "folder": "f", "sites": "[]", "state": "finished", "cause": ""}
    run |= {"created_at": AT, "changed_at": AT}
    with refilling(database, "0001") as refilled:
        refilled.load(Page("audit_head", ("id", "seq", "hash", "checkpoints"), [(1, 0, "0" * 64, 0)]))
        refilled.load(Page("runs", tuple(run), [tuple(run.values())]))
        refilled.bring_up()
        with pytest.raises(RecordsError, match="is being restored"):
            open_database(database)
        refilled.release()
    opened = open_database(database)
    with reading(opened) as session:
        assert session.get_one(Run, "r").sites == []
        assert session.get(Tally, "of a later release") is None
    opened.dispose()
