"""The database back as it was at a moment: all that was before it, no more, and only from backups that are whole."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from core.records import audit
from core.records.db import open_database, reading, transaction
from tests.deploy.factories_backups import Backups, backups, database_backups, next_second
from tests.deploy.factories_database import Database, Deployment, deployment
from tests.webapp.factories_sealed import a_filled_server, a_prediction, a_server, rows_of, sign_heads
from webapp.cli import app
from webapp.config import WebConfig

MARKER = "Marker-of-what-no-backup-shows"


@dataclass
class Past:
    """What has happened, before the tests: a dump, work, the moment, a disaster, and the binary logs of all that.

    Attributes:
        before: a second before the dump.
        moment: a second after the work and before the disaster.
        expected: all rows at that moment.
        config: of the server whose database it was.
    """

    before: str
    moment: str
    expected: dict[str, list[tuple[object, ...]]]
    config: WebConfig
    database: Database
    backups: Backups


def append(engine: Engine, actor: str) -> None:
    with transaction(engine) as session:
        audit.append(session, actor, "a.b")


def succeed(backups: Backups, script: str) -> None:
    done = backups.run(script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture(scope="module")
def past(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    database = deployed.filled()
    config = a_server(tmp_path_factory.mktemp("server"), database.application)
    engine = open_database(database.application)
    vault = a_filled_server(engine, config)
    append(engine, MARKER)
    with database_backups(deployed, database.name) as backups:
        before = next_second()
        succeed(backups, "dump.sh")
        next_second()
        a_prediction(engine, config, vault, 7, "MRN-after-the-dump")
        sign_heads(engine, config)
        succeed(backups, "binlogs.sh")
        deployed.as_root("FLUSH BINARY LOGS")
        append(engine, "the last before")
        expected = rows_of(engine)
        moment = next_second()
        append(engine, "the first after")
        sign_heads(engine, config)
        deployed.as_root(
            f"DROP TRIGGER {database.name}.audit_events_no_update",
            f"UPDATE {database.name}.audit_events SET actor = 'nobody' WHERE seq = 2",
            f"DELETE FROM {database.name}.feedback",
            f"DELETE FROM {database.name}.predictions",
        )
        succeed(backups, "binlogs.sh")
        next_second()
        yield Past(before, moment, expected, config, database, backups)
    engine.dispose()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Another MariaDB, which nobody has used yet."""
    with deployment(tmp_path_factory.mktemp("elsewhere")) as running:
        yield running


@pytest.fixture
def socket(elsewhere: Deployment, past: Past) -> Iterator[str]:
    """Its socket, for a restore; its database goes with the test."""
    yield str(elsewhere.server.folder / "socket")
    elsewhere.as_root(f"DROP DATABASE IF EXISTS {past.database.name}")


