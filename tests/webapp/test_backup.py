"""A server's whole state in one encrypted file, taken while it serves, which shows nothing and hides no damage."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from core.errors import ConfigError, RecordsError
from core.records import audit
from core.records.db import open_database, reading
from core.records.tables import AuditEvent
from tests.factories_mariadb import MariaDB
from tests.killed import in_a_process
from tests.webapp.factories_sealed import (
    NAME,
    NUMBER,
    a_filled_server,
    a_new_machine,
    a_prediction,
    a_server,
    rows_of,
    sign_heads,
    tree,
)
from webapp import backup, log
from webapp.backup import look_through, make_backup
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.key_export import known_backup_key
from webapp.restore import restore
from webapp.rotation import keys_held
from webapp.sealed_files import FRAME
from webapp.serving import load_web
from webapp.vault import Vault

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, database: str) -> WebConfig:
    return a_server(tmp_path, database)


def a_backup(engine: Engine, config: WebConfig, folder: Path) -> tuple[Path, bytes]:
    a_filled_server(engine, config)
    sign_heads(engine, config)
    make_backup(config, folder / "web.backup")
    return folder / "web.backup", known_backup_key(config.keys_path)


def test_all_that_a_server_holds_comes_back_into_an_empty_mariadb(
    engine: Engine, config: WebConfig, tmp_path: Path, mariadb_server: MariaDB
) -> None:
    a_filled_server(engine, config)
    sign_heads(engine, config)
    (config.data / "tls").mkdir()
    (config.data / "tls" / "certificate.pem").write_text("a certificate")
    rows, files = rows_of(engine), tree(config.files)
    checkpoints = head_signer(config).checkpoints.read_bytes()
    about, counts = make_backup(config, tmp_path / "web.backup")
    assert (about.events, counts.files) == (4, 3)
    with reading(engine) as session:
        told = session.scalars(select(AuditEvent).where(AuditEvent.action == "backup.made")).one()
    assert json.loads(told.body) == {"events": 4, "files": 3, "size": (tmp_path / "web.backup").stat().st_size}

    data = a_new_machine(config, tmp_path / "new", mariadb_server.fresh())
    told_of: list[tuple[str, int, int]] = []
    done = restore(tmp_path / "web.backup", data, report=lambda *step: told_of.append(step))
    assert (done.about, done.checkpoints, done.predictions, done.patients, done.erased) == (about, 1, 3, 3, 0)
    assert (done.readable.values, done.readable.files) == (1 + 3 + 9 + 3, 3)
    assert ("restoring", sum(counts.rows.values()) + 3, sum(counts.rows.values()) + 3) in told_of
    new = load_web(data)
    copy = open_database(new.database_url)
    again = rows_of(copy)
    (restored,) = again["audit_events"][4:]
    assert restored[3] == "backup.restored"
    for name in ("audit_events", "log_entries"):
        again[name] = again[name][:4]
    again["audit_head"], rows["audit_head"] = [], []
    assert again == rows
    assert tree(new.files) == files
    assert head_signer(new).checkpoints.read_bytes() == checkpoints
    assert (data / "tls" / "certificate.pem").read_text() == "a certificate"
    signer = head_signer(new)
    assert log.verify(copy, signer.checkpoints, signer.public).events == 5
    sign_heads(copy, new)
    assert log.verify(copy, signer.checkpoints, signer.public).checkpoints == 2
    copy.dispose()


def test_a_backup_while_four_write_is_one_state_of_the_server(
    engine: Engine, config: WebConfig, database: str, tmp_path: Path, mariadb_server: MariaDB
) -> None:
    a_filled_server(engine, config)
    command = [sys.executable, "-m", "tests.webapp.writing_sealed", str(config.data), database]
    others = [
        subprocess.Popen([*command, first], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for first in ("5000", "9000")
    ]
    for other in others:
        assert other.stdout
        assert other.stdout.readline() == "writing\n"
    stopping, wrong = threading.Event(), list[BaseException]()

    def write(first: int) -> None:
        mine, vault = open_database(database), Vault(config.keys_path)
        try:
            while not stopping.wait(0.02):
                a_prediction(mine, config, vault, first, f"{NUMBER}-{first}")
                sign_heads(mine, config)  # signed heads too are younger than the state that is taken
                first += 1
        except BaseException as error:  # noqa: BLE001 (a thread's edge)
            wrong.append(error)
        finally:
            mine.dispose()

    threads = [threading.Thread(target=write, args=(first,)) for first in (20_000, 30_000)]
    for thread in threads:
        thread.start()
    about, counts = make_backup(config, tmp_path / "web.backup")
    stopping.set()
    for thread in threads:
        thread.join()
    written = [int(other.communicate("stop\n")[0]) for other in others]
    assert not wrong
    assert min(written) > 0
    assert counts.files == counts.rows["predictions"] == counts.rows["feedback"]

    data = a_new_machine(config, tmp_path / "new", mariadb_server.fresh())
    restore(tmp_path / "web.backup", data)
    copy = open_database(load_web(data).database_url)
    with reading(engine) as session, reading(copy) as restored:
        query = select(AuditEvent.hash).where(AuditEvent.seq == about.events)
        assert session.scalar(query) == restored.scalar(query)
        assert audit.events(session, after=about.events)[0].hash != audit.events(restored, after=about.events)[0].hash
    signer = head_signer(load_web(data))
    assert log.verify(copy, signer.checkpoints, signer.public).events == about.events + 1
    copy.dispose()


def test_nothing_that_is_stored_shows_a_name_or_a_record_number(
    engine: Engine, config: WebConfig, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Looked for in the backup, in all rows, and in the database's own files, free pages and logs included."""
    path, _ = a_backup(engine, config, tmp_path)
    stored = {**tree(config.data), "backup": path.read_bytes(), "rows": repr(rows_of(engine)).encode()}
    if engine.dialect.name != "sqlite":
        server: MariaDB = request.getfixturevalue("mariadb_server")
        stored |= {name: content for name, content in tree(server.folder / "data").items() if "gliofed" in name}
        assert any(name.endswith("patients.ibd") for name in stored)
    for planted in (NAME, NUMBER, NAME.partition("^")[0]):
        for form in (planted.encode(), planted.encode("utf-16-le"), planted.encode().hex().encode()):
            assert [name for name, content in stored.items() if form in content] == []
    assert "anna" in stored["rows"].decode(), "the search finds what is there"


