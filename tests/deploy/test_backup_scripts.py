"""The nightly scripts: what fails leaves the older backups and an exit code, and what is kept is what should be."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.records.db import open_database
from tests.deploy.factories_backups import Backups, backups, database_backups, next_second
from tests.deploy.factories_database import DEPLOY, Database, Deployment
from tests.webapp.factories_sealed import a_filled_server, a_server, sign_heads

ROOT = DEPLOY.parent


@pytest.fixture
def dumped(deployed: Deployment, made: Database) -> Iterator[Backups]:
    """Backups that have one dump."""
    with database_backups(deployed, made.name) as ready:
        done = ready.run("dump.sh")
        assert done.returncode == 0, done.stderr
        yield ready


def stand_in(backups: Backups, program: str, code: str) -> str:
    """A PATH with a program that does what the code says."""
    folder = backups.folder / "stand-ins"
    folder.mkdir()
    (folder / program).write_text(f"#!/bin/sh\n{code}\n")
    (folder / program).chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("mariadb-dump", '/usr/bin/mariadb-dump "$@" | head -n 40'),  # a connection that breaks, and ends with 0
        ("mariadb-dump", '/usr/bin/mariadb-dump "$@"; exit 2'),
        ("mariadb-dump", "/usr/bin/mariadb-dump \"$@\" | grep -v 'CHANGE MASTER'"),
        ("age", "cat >/dev/null; exit 1"),
        ("gzip", "head -c 100; exit 1"),
    ],
)
def test_a_dump_that_fails_leaves_the_older_ones_and_does_not_count(dumped: Backups, program: str, code: str) -> None:
    before, told = tree(dumped.database), dumped.metric("gliofed_dump_last_success_seconds")
    done = dumped.run("dump.sh", PATH=stand_in(dumped, program, code))
    assert done.returncode != 0
    assert tree(dumped.database) == before | {".lock-dump": b""}
    assert list(dumped.database.glob(".partial*")) == []
    assert dumped.metric("gliofed_dump_last_success_seconds") == told


def test_a_server_that_is_down_leaves_the_older_ones(dumped: Backups) -> None:
    before = tree(dumped.database)
    for script in ("dump.sh", "binlogs.sh"):
        done = dumped.with_settings(SOCKET="/nonexistent").run(script)
        assert done.returncode != 0
        assert "Can't connect to local server" in done.stderr
    assert tree(dumped.database) == before


def test_the_next_dump_leaves_no_gap_behind_the_one_before(dumped: Backups, deployed: Deployment) -> None:
    deployed.as_root("FLUSH BINARY LOGS")
    next_second()  # a dump is named by it
    assert dumped.run("dump.sh").returncode == 0
    older, newer = dumped.dumps()
    reached = int((older / "reaches").read_text())
    first = (newer / "position").read_text().split()[0]
    assert (older / f"{first}.open.age").exists() or (older / f"{first}.age").exists()
    assert reached <= int((newer / "reaches").read_text())


def test_a_log_that_mariadb_has_ended_is_copied_once_and_the_newest_anew(dumped: Backups, deployed: Deployment) -> None:
    (folder,) = dumped.dumps()
    (opened,) = [path.name for path in folder.glob("*.open.age")]
    deployed.as_root("FLUSH BINARY LOGS")
    assert dumped.run("binlogs.sh").returncode == 0
    ended = folder / opened.replace(".open", "")
    assert not (folder / opened).exists()
    content = ended.read_bytes()
    assert len(list(folder.glob("*.open.age"))) == 1
    assert dumped.run("binlogs.sh").returncode == 0
    assert ended.read_bytes() == content  # age never writes the same twice


def test_logs_that_mariadb_has_no_more_or_begun_anew_are_told(dumped: Backups, deployed: Deployment) -> None:
    (folder,) = dumped.dumps()
    first = (folder / "position").read_text().split()[0]
    deployed.as_root("FLUSH BINARY LOGS")
    assert dumped.run("binlogs.sh").returncode == 0
    (folder / "binlog.999999.age").write_bytes(b"of another server")
    done = dumped.run("binlogs.sh")
    assert done.returncode == 1
    assert "were begun anew: binlog.999999 is copied" in done.stderr
    (folder / "binlog.999999.age").unlink()
    # MariaDB keeps a log without a word for as long as it has not noticed that its reader is gone.
    while first in {row[0] for row in deployed.as_root("SHOW BINARY LOGS")}:
        deployed.as_root(f"PURGE BINARY LOGS TO '{first[:-6]}{int(first[-6:]) + 1:06}'")
    done = dumped.run("binlogs.sh")
    assert done.returncode == 1
    assert f"MariaDB has no longer {first}" in done.stderr
    assert "systemctl start gliofed-dump" in done.stderr
    next_second()
    assert dumped.run("dump.sh").returncode == 0  # which is the way out
    assert len(dumped.dumps()) == 2


def test_a_disk_that_is_not_mounted_is_told_and_not_filled(dumped: Backups) -> None:
    done = dumped.with_settings(BACKUPS=str(dumped.folder / "away")).run("dump.sh")
    assert done.returncode == 1
    assert "Mount the disk" in done.stderr


@pytest.mark.parametrize(
    ("days", "weeks", "kept"),
    [
        # 27 November 2026 is a Friday; the 22nd and the 15th are Sundays.
        (2, 3, ["15-020000", "22-020000", "26-020000", "27-020000", "27-140000"]),
        (1, 0, ["27-020000", "27-140000"]),
        (3, 0, ["25-020000", "26-020000", "27-020000", "27-140000"]),
        (1, 4, ["08-020000", "15-020000", "22-020000", "27-020000", "27-140000"]),
        (99, 99, None),
    ],
)
def test_what_is_pruned_is_neither_of_the_last_days_nor_the_last_of_a_week(
    tmp_path: Path, days: int, weeks: int, kept: list[str] | None
) -> None:
    names = [
        "27-140000",
        "27-020000",
        "26-020000",
        "25-020000",
        "22-020000",
        "21-020000",
        "15-020000",
        "09-020000",
        "08-020000",
    ]
    folder = tmp_path / "made"
    folder.mkdir()
    for name in names:
        (folder / f"2026-11-{name}").mkdir()
    (folder / "something else").mkdir()
    settings = tmp_path / "backup.env"
    settings.write_text((DEPLOY / "backup" / "backup.env").read_text() + f"KEEP_DAYS={days}\nKEEP_WEEKS={weeks}\n")
    code = f". {DEPLOY}/backup/keeping.sh; prune {folder} '20*'"
    subprocess.run(["bash", "-c", code], env={"SETTINGS": str(settings), "PATH": "/usr/bin:/bin"}, check=True)
    left = sorted(path.name.removeprefix("2026-11-") for path in folder.iterdir())
    assert left == [*(kept or sorted(names)), "something else"]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Backups]:
    """A filled server, and backups of it by fl-web."""
    config = a_server(tmp_path, f"sqlite:///{tmp_path / 'data' / 'records.db'}")
    engine = open_database(config.database_url)
    a_filled_server(engine, config)
    sign_heads(engine, config)
    engine.dispose()
    with backups(DATA=str(config.data), PROGRAM=str(tmp_path / "bin")) as ready:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "fl-web").write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m webapp "$@"\n')
        (tmp_path / "bin" / "fl-web").chmod(0o755)
        yield replace(ready, account="")


def test_a_night_makes_a_backup_tries_it_and_tells_prometheus_when(web: Backups) -> None:
    done = web.run("backup.sh")
    assert done.returncode == 0, done.stderr
    assert "Written and read again" in done.stdout
    assert "The backup can be relied on" in done.stdout
    folder = web.folder / "backups" / "web"
    assert len(list(folder.glob("20*.backup"))) == 1
    assert 0 < web.metric("gliofed_backup_last_success_seconds") <= web.metric("gliofed_drill_last_success_seconds")
    told = sorted((web.folder / "metrics").iterdir())
    for path in told:
        (family,) = text_string_to_metric_families(path.read_text())
        assert (f"{family.name}.prom", family.type, len(family.samples)) == (path.name, "gauge", 1)
        assert path.stat().st_mode & 0o777 == 0o644
        path.unlink()
    assert len(told) == 2

    (folder / "2099-01-01-000000.backup").write_bytes(b"cut off")  # the newest, for ever
    assert web.run("backup.sh").returncode != 0
    assert len(list(folder.glob("20*.backup"))) == 3
    assert [path.name for path in (web.folder / "metrics").iterdir()] == ["gliofed_backup_last_success_seconds.prom"]


def test_a_backup_that_cannot_be_made_leaves_the_older_ones_and_tells_nothing(web: Backups) -> None:
    folder = web.folder / "backups" / "web"
    (folder / "2026-01-01-013000.backup").write_bytes(b"an older one")
    (Path(web.settings["DATA"]) / "keys" / "web-keys.json").unlink()
    assert web.run("backup.sh").returncode != 0
    assert [path.name for path in folder.glob("*.backup")] == ["2026-01-01-013000.backup"]
    assert list((web.folder / "metrics").iterdir()) == []
