"""Keys are rotated while others read and write, whatever ends the process, on SQLite and on a real MariaDB."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from core.errors import RecordsError
from core.records import audit
from core.records.db import open_database, reading, transaction
from core.records.tables import Base
from core.records.web_tables import Patient, Prediction
from tests.webapp.factories_sealed import NAME, NUMBER, a_filled_server, a_prediction, a_server
from webapp.config import WebConfig
from webapp.patients import find_patient, identity_of
from webapp.rotation import keys_held, rotate
from webapp.sealed_columns import SEALED
from webapp.vault import Vault, number_of, read_keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, database: str) -> WebConfig:
    return a_server(tmp_path, database)


def numbers_in(engine: Engine) -> set[int]:
    """The numbers of all keys that anything is sealed with."""
    return {number_of(value) for sealed in SEALED for page in sealed.pages(engine) for _, value in page}


def open_all(engine: Engine, vault: Vault) -> list[bytes]:
    return [
        vault.open(value, sealed.place_of(key))
        for sealed in SEALED
        for page in sealed.pages(engine, size=2)
        for key, value in page
    ]


def actions(engine: Engine) -> list[tuple[str, dict[str, object]]]:
    with reading(engine) as session:
        return [(one.action, json.loads(one.body)) for one in audit.events(session) if one.action.startswith("keys.")]


def test_every_sealed_column_of_the_database_is_rotated() -> None:
    named = {column for table in Base.metadata.tables.values() for column in table.columns if "sealed" in column.name}
    assert {sealed.table.c[sealed.column.key] for sealed in SEALED} == named


def test_everything_is_sealed_with_the_new_key_and_the_old_one_is_gone(engine: Engine, config: WebConfig) -> None:
    vault = a_filled_server(engine, config)
    before, old = open_all(engine, vault), read_keys(config.keys_path)
    told: list[tuple[str, int, int]] = []
    rotated = rotate(engine, config.keys_path, lambda *step: told.append(step))
    assert (rotated.newest, rotated.removed, rotated.resumed) == (2, (1,), False)
    assert rotated.values == len(before) == 1 + 3 + 3 * 3 + 3
    assert numbers_in(engine) == {2}
    assert told[-1] == ("feedback.comment", 3, 3)
    after = read_keys(config.keys_path)
    assert after.sealing.keys() == {2}
    assert after.sealing[2] != old.sealing[1]
    assert after.hashing == old.hashing
    assert open_all(engine, Vault(config.keys_path)) == before
    with reading(engine) as session:
        patient = find_patient(session, vault, f"{NUMBER}-1")
        assert patient is not None
        assert identity_of(vault, patient) == {"record_number": f"{NUMBER}-1", "name": NAME}
    assert actions(engine) == [
        ("keys.made", {"newest": 2}),
        ("keys.rotated", {"newest": 2, "removed": [1], "values": 16}),
    ]


def test_a_process_that_has_read_before_still_opens_what_it_has_read(engine: Engine, config: WebConfig) -> None:
    """A request reads its row, then everything is rotated, then the request opens what it has read."""
    vault = a_filled_server(engine, config, 1)
    read = [(value, s.place_of(key)) for s in SEALED for page in s.pages(engine) for key, value in page]
    rotate(engine, config.keys_path)
    assert all(vault.open(value, place) for value, place in read)
    with pytest.raises(RecordsError, match="needs a key that is not here"):
        Vault(config.keys_path).open(*read[0])


def test_a_removed_key_opens_nothing_after_a_while(
    engine: Engine, config: WebConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.vault._FORMER_S", 0.0)
    vault = a_filled_server(engine, config, 1)
    value = next(iter(SEALED[0].pages(engine)))[0][1]
    rotate(engine, config.keys_path)
    with pytest.raises(RecordsError, match="needs a key that is not here"):
        vault.open(value, "users.totp/anna")


def test_values_swapped_between_rows_are_refused_named_and_not_sealed_anew(engine: Engine, config: WebConfig) -> None:
    vault = a_filled_server(engine, config)
    with transaction(engine) as session:
        one, other = session.scalars(select(Patient).order_by(Patient.id).limit(2))
        mine, others = one.identity_sealed, other.identity_sealed
        one.identity_sealed, other.identity_sealed = others, mine
        swapped = sorted([one.id, other.id])
    with pytest.raises(RecordsError, match="was changed or moved"):
        vault.open(others, f"patients.identity/{swapped[0]}")
    with pytest.raises(RecordsError, match=f"2 sealed values do not open, the first is that of .*{swapped[0]}"):
        rotate(engine, config.keys_path)
    assert read_keys(config.keys_path).sealing.keys() == {1, 2}, "the key stays for as long as something needs it"
    assert numbers_in(engine) == {1, 2}
    with transaction(engine) as session:  # mended
        session.execute(update(Patient).where(Patient.id == swapped[0]).values(identity_sealed=mine))
        session.execute(update(Patient).where(Patient.id == swapped[1]).values(identity_sealed=others))
    assert rotate(engine, config.keys_path).resumed
    assert numbers_in(engine) == {2}


def test_a_value_moved_to_another_column_is_refused(engine: Engine, config: WebConfig) -> None:
    vault = a_filled_server(engine, config, 1)
    with transaction(engine) as session:
        row = session.scalars(select(Prediction)).one()
        row.result_sealed = row.draft_sealed
    with pytest.raises(RecordsError, match="1 sealed values do not open, the first is that of predictions"):
        rotate(engine, config.keys_path)
    assert vault.keys.newest == 2


def test_two_do_not_rotate_at_once(engine: Engine, config: WebConfig) -> None:
    a_filled_server(engine, config, 1)
    with keys_held(config.keys_path), pytest.raises(RecordsError, match="Another process rotates"):
        rotate(engine, config.keys_path)


def test_threads_and_a_second_process_read_and_write_meanwhile(
    engine: Engine, config: WebConfig, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.rotation._BATCH", 5)
    a_filled_server(engine, config, 8)
    command = [sys.executable, "-m", "tests.webapp.writing_sealed", str(config.data), database, "5000"]
    other = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "writing\n"
    stopping, wrong, opened = threading.Event(), list[BaseException](), [0]

    def read() -> None:
        mine, vault = open_database(database), Vault(config.keys_path)
        try:
            while not stopping.is_set():
                opened[0] += len(open_all(mine, vault))
        except BaseException as error:  # noqa: BLE001 (a thread's edge)
            wrong.append(error)
        finally:
            mine.dispose()

    def write() -> None:
        mine, vault = open_database(database), Vault(config.keys_path)
        number = 1000
        try:
            while not stopping.wait(0.02):  # a hospital's pace, not a race for the lock
                a_prediction(mine, config, vault, number, f"{NUMBER}-{number}")
                number += 1
        except BaseException as error:  # noqa: BLE001 (a thread's edge)
            wrong.append(error)
        finally:
            mine.dispose()

    threads = [threading.Thread(target=work) for work in (read, write)]
    for thread in threads:
        thread.start()
    rotations = [rotate(engine, config.keys_path) for _ in range(2)]
    stopping.set()
    for thread in threads:
        thread.join()
    written, _ = other.communicate("stop\n")
    assert other.returncode == 0, written
    assert not wrong
    assert [one.newest for one in rotations] == [2, 3]
    assert opened[0] > 0
    assert int(written) > 0
    assert read_keys(config.keys_path).sealing.keys() == {3}
    assert numbers_in(engine) == {3}
    assert open_all(engine, Vault(config.keys_path))
    audit.verify(engine, None, None)


def test_killed_at_any_step_nothing_is_lost_and_the_next_run_goes_on(config: WebConfig, database: str) -> None:
    """A process of its own rotates and is killed at its nth write: of the keys' file, or of a batch."""
    engine = open_database(database)
    a_filled_server(engine, config, 2)
    everything = sorted(open_all(engine, Vault(config.keys_path)))
    resumed, died = [], 0
    for step in range(1, 40):
        process = os.fork()
        if not process:  # pragma: no cover
            _rotate_and_die(config, database, step)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert sorted(open_all(engine, Vault(config.keys_path))) == everything, f"killed at step {step}"
        if code == 0:
            break
        assert code == -signal.SIGKILL
        died += 1
        resumed.append(rotate(engine, config.keys_path).resumed)
        assert len(numbers_in(engine)) == 1
        assert len(read_keys(config.keys_path).sealing) == 1
    assert code == 0, "it came through in the end"
    assert died >= 10
    assert resumed.count(True) >= 8
    audit.verify(engine, None, None)
    engine.dispose()


def _rotate_and_die(config: WebConfig, database: str, step: int) -> None:  # pragma: no cover
    import webapp.rotation as rotation

    passed = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal passed
            passed += 1
            if passed == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    rotation._BATCH = 3
    for name in ("write_keys", "note", "_anew", "update", "transaction"):
        setattr(rotation, name, counted(getattr(rotation, name)))
    try:
        rotation.rotate(open_database(database), config.keys_path)
    finally:
        os._exit(0)
