"""The coordinator's commands as they are typed: real processes, their exit codes, and what stands on which stream."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from core.clock import now
from core.errors import AccessError, AuditError, ConfigError, FederationError, RecordsError
from core.invitation import read_invitation
from core.records.db import open_database, reading, transaction
from core.records.runs import create_run, run_of
from core.records.tables import Site
from core.study import FederationSettings, Study
from tests.factories_mariadb import MariaDB

PASSPHRASE = "correct horse battery"


def fl_server(home: Path, *arguments: str | Path, passphrase: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"FL_HOME": str(home), "PATH": os.environ["PATH"], "COLUMNS": "120", "TERM": "dumb"}
    if passphrase:
        environment["FL_PASSPHRASE_FILE"] = str(passphrase)
    command = [sys.executable, "-m", "fl_server", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def refused(done: subprocess.CompletedProcess[str], error: type, problem: str) -> None:
    assert done.returncode == error.exit_code, done.stderr
    assert problem in done.stderr
    assert "\nFix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, passphrase: Path) -> Path:
    home = tmp_path_factory.mktemp("coordinator") / "home"
    done = fl_server(home, "init", "127.0.0.1:18443", passphrase=passphrase)
    assert done.returncode == 0, done.stderr
    return home


def study_file(folder: Path, name: str = "s", quorum: int = 1) -> Path:
    study = Study(name=name, federation=FederationSettings(quorum=quorum))
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(study.model_dump(mode="json")))
    return path


def enrolled(home: Path, *names: str) -> None:
    with transaction(open_database(f"sqlite:///{home / 'records.db'}")) as session:
        for name in names:
            if session.get(Site, name) is None:
                session.add(Site(name=name, state="enrolled", invited_at=now(), enrolled_at=now()))


def test_init_makes_keys_that_are_encrypted_and_files_that_are_its_owners_alone(home: Path) -> None:
    for name in ("pki/ca.key", "keys/signing.key"):
        assert "ENCRYPTED" in (home / name).read_text()
    assert not home.stat().st_mode & 0o077
    assert not [path for path in home.rglob("*.key") if path.stat().st_mode & 0o077]


def test_a_second_init_is_refused_and_changes_nothing(home: Path, passphrase: Path) -> None:
    before = (home / "pki" / "ca.crt").read_bytes()
    refused(fl_server(home, "init", "127.0.0.1:18443", passphrase=passphrase), ConfigError, "authority already")
    assert (home / "pki" / "ca.crt").read_bytes() == before


def test_init_on_a_database_server_keeps_its_records_there_and_its_password_to_itself(
    tmp_path: Path, passphrase: Path, mariadb_server: MariaDB
) -> None:
    mariadb = mariadb_server.fresh()
    done = fl_server(tmp_path / "home", "init", "127.0.0.1:1", "--database", mariadb, passphrase=passphrase)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home" / "records.db").exists()
    assert not (tmp_path / "home" / "server.toml").stat().st_mode & 0o077
    assert fl_server(tmp_path / "home", "invite", "north").returncode == 0
    with reading(open_database(mariadb)) as session:
        assert session.get(Site, "north") is not None
    verified = fl_server(tmp_path / "home", "verify")
    assert verified.stdout.startswith("Intact: 2 events")


def test_a_database_that_cannot_be_reached_begins_nothing(tmp_path: Path, passphrase: Path) -> None:
    url = "mysql+pymysql://somebody:hunter2@127.0.0.1:1/records"
    done = fl_server(tmp_path / "home", "init", "127.0.0.1:1", "--database", url, passphrase=passphrase)
    refused(done, RecordsError, "cannot be used")
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "home" / "pki").exists()


def test_without_anybody_to_ask_the_passphrase_is_named_as_missing(tmp_path: Path) -> None:
    refused(fl_server(tmp_path / "new", "init", "127.0.0.1:1"), AccessError, "nobody to ask")
    assert not (tmp_path / "new" / "pki").exists()


@pytest.mark.parametrize(
    ("text", "mode", "problem"), [("short", 0o600, "5 characters"), (PASSPHRASE, 0o644, "Others may read")]
)
def test_a_weak_or_open_passphrase_is_refused_without_repeating_it(
    tmp_path: Path, text: str, mode: int, problem: str
) -> None:
    path = tmp_path / "passphrase"
    path.write_text(text)
    path.chmod(mode)
    done = fl_server(tmp_path / "new", "init", "127.0.0.1:1", passphrase=path)
    refused(done, AccessError, problem)
    assert text not in done.stderr


def test_start_with_a_wrong_passphrase_starts_nothing(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("another horse battery")
    path.chmod(0o600)
    refused(fl_server(home, "start", passphrase=path), AccessError, "passphrase does not open")
    assert not (home / "run" / "processes.json").exists()


def test_a_home_that_is_no_coordinators_is_named(tmp_path: Path, passphrase: Path) -> None:
    refused(fl_server(tmp_path, "start", passphrase=passphrase), ConfigError, "no coordinator's home")


@pytest.mark.parametrize(
    "command",
    [
        *("start", "status", "status --json", "sites", "models", "verify", "invite north", "launch study.toml"),
        *("suspend north", "reinstate north", "revoke north", "stop r", "resume r", "approve v", "retire v"),
    ],
)
def test_where_there_is_no_home_every_command_says_so_asks_for_no_passphrase_and_makes_nothing(
    tmp_path: Path, command: str
) -> None:
    study = study_file(tmp_path)
    empty = tmp_path / "empty"
    arguments = [str(study) if word == "study.toml" else word for word in command.split()]
    refused(fl_server(empty, *arguments), ConfigError, "no coordinator's home")
    assert not empty.exists()


def test_a_wrong_address_is_refused_before_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    refused(fl_server(tmp_path / "new", "init", "bad address:xx"), ConfigError, "address")
    assert not (tmp_path / "new").exists()


def test_an_invitation_is_one_line_and_a_second_one_withdraws_the_first(home: Path) -> None:
    lines = [fl_server(home, "invite", "north").stdout for _ in range(2)]
    assert all(line.count("\n") == 1 for line in lines)
    first, second = map(read_invitation, lines)
    assert (second.site, second.address) == ("north", "127.0.0.1:18443")
    assert first.token != second.token
    (row,) = [row for row in json.loads(fl_server(home, "sites", "--json").stdout) if row["site"] == "north"]
    assert row["state"] == "invited"
    assert "north" in fl_server(home, "sites").stdout


def test_a_site_can_be_suspended_reinstated_and_revoked(home: Path) -> None:
    enrolled(home, "west")
    for command, state in (("suspend", "suspended"), ("reinstate", "enrolled"), ("revoke", "revoked")):
        assert fl_server(home, command, "west").returncode == 0
        rows = {row["site"]: row["state"] for row in json.loads(fl_server(home, "sites", "--json").stdout)}
        assert rows["west"] == state
    refused(fl_server(home, "suspend", "west"), AccessError, "west is revoked")
    refused(fl_server(home, "suspend", "nowhere"), AccessError, "There is no site nowhere")


def test_a_study_is_offered_with_its_rules_in_one_sentence_and_is_pending_in_the_status(
    home: Path, tmp_path: Path
) -> None:
    enrolled(home, "north-1", "south-1")
    path = study_file(tmp_path, "offered", 2)
    done = fl_server(home, "launch", path, "--sites", "north-1, south-1")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 sites within 1 hour, else wait 10 minutes more, then pause and keep what is done" in done.stdout
    assert "Cost: Not projected: no earlier run of the same work tells what a round costs." in done.stdout
    (run,) = [
        run for run in json.loads(fl_server(home, "status", "--json").stdout)["runs"] if run["study"] == "offered"
    ]
    assert (run["state"], run["answers"]) == ("offered", {"north-1": "pending", "south-1": "pending"})
    shown = fl_server(home, "status").stdout
    assert "north-1: pending" in shown
    assert "fl-server start" in shown


def test_too_few_or_strange_sites_are_refused(home: Path, tmp_path: Path) -> None:
    enrolled(home, "north-1")
    few = fl_server(home, "launch", study_file(tmp_path, "few", 9))
    refused(few, ConfigError, "A quorum of 9 can never be reached")
    strange = fl_server(home, "launch", study_file(tmp_path, "few"), "--sites", "north-1,mars")
    refused(strange, ConfigError, "Not enrolled: mars")


def test_a_run_that_cannot_be_stopped_is_named_and_a_stop_is_a_wish(home: Path) -> None:
    records = open_database(f"sqlite:///{home / 'records.db'}")
    for run, state in (("going", "running"), ("gone", "finished")):
        create_run(records, run=run, study="s", folder=str(home), sites=["north"], actor="test", state=state)
    assert fl_server(home, "stop", "going").returncode == 0
    assert run_of(records, "going").wish == "stop"
    refused(fl_server(home, "stop", "gone"), FederationError, "gone is finished")
    refused(fl_server(home, "resume", "never"), FederationError, "no run never")


def test_an_unknown_version_cannot_be_approved(home: Path, passphrase: Path) -> None:
    done = fl_server(home, "approve", "0009-s-abcdef01", passphrase=passphrase)
    assert done.returncode in (8, 9)
    assert "0009-s-abcdef01" in done.stderr
    assert json.loads(fl_server(home, "models", "--json").stdout) == []


def test_verify_names_the_first_event_that_was_changed(home: Path, tmp_path: Path) -> None:
    done = fl_server(home, "verify")
    assert done.returncode == 0
    assert done.stdout.startswith("Intact: ")
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in ("keys", "server.toml", "records.db"):
        subprocess.run(["cp", "-r", str(home / part), str(copy)], check=True)
    with sqlite3.connect(copy / "records.db") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE audit_events SET actor = 'nobody' WHERE seq = 2")
    database.close()
    refused(fl_server(copy, "verify"), AuditError, "2")


def test_help_teaches_every_command(home: Path) -> None:
    overview = fl_server(home, "--help").stdout
    for command in ("init", "start", "invite", "sites", "suspend", "revoke", "launch", "status", "stop", "verify"):
        assert command in overview
        assert fl_server(home, command, "--help").returncode == 0
