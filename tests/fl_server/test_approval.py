"""Wishes become signatures: with real files, records and key, whatever is wrong with them."""

import errno
import json
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from core.errors import RecordsError, RegistryError
from core.records import audit, registry, runs
from core.records.db import open_database, reading, transaction
from core.records.decisions import wish_version
from core.records.registry import add_version, approved_versions, current_version, load_version, retired_versions
from core.records.tables import Version
from core.signing import load_key
from fl_server import approval
from fl_server.approval import decide, fulfill_wishes
from fl_server.config import CoordinatorSettings, ServerConfig
from fl_server.service import look_after
from tests.fl_server.factories_coordinator import PASSPHRASE, coordinator, wait_for

KEY = Ed25519PrivateKey.generate()
TRUSTED = KEY.public_key()


@pytest.fixture
def records(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'records.db'}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def a_candidate(records: Engine, folder: Path, value: float = 0.5) -> str:
    name = add_version(folder, "s", {"w": np.float32([value])}, {}, {})
    runs.create_run(records, run=name, study="s", folder="/r", sites=["north"], actor="coordinator", state="running")
    runs.register_version(records, name, name=name, weights_sha256=load_version(folder / name).card["weights_sha256"])
    return name


def row(records: Engine, name: str) -> Version:
    with reading(records) as session:
        return session.get_one(Version, name)


def actions(records: Engine) -> list[str]:
    with reading(records) as session:
        return [event.action for event in audit.events(session) if event.action.startswith("version.")][1:]


def last_event(records: Engine) -> tuple[str, str, dict]:
    with reading(records) as session:
        event = audit.events(session)[-1]
    return event.actor, event.action, json.loads(event.body)


def test_a_version_is_signed_as_wished_and_becomes_current(records: Engine, folder: Path) -> None:
    older, newer = a_candidate(records, folder), a_candidate(records, folder, 0.25)
    decide(records, folder, newer, "approve", KEY, actor="coordinator")
    wish_version(records, older, "approve", actor="ada")
    fulfill_wishes(records, folder, KEY)
    assert current_version(folder, TRUSTED) == folder / older
    assert (row(records, older).state, row(records, older).wish) == ("approved", None)
    actor, action, body = last_event(records)
    assert (actor, action, body["version"], body["wished_by"]) == ("service", "version.approved", older, "ada")
    wish_version(records, older, "retire", actor="bob")
    fulfill_wishes(records, folder, KEY)
    assert retired_versions(folder, TRUSTED) == [older]
    assert (row(records, older).state, last_event(records)[2]["wished_by"]) == ("retired", "bob")
    assert current_version(folder, TRUSTED) == folder / newer


def test_without_a_wish_nothing_is_signed_or_noted(records: Engine, folder: Path) -> None:
    a_candidate(records, folder)
    for _ in range(2):
        fulfill_wishes(records, folder, KEY)
    assert (approved_versions(folder, TRUSTED), actions(records)) == ([], [])


def test_a_damaged_version_is_refused_once_with_its_cause_and_the_next_one_is_signed(
    records: Engine, folder: Path
) -> None:
    damaged, good = a_candidate(records, folder), a_candidate(records, folder, 0.25)
    (folder / damaged / "calibration.json").chmod(0o644)
    (folder / damaged / "calibration.json").write_text("{} ")
    for name in (damaged, good):
        wish_version(records, name, "approve", actor="ada")
    for _ in range(3):
        fulfill_wishes(records, folder, KEY)
    assert (row(records, damaged).state, row(records, damaged).wish) == ("candidate", None)
    assert "is not the one that was registered" in (row(records, damaged).cause or "")
    assert approved_versions(folder, TRUSTED) == [good]
    assert actions(records).count("version.approve-refused") == 1


def test_what_was_retired_in_the_registry_alone_cannot_be_approved_by_a_wish(records: Engine, folder: Path) -> None:
    name = a_candidate(records, folder)
    registry.approve_version(folder, name, KEY)
    registry.retire_version(folder, name, KEY)
    wish_version(records, name, "approve", actor="ada")
    fulfill_wishes(records, folder, KEY)
    assert "was retired on 20" in (row(records, name).cause or "")


def test_a_wish_that_is_none_of_ours_is_refused(records: Engine, folder: Path) -> None:
    name = a_candidate(records, folder)
    with transaction(records) as session:
        session.get_one(Version, name).wish = "delete"
    fulfill_wishes(records, folder, KEY)
    assert "neither to approve nor to retire" in (row(records, name).cause or "")
    assert row(records, name).wish is None


def test_a_full_disk_ends_a_wish_with_its_cause(records: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = a_candidate(records, folder)
    wish_version(records, name, "approve", actor="ada")

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "write_approval", no_room)
        fulfill_wishes(records, folder, KEY)
    assert row(records, name).cause == "The registry cannot be written to (No space left on device)"
    wish_version(records, name, "approve", actor="ada")
    fulfill_wishes(records, folder, KEY)
    assert (row(records, name).state, row(records, name).cause) == ("approved", None)


@pytest.mark.parametrize("wanted", ["approve", "retire"])
def test_a_signature_that_was_made_but_not_noted_is_noted_the_next_time(
    records: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    name = a_candidate(records, folder)
    if wanted == "retire":
        decide(records, folder, name, "approve", KEY, actor="coordinator")
    wish_version(records, name, wanted, actor="ada")

    def unreachable(*_: object, **__: object) -> None:
        raise RecordsError("The database cannot be used", fix="start it")

    with monkeypatch.context() as patch:
        patch.setattr(approval, "decide_version", unreachable)
        with pytest.raises(RecordsError):
            fulfill_wishes(records, folder, KEY)
    signed = (folder / f"{name}.approval.json").read_bytes()
    assert row(records, name).wish == wanted, "it waits for the database"
    fulfill_wishes(records, folder, KEY)
    assert (folder / f"{name}.approval.json").read_bytes() == signed
    assert (row(records, name).state, row(records, name).wish) == (f"{wanted}d", None)


def test_what_is_decided_twice_at_the_command_line_is_an_error(records: Engine, folder: Path) -> None:
    name = a_candidate(records, folder)
    decide(records, folder, name, "approve", KEY, actor="coordinator")
    with pytest.raises(RegistryError, match="approved already"):
        decide(records, folder, name, "approve", KEY, actor="coordinator")
    assert actions(records).count("version.approved") == 1


def test_the_service_signs_what_is_wished_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with coordinator() as of:
        monkeypatch.setattr("fl_server.service.settings_of", lambda: ServerConfig(
            coordinator=CoordinatorSettings(address=of.address)
        ))  # fmt: skip
        key = load_key(of.home / "keys" / "signing.key", PASSPHRASE)
        good, damaged = (
            a_candidate(of.records, of.home / "registry"),
            a_candidate(of.records, of.home / "registry", 0.25),
        )
        (of.home / "registry" / damaged / "card.json").chmod(0o644)
        (of.home / "registry" / damaged / "card.json").write_text("torn")
        done = Event()
        keeper = Thread(target=look_after, args=(of.records, of.home, of.authority, key, done))
        keeper.start()
        try:
            for name in (damaged, good):
                wish_version(of.records, name, "approve", actor="ada")
            wait_for(lambda: row(of.records, good).state == "approved", "the approval")
            wait_for(lambda: row(of.records, damaged).cause is not None, "the refusal")
        finally:
            done.set()
            keeper.join()
        assert current_version(of.home / "registry", key.public_key()).name == good
        assert last_event(of.records)[1] in {"version.approved", "version.approve-refused"}
