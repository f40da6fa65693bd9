"""A backup comes back whole or not at all, into nothing but what is empty, and whoever was erased stays erased."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.errors import AuditError, ConfigError, FLError, RecordsError
from core.records.copying import Page
from core.records.db import open_database, reading, transaction
from core.records.web_tables import Prediction, Tally
from tests.webapp.factories_sealed import (
    NAME,
    NUMBER,
    a_filled_server,
    a_new_machine,
    a_prediction,
    a_server,
    is_empty,
    rows_of,
    sign_heads,
    tree,
)
from webapp import backup, log, restore
from webapp.backup import make_backup
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.erasure import erase
from webapp.journal import note
from webapp.key_export import export_keys, import_keys, read_export
from webapp.rotation import rotate
from webapp.serving import load_web
from webapp.vault import Vault, write_keys

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "five words that nobody guesses"


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webapp", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, input=""
    )


def test_the_machine_burns_down_and_the_safe_holds_the_keys(
    file: Path, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    export_keys(config.keys_path, tmp_path / "safe", PASSPHRASE)
    shutil.rmtree(config.data)
    data = tmp_path / "new"
    import_keys(data / "keys" / "web-keys.json", read_export(tmp_path / "safe", PASSPHRASE))
    (data / "web.toml").write_text(f"[site]\ndatabase = {json.dumps(empty)}\n")
    assert restore.restore(file, data).readable.values == 16
    new = load_web(data)
    copy = open_database(new.database_url)
    with reading(copy) as session:
        row = session.get_one(Prediction, f"{1:032x}")
        assert row.result_sealed
        assert Vault(new.keys_path).open_json(row.result_sealed, f"predictions.result/{row.id}") == {
            "verdict": "usable"
        }
    assert {path.name for path in data.iterdir()} - {"records.db"} == {"audit", "files", "keys", "web.toml"}
    assert {
        path.stat().st_mode & 0o077
        for path in data.rglob("*")
        if path.name not in ("web.toml", "audit.pub", "keys.lock")
    } == {0}
    copy.dispose()


def test_who_was_erased_after_the_backup_is_erased_again_before_anybody_is_served(
    file: Path, engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    erase(engine, config, Vault(config.keys_path), f"{NUMBER}-1", by="ada")
    data = a_new_machine(config, tmp_path / "new", empty)
    done = restore.restore(file, data)
    assert (done.erased, done.patients, done.predictions) == (1, 2, 3)
    new = load_web(data)
    copy = open_database(empty)
    with reading(copy) as session:
        row = session.get_one(Prediction, f"{1:032x}")
        assert (row.patient, row.file_key_sealed, row.draft_sealed, row.result_sealed) == (None, None, None, None)
        assert row.tumor_probability is not None, "as the log tells it"
    assert not (new.files / f"{1:032x}").exists()
    assert (new.files / f"{2:032x}").exists()
    signer = head_signer(new)
    log.verify(copy, signer.checkpoints, signer.public)
    rows = rows_of(copy)
    assert [row[3] for row in rows["audit_events"][-2:]] == ["patient.erased", "backup.restored"]
    copy.dispose()
    stored = {**tree(data), "rows": repr(rows).encode()}
    if empty.startswith("sqlite"):
        stored["database"] = (tmp_path / "empty.db").read_bytes()
        # Not even what was sealed is left in a free page: the old server's row, as the backup holds it, is gone.
        old = Vault(config.keys_path)
        assert all(_sealed_of(file, config, f"{1:032x}")), old.keys
        for sealed in _sealed_of(file, config, f"{1:032x}"):
            assert sealed not in stored["database"]
    assert [name for name, content in stored.items() if NAME.encode() in content or NUMBER.encode() in content] == []


def _sealed_of(file: Path, config: WebConfig, prediction: str) -> list[bytes]:
    """What a backup holds sealed of a prediction."""
    key = backup.backup_key(config.keys_path)
    for part in backup.parts_of(file, key):
        if part.name == "table/predictions":
            rows = [row for page in backup.pages_in(part) for row in page.rows if prediction in row]
            return [value for row in rows for value in row if isinstance(value, bytes)]
    raise AssertionError


def test_the_backups_own_list_of_the_erased_counts_too(
    engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    """A list that was lost with the machine is in its later backups, and comes back into the list beside the keys."""
    vault = a_filled_server(engine, config)
    data = a_new_machine(config, tmp_path / "new", empty)
    erase(engine, config, vault, f"{NUMBER}-1", by="ada")
    make_backup(config, tmp_path / "web.backup")
    listed = config.keys_path.with_name("erased.txt").read_text()
    shutil.copy(config.keys_path.with_name("backup.key"), data / "keys" / "backup.key")
    shutil.copy(config.keys_path.with_name("audit.key"), data / "keys" / "audit.key")
    restore.restore(tmp_path / "web.backup", data)
    assert (data / "keys" / "erased.txt").read_text() == listed


@pytest.mark.parametrize("there", ["records.db", "files", "audit", "notes.txt", "logs"])
def test_a_folder_that_is_not_empty_is_refused_and_stays(
    file: Path, config: WebConfig, tmp_path: Path, there: str
) -> None:
    data = a_new_machine(config, tmp_path / "new")
    (data / there).write_text("somebody's")
    with pytest.raises(ConfigError, match=f"is not empty: it has {there}"):
        restore.restore(file, data)
    assert tree(data) == {there: b"somebody's"}


def test_a_database_that_is_not_empty_is_refused_and_stays(
    file: Path, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    other = open_database(empty)
    with transaction(other) as session:
        session.add(Tally(name="alive", value=1.0))
    data = a_new_machine(config, tmp_path / "new", empty)
    before = tree(data)
    with pytest.raises(RecordsError, match="is not empty: it has tallies"):
        restore.restore(file, data)
    assert tree(data) == before
    assert rows_of(other)["tallies"] == [("alive", 1.0)]
    other.dispose()


def test_what_cannot_be_relied_on_is_refused_before_anything_is_written(
    file: Path, config: WebConfig, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = a_new_machine(config, tmp_path / "new", empty)
    before = tree(data)

    def refused(problem: str, kind: type[FLError] = RecordsError) -> None:
        for work in (restore.restore, restore.drill):
            with pytest.raises(kind, match=problem):
                work(file, data)
        assert tree(data) == before
        assert is_empty(empty)

    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    refused("damaged or cut off")
    file.write_bytes(whole[:5000] + b"x" + whole[5001:])
    refused("damaged or cut off")
    file.write_bytes(b"PK" + whole)
    refused("is no backup")
    file.write_bytes(whole)
    monkeypatch.setattr(backup, "HEAD", "0004")
    refused("newer release")
    monkeypatch.undo()
    keys = data / "keys" / "web-keys.json"
    kept = {path.name: path.read_bytes() for path in keys.parent.iterdir()}
    write_keys(keys, Vault(keys).keys.__class__({1: b"1" * 32}, Vault(keys).keys.hashing))
    refused("needs keys that are not here: 1")
    write_keys(keys, Vault(keys).keys.__class__({1: b"1" * 32}, b"h" * 32))
    refused("needs keys that are not here: hashing, 1")
    keys.write_bytes(kept["web-keys.json"])
    (data / "keys" / "audit.key").unlink()
    refused("signed the log's heads is not here")
    (data / "keys" / "audit.key").write_bytes(kept["audit.key"])
    (data / "keys" / "backup.key").write_text("00" * 32)
    refused("encrypted with another backup key")
    (data / "keys" / "backup.key").unlink()
    refused("holds no backup key", ConfigError)
    (data / "keys" / "backup.key").write_bytes(kept["backup.key"])
    restore.restore(file, data)


def test_a_backup_from_before_a_rotation_needs_the_keys_from_before(
    file: Path, engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    export_keys(config.keys_path, tmp_path / "safe", PASSPHRASE)
    rotate(engine, config.keys_path)
    data = a_new_machine(config, tmp_path / "new", empty)
    with pytest.raises(RecordsError, match="needs keys that are not here: 1"):
        restore.restore(file, data)
    import_keys(data / "keys" / "web-keys.json", read_export(tmp_path / "safe", PASSPHRASE))
    restore.restore(file, data)
    copy = open_database(empty)
    done = rotate(copy, data / "keys" / "web-keys.json")
    assert (done.newest, done.removed, done.values) == (2, (1,), 16)
    copy.dispose()


def test_a_log_that_is_shorter_than_its_signed_heads_is_noticed(
    engine: Engine, config: WebConfig, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with the keys takes the last event out of a backup, and mends the head's row to fit."""
    a_filled_server(engine, config)
    sign_heads(engine, config)
    real = backup.pages_out

    def shortened(session: Any) -> Any:
        last = None
        for page in real(session):
            if page.table == "audit_events" and page.rows:
                last = page.rows[-2]
                page = Page(page.table, page.columns, page.rows[:-1])
            if page.table == "audit_head" and page.rows and last:
                page = Page(page.table, page.columns, [(1, last[0], last[6], 1)])
            yield page

    monkeypatch.setattr(backup, "pages_out", shortened)
    make_backup(config, tmp_path / "web.backup")
    data = a_new_machine(config, tmp_path / "new", empty)
    with pytest.raises(AuditError, match="Event 4 of the audit log was removed"):
        restore.restore(tmp_path / "web.backup", data)
    assert is_empty(empty)
    assert tree(data).keys() == {"web.toml"}
    with pytest.raises(AuditError, match="Event 4"):
        restore.drill(tmp_path / "web.backup", data)


