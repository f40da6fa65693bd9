"""Signed heads: what a chain alone cannot show, they do; and nobody changes or takes away one of them unseen."""

import json
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, text, update

from core.errors import AuditError
from core.records import audit
from core.records.chain import hash_of
from core.records.checkpoints import adding, read_checkpoints
from core.records.db import open_database, reading, transaction
from core.records.tables import AuditEvent, AuditHead
from core.signing import canonical, load_key, make_key, sign

KEY = Ed25519PrivateKey.generate()


def append(engine: Engine, times: int) -> None:
    with transaction(engine) as session:
        for number in range(times):
            audit.append(session, "it", "a.b", number=number)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Not of each kind in turn: the file is what is tested."""
    return f"sqlite:///{tmp_path / 'records.db'}"


@pytest.fixture
def signed(engine: Engine, tmp_path: Path) -> Path:
    """The signed heads of a log of ten events, after events 3, 5 and 8."""
    file = tmp_path / "audit" / "checkpoints.jsonl"
    for times in (3, 2, 3):
        append(engine, times)
        audit.sign_head(engine, KEY, file)
    append(engine, 2)
    return file


def verify(engine: Engine, file: Path) -> audit.Verified:
    return audit.verify(engine, file, KEY.public_key())


def verdict(engine: Engine, file: Path) -> str:
    with pytest.raises(AuditError) as caught:
        verify(engine, file)
    assert caught.value.fix
    return caught.value.problem


def attack(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS audit_events_no_{verb}"))
        for statement in statements:
            connection.execute(text(statement))


def write_anew(engine: Engine, first: int) -> None:
    """Change an event, and make every hash from there to the head anew."""
    with reading(engine) as session:
        stored = audit.events(session)
    attack(engine)
    with engine.begin() as connection:
        previous = stored[first - 1].previous
        for event in stored[first - 1 :]:
            values = {"previous": previous, "actor": "nobody" if event.seq == first else event.actor}
            previous = hash_of(previous, event.seq, event.at, values["actor"], event.action, event.body)
            connection.execute(update(AuditEvent).where(AuditEvent.seq == event.seq).values(**values, hash=previous))
        connection.execute(update(AuditHead).values(hash=previous))


def test_a_log_agrees_with_its_signed_heads(engine: Engine, signed: Path) -> None:
    verified = verify(engine, signed)
    assert (verified.events, verified.checkpoints) == (10, 3)
    assert [(line.number, line.seq) for line in read_checkpoints(signed, KEY.public_key())] == [(1, 3), (2, 5), (3, 8)]


def test_a_head_that_is_signed_while_the_log_is_verified_is_no_false_alarm(
    engine: Engine, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing: list[Future[None]] = []
    with ThreadPoolExecutor() as pool:

        def read_slowly(*given: object) -> object:
            lines = read_checkpoints(*given)  # type: ignore[arg-type]
            signing.append(pool.submit(audit.sign_head, engine, KEY, signed))
            wait(signing, 0.5)  # time enough, where nothing holds it up
            return lines

        monkeypatch.setattr(audit, "read_checkpoints", read_slowly)
        assert verify(engine, signed).checkpoints == 3
        signing[0].result()
    monkeypatch.undo()
    assert verify(engine, signed).checkpoints == 4


def test_a_head_that_has_not_moved_is_not_signed_again(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints.jsonl"
    audit.sign_head(engine, KEY, file)
    assert file.read_bytes() == b""
    append(engine, 1)
    for _ in range(3):
        audit.sign_head(engine, KEY, file)
    assert len(file.read_bytes().splitlines()) == 1


def test_the_key_that_was_written_to_disk_signs_and_its_public_half_checks(engine: Engine, tmp_path: Path) -> None:
    make_key(tmp_path / "audit.key", tmp_path / "audit.pub", "a passphrase")
    key = load_key(tmp_path / "audit.key", "a passphrase")
    append(engine, 2)
    audit.sign_head(engine, key, tmp_path / "checkpoints.jsonl")
    assert audit.verify(engine, tmp_path / "checkpoints.jsonl", key.public_key()).checkpoints == 1


@pytest.mark.parametrize("left", [7, 5, 4, 0])
def test_a_log_truncated_with_its_head_is_found(engine: Engine, signed: Path, left: int) -> None:
    attack(engine, f"DELETE FROM audit_events WHERE seq > {left}", f"UPDATE audit_head SET seq = {left}")
    with reading(engine) as session:
        end = audit.events(session)[-1].hash if left else "0" * 64
    attack(engine, f"UPDATE audit_head SET hash = '{end}'")
    assert f"removed: the audit log was truncated after event {left}" in verdict(engine, signed)
    assert verdict(engine, signed).startswith(f"Event{'s' * (left < 7)} {left + 1} ")


@pytest.mark.parametrize(
    ("first", "named"), [(1, "1 to 3"), (3, "1 to 3"), (4, "4 to 5"), (5, "4 to 5"), (7, "6 to 8")]
)
def test_a_log_written_anew_is_found_between_two_signed_heads(
    engine: Engine, signed: Path, first: int, named: str
) -> None:
    write_anew(engine, first)
    assert verdict(engine, signed).startswith(f"Events {named} of the audit log were rewritten")


def test_events_since_the_last_signed_head_are_held_by_the_chain_alone(engine: Engine, signed: Path) -> None:
    write_anew(engine, 9)
    assert verify(engine, signed).events == 10


def test_truncated_and_grown_again_is_found(engine: Engine, signed: Path) -> None:
    attack(
        engine,
        "UPDATE audit_head SET seq = 6, hash = (SELECT hash FROM audit_events WHERE seq = 6)",
        "DELETE FROM audit_events WHERE seq > 6",
    )
    append(engine, 4)
    assert verdict(engine, signed).startswith("Events 6 to 8 of the audit log were rewritten")


CUT = ("DELETE FROM audit_events WHERE seq > 7", "UPDATE audit_head SET seq = 7")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda engine: write_anew(engine, 2), "Event 8 .* was rewritten after its head was signed"),
        (lambda engine: attack(engine, "UPDATE audit_events SET actor = 'nobody' WHERE seq = 9"), "Event 9 .* changed"),
        (lambda engine: attack(engine, *CUT), "Event 8 .* was removed after its head was signed"),
    ],
    ids=["rewritten", "changed", "truncated"],
)
def test_a_log_that_was_tampered_with_is_not_signed(
    engine: Engine, signed: Path, harm: Callable[[Engine], None], told: str
) -> None:
    harm(engine)
    before = signed.read_bytes()
    with pytest.raises(AuditError, match=told):
        audit.sign_head(engine, KEY, signed)
    assert signed.read_bytes() == before


def without(line: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: lines[: line - 1] + lines[line:]


def with_changed(line: int, **changes: object) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        fields = json.loads(lines[line - 1]) | changes
        return [*lines[: line - 1], canonical(fields).encode() + b"\n", *lines[line:]]

    return change


def signed_by_another(lines: list[bytes]) -> list[bytes]:
    fields = json.loads(lines[-1])
    del fields["signature"]
    fields["signature"] = sign(Ed25519PrivateKey.generate(), fields)
    return [*lines[:-1], canonical(fields).encode() + b"\n"]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (without(1), "Before line 1 .* removed or changed"),
        (without(2), "Before line 2 .* removed or changed"),
        (without(3), "What followed line 2 .* removed"),
        (lambda lines: [], "What followed line 0 .* removed"),
        (lambda lines: [lines[1], lines[0], lines[2]], "Before line 1 .* removed or changed"),
        (with_changed(1, hash="a" * 64), "Line 1 .* was changed"),
        (with_changed(2, seq=6), "Line 2 .* was changed"),
        (with_changed(2, signature="00" * 64), "Line 2 .* was changed"),
        (with_changed(3, at="2020-01-01T00:00:00.000000Z"), "Line 3 .* was changed"),
        (with_changed(3, hash="a" * 64), "Line 3 .* was changed"),
        (with_changed(2, previous="a" * 64), "Line 2 .* was changed"),
        (with_changed(2, number="2"), "Line 2 .* is not one"),
        (with_changed(2, more=1), "Line 2 .* is not one"),
        (signed_by_another, "Line 3 .* was changed, or another key signed it"),
        (lambda lines: [lines[0], b"no JSON\n", lines[2]], "Line 2 .* is not one"),
        (lambda lines: [lines[0], b"[1]\n", lines[2]], "Line 2 .* is not one"),
        (lambda lines: [*lines[:2], lines[2].rstrip(b"\n")], "What followed line 2 .* removed"),
    ],
)
def test_a_line_that_was_changed_or_removed_is_named(
    engine: Engine, signed: Path, harm: Callable[[list[bytes]], list[bytes]], told: str
) -> None:
    signed.write_bytes(b"".join(harm(signed.read_bytes().splitlines(keepends=True))))
    assert re.match(told, verdict(engine, signed))


def test_without_the_key_the_lines_own_chain_is_still_checked(engine: Engine, signed: Path) -> None:
    assert audit.verify(engine, signed, None).checkpoints == 3
    lines = signed.read_bytes().splitlines(keepends=True)
    signed.write_bytes(b"".join(with_changed(1, at="2020-01-01T00:00:00.000000Z")(lines)))
    with pytest.raises(AuditError, match="Before line 2"):
        audit.verify(engine, signed, None)


@pytest.mark.parametrize("harm", [without(3), signed_by_another, with_changed(3, number="3")])
def test_nothing_is_added_to_signed_heads_that_were_tampered_with(
    engine: Engine, signed: Path, harm: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Else the next signature would cover what was done before."""
    signed.write_bytes(b"".join(harm(signed.read_bytes().splitlines(keepends=True))))
    before = signed.read_bytes()
    with pytest.raises(AuditError):
        audit.sign_head(engine, KEY, signed)
    assert signed.read_bytes() == before