def test_a_moment_comes_back_with_exactly_what_was_before_it_and_the_server_goes_on(
    past: Past, elsewhere: Deployment, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = past.backups.restore(past.moment, SOCKET=socket)
    assert done.returncode == 0, done.stderr
    events = len(past.expected["audit_events"])
    assert f"as it was before {past.moment} UTC, with {events} events in its log" in done.stdout
    elsewhere.make_accounts(past.database.name)
    restored = elsewhere.url(past.database.name, f"{past.database.name}_app")
    engine = open_database(restored)
    assert rows_of(engine) == past.expected
    assert any("the last before" in row for row in past.expected["audit_events"])
    assert len(past.expected["predictions"]) == 4
    assert audit.verify(engine, None, None).events == events
    assert len(elsewhere.as_root(f"SHOW TRIGGERS FROM {past.database.name}")) == 2

    folder = past.config.data.parent / "again"
    shutil.copytree(past.config.data, folder)
    monkeypatch.setenv("FL_SITE__DATABASE", restored)
    data = ["--data", str(folder)]
    truncated = CliRunner().invoke(app, ["verify-audit", *data]).exception
    assert str(truncated).endswith(f"the audit log was truncated after event {events}")
    accepted = CliRunner().invoke(app, ["accept-restore", *data])
    assert accepted.exit_code == 0, accepted.output
    assert f"The log is intact up to event {events} and agrees with 1 signed heads." in accepted.output
    assert "1 events after it had been signed and are lost" in accepted.output
    assert CliRunner().invoke(app, ["verify-audit", *data]).exit_code == 0
    with reading(engine) as session:
        last = audit.events(session, after=events)[0]
    assert (last.action, last.body) == ("backup.restored", f'{{"events":{events},"lost":1}}')
    aside = [path for path in (folder / "audit").iterdir() if path.name not in ("checkpoints.jsonl", "verified.json")]
    assert [path.read_bytes() for path in aside] == [(past.config.data / "audit" / "checkpoints.jsonl").read_bytes()]
    again = CliRunner().invoke(app, ["accept-restore", *data])
    assert again.exit_code == 0
    assert "lost" not in again.output
    engine.dispose()


def test_nothing_of_the_database_is_on_the_backup_disk_in_plain(past: Past, deployed: Deployment) -> None:
    files = [path for path in past.backups.database.rglob("*") if path.is_file()]
    sealed = [path for path in files if path.suffix == ".age"]
    assert len(sealed) == 3
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1\n") for path in sealed)
    assert {path.name for path in files} - {path.name for path in sealed} == {
        *(".lock-dump", ".lock-binlogs", "position", "reaches"),
    }
    assert not [path for path in files if MARKER.encode() in path.read_bytes()]
    logs = b"".join(path.read_bytes() for path in (deployed.server.folder / "data").glob("binlog.0*"))
    assert MARKER.encode() in logs  # that it would be found
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert all(past.backups.metric(f"gliofed_{one}_last_success_seconds") for one in ("dump", "binlogs"))


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("before", "No dump in"),
        ("2099-01-01 00:00:00", "reach until"),
        ("yesterday", "is no time"),
        ("2026-13-01 00:00:00", "is no time"),
    ],
)
def test_a_moment_that_is_in_no_backup_is_refused(past: Past, socket: str, until: str, said: str) -> None:
    done = past.backups.restore(past.before if until == "before" else until, SOCKET=socket)
    assert done.returncode == 1
    assert said in done.stderr


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("base.sql.gz.age", cut),
        ("base.sql.gz.age", flip),
        ("binlog.*[0-9].age", cut),
        ("binlog.*[0-9].age", Path.unlink),
        ("binlog.*.open.age", cut),
    ],
)
def test_a_backup_that_is_damaged_is_refused_before_anything_is_written(
    past: Past, elsewhere: Deployment, socket: str, pattern: str, damage: Callable[[Path], None]
) -> None:
    copy = past.backups.copied()
    damaged = next(copy.dumps()[-1].glob(pattern))
    damage(damaged)
    done = copy.restore(past.moment, SOCKET=socket)
    assert done.returncode == 1
    assert "nothing has changed" in done.stderr
    assert elsewhere.as_root("SHOW DATABASES LIKE 'gliofed%'") == []


def test_without_the_right_identity_nothing_opens(past: Past, socket: str) -> None:
    with backups() as others:
        shutil.copy(others.identity, past.backups.folder / "other")
        done = past.backups.restore(past.moment, "other", SOCKET=socket)
    assert done.returncode == 1
    assert "not for this identity; nothing has changed" in done.stderr


def test_a_database_that_is_in_use_is_not_touched(past: Past, deployed: Deployment) -> None:
    events = deployed.as_root(f"SELECT count(*) FROM {past.database.name}.audit_events")
    done = past.backups.restore(past.moment)
    assert done.returncode == 1
    assert "is not empty; nothing has changed" in done.stderr
    assert deployed.as_root(f"SELECT count(*) FROM {past.database.name}.audit_events") == events


def test_a_restore_that_was_ended_in_the_middle_is_taken_for_whole_by_nobody_and_begins_anew(
    past: Past, elsewhere: Deployment, socket: str
) -> None:
    name = past.database.name
    elsewhere.as_root(
        f"CREATE DATABASE {name}", f"CREATE TABLE {name}.restoring (id INT)", f"CREATE TABLE {name}.sites (id INT)"
    )
    done = past.backups.restore(past.moment, SOCKET=socket)
    assert done.returncode == 0, done.stderr
    assert elsewhere.as_root(f"SELECT count(*) FROM {name}.predictions") == [(4,)]
    assert elsewhere.as_root(f"SHOW TABLES FROM {name} LIKE 'restoring'") == []