def test_what_the_lost_server_had_signed_after_the_backup_is_told_and_noted(
    file: Path, engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    a_prediction(engine, config, Vault(config.keys_path), 7)
    sign_heads(engine, config)  # events 1 to 4, the backup's own, and this one
    data = a_new_machine(config, tmp_path / "new", empty)
    assert restore.restore(file, data, heads=head_signer(config).checkpoints).lost == 2
    copy = open_database(empty)
    told = json.loads(rows_of(copy)["audit_events"][-1][4])  # type: ignore[arg-type]
    assert (told["events"], told["lost"]) == (4, 2)
    copy.dispose()


def test_signed_heads_of_another_log_are_refused(
    file: Path, engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    other = a_server(tmp_path / "other", f"sqlite:///{tmp_path / 'other.db'}")
    a_new_machine(config, other.data)
    strange = open_database(other.database_url)
    with transaction(strange) as session:
        note(session, "ada", "user.created")
    sign_heads(strange, other)
    strange.dispose()
    data = a_new_machine(config, tmp_path / "new", empty)
    with pytest.raises(AuditError, match="Event 1 of the backup is not what the lost server signed"):
        restore.restore(file, data, heads=head_signer(other).checkpoints)
    assert is_empty(empty)


def test_the_folders_own_settings_go_before_the_backups(
    engine: Engine, config: WebConfig, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.data / "web.toml").write_text("[limits]\nqueue = 7\n")
    (config.data / "tls").mkdir()
    (config.data / "tls" / "key.pem").write_text("old")
    a_filled_server(engine, config)
    make_backup(config, tmp_path / "web.backup")
    monkeypatch.setenv("FL_SITE__DATABASE", empty)
    data = a_new_machine(config, tmp_path / "one")
    restore.restore(tmp_path / "web.backup", data)
    assert load_web(data).limits.queue == 7
    assert (data / "tls" / "key.pem").read_text() == "old"

    monkeypatch.delenv("FL_SITE__DATABASE")
    data = a_new_machine(config, tmp_path / "two")
    (data / "web.toml").write_text("[limits]\nqueue = 8\n")
    (data / "tls").mkdir()
    (data / "tls" / "key.pem").write_text("new")
    restore.restore(tmp_path / "web.backup", data)
    assert load_web(data).limits.queue == 8
    assert (data / "tls" / "key.pem").read_text() == "new"
    assert (data / "records.db").exists()


def test_a_drill_does_it_all_and_leaves_nothing(
    file: Path, engine: Engine, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    erase(engine, config, Vault(config.keys_path), f"{NUMBER}-1", by="ada")
    before = tree(config.data)
    for database in ("", empty):
        done = restore.drill(file, config.data, database)
        assert (done.about.events, done.predictions, done.patients, done.erased) == (4, 3, 2, 1)
        assert {name: content for name, content in tree(config.data).items() if "records.db" not in name} == {
            name: content for name, content in before.items() if "records.db" not in name
        }
        assert not (config.data / "scratch").exists()
        assert is_empty(empty)
    with pytest.raises(RecordsError, match="is not empty"):
        restore.drill(file, config.data, config.database_url)
    assert rows_of(engine)["users"]


def test_a_drill_notices_a_file_and_a_value_that_do_not_open(engine: Engine, config: WebConfig, tmp_path: Path) -> None:
    """They were damaged before the backup was made, which keeps what it finds."""
    a_filled_server(engine, config)
    path = config.files / f"{1:032x}" / "rtumor"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    make_backup(config, tmp_path / "one")
    with pytest.raises(RecordsError, match=f"rtumor of the prediction {1:032x} was changed or cut off"):
        restore.drill(tmp_path / "one", config.data)
    path.write_bytes(whole)
    with transaction(engine) as session:
        row = session.get_one(Prediction, f"{1:032x}")
        row.result_sealed = row.draft_sealed
    make_backup(config, tmp_path / "two")
    with pytest.raises(RecordsError, match=r"sealed value of predictions\.result was changed or moved"):
        restore.drill(tmp_path / "two", config.data)


def test_the_commands_tell_what_they_did_and_exit_codes_say_if_a_backup_can_be_relied_on(
    engine: Engine, config: WebConfig, database: str, tmp_path: Path
) -> None:
    a_filled_server(engine, config)
    (config.data / "web.toml").write_text(f"[site]\ndatabase = {json.dumps(database)}\n")
    done = run("backup", "--data", config.data, "--to", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "Written and read again" in done.stdout
    assert "up to event 4" in done.stdout
    assert "Warning: these keys were never exported" in done.stdout
    done = run("restore", tmp_path / "b", "--data", config.data, "--drill")
    assert done.returncode == 0, done.stderr
    assert "can be relied on" in done.stdout
    assert "4 events" in done.stdout
    assert "3 predictions, 3 patients" in done.stdout
    done = run("rotate-keys", "--data", config.data)
    assert "16 values were sealed anew, all with key 2 now" in done.stdout, done.stderr
    done = run("restore", tmp_path / "b", "--data", config.data, "--drill")
    assert done.returncode == RecordsError.exit_code
    assert done.stderr.strip().splitlines()[-2].startswith("Problem: The backup needs keys that are not here: 1")
    done = run("restore", tmp_path / "b", "--data", config.data)
    assert done.returncode in (ConfigError.exit_code, RecordsError.exit_code)
    assert "Traceback" not in done.stderr


def test_web_processes_that_keep_never_load_torch() -> None:
    code = "import sys, webapp.restore, webapp.rotation, webapp.backup; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_half_restored_server_is_named_by_every_command(file: Path, config: WebConfig, tmp_path: Path) -> None:
    data = a_new_machine(config, tmp_path / "new")
    (data / ".restoring").write_text("keys\n")
    for command in (["run"], ["verify-audit"], ["backup", "--to", tmp_path / "b"]):
        done = run(*command, "--data", data)
        assert done.returncode == ConfigError.exit_code
        assert "A backup is being restored into" in done.stderr