def test_a_backup_holds_no_key(engine: Engine, config: WebConfig, tmp_path: Path) -> None:
    path, key = a_backup(engine, config, tmp_path)
    clear = b"".join(piece for part in backup.parts_of(path, key) for piece in part.pieces)
    keys = Vault(config.keys_path).keys
    for secret in (*keys.sealing.values(), keys.hashing, key):
        assert secret not in clear
        assert secret.hex().encode() not in clear
    assert b"PRIVATE KEY" not in clear


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    config = a_server(tmp_path, f"sqlite:///{tmp_path / 'records.db'}")
    engine = open_database(config.database_url)
    path, key = a_backup(engine, config, tmp_path)
    whole = path.read_bytes()
    look_through(path, key)
    for place in [*range(100), *range(100, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RecordsError):
            look_through(path, key)
    for length in [0, 1, 20, 36, 37, 60, 68, 69, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(RecordsError):
            look_through(path, key)
    path.write_bytes(whole + b"\0")
    with pytest.raises(RecordsError, match="damaged or cut off"):
        look_through(path, key)


def test_a_backup_cut_off_between_two_frames_is_noticed(tmp_path: Path) -> None:
    config = a_server(tmp_path, f"sqlite:///{tmp_path / 'records.db'}")
    (config.data / "tls").mkdir()
    (config.data / "tls" / "large.pem").write_bytes(os.urandom(3 * FRAME))
    path, key = a_backup(open_database(config.database_url), config, tmp_path)
    whole, clear = path.read_bytes(), 37 + 32
    for frames in (1, 2, 3):
        path.write_bytes(whole[: clear + frames * (FRAME + 16)])
        with pytest.raises(RecordsError, match="damaged or cut off"):
            look_through(path, key)


def test_an_existing_file_is_never_replaced_and_a_rotation_is_waited_for(
    engine: Engine, config: WebConfig, tmp_path: Path
) -> None:
    path, _ = a_backup(engine, config, tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="already"):
        make_backup(config, path)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="There is no folder"):
        make_backup(config, tmp_path / "not mounted" / "b")
    assert not (tmp_path / "not mounted").exists()
    with keys_held(config.keys_path), pytest.raises(RecordsError, match="Another process rotates the keys"):
        make_backup(config, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_read_again_gets_no_name(
    engine: Engine, config: WebConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps something else than what was written."""
    real = backup.BackupWriter.close

    def close(self: backup.BackupWriter) -> None:
        real(self)
        (partial,) = tmp_path.glob(".*.partial-web.backup")
        content = bytearray(partial.read_bytes())
        content[-1000] ^= 1
        partial.write_bytes(content)

    monkeypatch.setattr(backup.BackupWriter, "close", close)
    with pytest.raises(RecordsError, match="damaged or cut off"):
        a_backup(engine, config, tmp_path)
    assert not list(tmp_path.glob("*web.backup"))


def test_a_killed_backup_leaves_no_backup_and_the_next_one_clears_it_away(
    engine: Engine, config: WebConfig, tmp_path: Path
) -> None:
    a_filled_server(engine, config)
    for function in ("_write_file", "look_through", "asdict", "_by_table"):

        def backed_up(function: str = function) -> None:
            _die_in(function)
            make_backup(config, tmp_path / "web.backup")

        assert in_a_process(backed_up) == -signal.SIGKILL
        assert not (tmp_path / "web.backup").exists()
    assert list(tmp_path.glob(".*.partial-web.backup")), "that is what a kill leaves"
    make_backup(config, tmp_path / "web.backup")
    assert not list(tmp_path.glob(".*.partial-web.backup"))
    look_through(tmp_path / "web.backup", known_backup_key(config.keys_path))


def _die_in(function: str) -> None:  # pragma: no cover
    def die(*_arguments: object, **_named: object) -> Callable[..., object]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    setattr(backup, function, die)