def test_a_line_that_a_power_cut_left_unfinished_is_written_again(engine: Engine, signed: Path) -> None:
    whole = signed.read_bytes()
    signed.write_bytes(whole + b'{"at":"2026-')
    assert verify(engine, signed).checkpoints == 3
    audit.sign_head(engine, KEY, signed)
    assert signed.read_bytes().startswith(whole)
    assert verify(engine, signed).checkpoints == 4


def test_a_line_that_the_database_has_not_counted_yet_is_no_harm(engine: Engine, signed: Path) -> None:
    """The power went between the file and the database."""
    attack(engine, "UPDATE audit_head SET checkpoints = 2")
    assert verify(engine, signed).checkpoints == 3
    audit.sign_head(engine, KEY, signed)
    assert verify(engine, signed).checkpoints == 4


def test_who_signs_waits_for_whoever_signs_already(engine: Engine, signed: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with adding(signed, KEY.public_key()):
            later = pool.submit(audit.sign_head, engine, KEY, signed)
            assert not wait([later], timeout=0.3).done
        later.result()
    assert verify(engine, signed).checkpoints == 4


def append_and_sign(url: str, key: bytes, file: Path) -> None:
    engine = open_database(url)
    for _ in range(8):
        append(engine, 1)
        audit.sign_head(engine, Ed25519PrivateKey.from_private_bytes(key), file)
    engine.dispose()


def test_processes_that_sign_at_once_make_one_file(database: str, tmp_path: Path) -> None:
    open_database(database).dispose()
    key, file = Ed25519PrivateKey.generate(), tmp_path / "checkpoints.jsonl"
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(append_and_sign, [database] * 2, [key.private_bytes_raw()] * 2, [file] * 2))
    engine = open_database(database)
    verified = audit.verify(engine, file, key.public_key())
    assert verified.events == 16
    assert verified.checkpoints == len(file.read_bytes().splitlines())
    engine.dispose()
