"""The migrations: they make what the models say, whoever runs them, however often, and from where they were cut off."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import DatabaseError

from core.errors import RecordsError
from core.records.db import open_database
from core.records.migrate import HEAD, locked, migrate, settings_of
from core.records.tables import Base
from core.records.web_tables import User
from tests.factories_mariadb import MariaDB


def differences(engine: Engine) -> list[Any]:
    """What Alembic would still change to make the database what the models say."""
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_the_migrated_tables_are_those_of_the_models(engine: Engine) -> None:
    assert differences(engine) == []
    assert tables(engine) == {*Base.metadata.tables, "alembic_version"} > {User.__tablename__}


def test_a_difference_would_be_seen(engine: Engine) -> None:
    execute(engine, "ALTER TABLE sites ADD COLUMN spare INTEGER", "DROP TABLE efforts")
    assert len(differences(engine)) == 2


def test_up_and_down_and_up_again(engine: Engine) -> None:
    with locked(engine) as connection:
        command.downgrade(settings_of(connection), "base")
    assert tables(engine) == {"alembic_version"}
    migrate(engine)
    assert differences(engine) == []


def test_every_text_is_compared_byte_by_byte(mariadb_server: MariaDB) -> None:
    url = mariadb_server.fresh()
    open_database(url).dispose()
    query = text(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE collation_name IS NOT NULL "
        "AND table_schema = :name AND table_name <> 'alembic_version' AND data_type <> 'longtext'"
    )
    with mariadb_server.root.connect() as connection:
        assert connection.scalars(query, {"name": url.partition("?")[0].rpartition("/")[2]}).all() == ["utf8mb4_bin"]


def open_and_close(url: str) -> None:
    open_database(url).dispose()


def test_processes_that_migrate_at_once_wait_for_one_another(database: str) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(open_and_close, [database] * 6))
    engine = open_database(database)
    assert differences(engine) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, seq FROM audit_head")).all() == [(1, 0)]
    engine.dispose()


def test_who_migrates_waits_for_whoever_migrates_already(engine: Engine) -> None:
    execute(engine, "DELETE FROM alembic_version")
    with ThreadPoolExecutor(1) as pool:
        with locked(engine):
            later = pool.submit(migrate, engine)
            assert not wait([later], timeout=0.3).done
        later.result()
    assert differences(engine) == []


def test_a_database_that_is_up_to_date_is_opened_without_alembic(database: str) -> None:
    open_and_close(database)
    code = (
        "import sys; from core.records.db import open_database; open_database(sys.argv[1]).dispose(); "
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, database], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_counts_as_up_to_date_is_the_last_migration(engine: Engine) -> None:
    with engine.connect() as connection:
        assert ScriptDirectory.from_config(settings_of(connection)).get_heads() == [HEAD]


def test_a_database_of_a_newer_release_is_refused(engine: Engine) -> None:
    execute(engine, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RecordsError, match="not of this release"):
        migrate(engine)


def test_an_interrupted_first_migration_goes_on(mariadb_server: MariaDB) -> None:
    """MySQL and MariaDB keep each statement; what is there when the next attempt starts is passed over."""
    engine = open_database(mariadb_server.fresh())
    execute(
        engine,
        "DELETE FROM alembic_version",
        "DROP TABLE versions",
        "DROP INDEX ix_runs_state ON runs",
        "DROP TRIGGER audit_events_no_delete",
    )
    migrate(engine)
    assert differences(engine) == []
    with engine.connect() as connection:
        assert len(connection.execute(text("SHOW TRIGGERS")).all()) == 2
        assert connection.execute(text("SELECT id, seq FROM audit_head")).all() == [(1, 0)]
    engine.dispose()


def test_on_sqlite_an_interrupted_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", cut_off)
        with pytest.raises(KeyboardInterrupt):
            open_database(url)
    engine = create_engine(url)
    assert tables(engine) == set()
    engine.dispose()
    engine = open_database(url)
    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'nobody'",
        "DELETE FROM audit_events",
        "REPLACE INTO audit_events SELECT * FROM audit_events",
    ],
)
def test_the_application_cannot_rewrite_the_audit_log_by_accident(engine: Engine, statement: str) -> None:
    execute(
        engine,
        "INSERT INTO audit_events (seq, at, actor, action, body, previous, hash) VALUES (1, '', '', '', '', '', '')",
    )
    with pytest.raises(DatabaseError, match="append-only"):
        execute(engine, statement)
