"""The audit log's chain: what an event's hash covers, and what somebody did to the first event that breaks it.

An event's hash is the SHA-256 of six lines: the hash of the event before, its number, time, actor, action and body.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from core.errors import AuditError
from core.progress import Report
from core.records.tables import AuditEvent, AuditHead

EMPTY = "0" * 64
FIX = "keep the database as it is, restore a copy made before, compare, and find out who could write to it"

_PAGE = 5000
# How far beyond the log's end a renumbered event is looked for, to tell a removed event from a changed one.
_REACH = 1000
_COLUMNS = (
    AuditEvent.seq,
    AuditEvent.at,
    AuditEvent.actor,
    AuditEvent.action,
    AuditEvent.body,
    AuditEvent.previous,
    AuditEvent.hash,
)
# What the hash covers.
_LINES = (
    AuditEvent.previous,
    AuditEvent.seq,
    AuditEvent.at,
    AuditEvent.actor,
    AuditEvent.action,
    AuditEvent.body,
)
Stored = Row[int, str, str, str, str, str, str]
# An event's number, the text that its hash covers, and that hash.
Covered = tuple[int, str, str]
# Is shown every page of events that were found good, and at the end an empty one.
Look = Callable[[Session, Sequence[Covered]], None]


# The event of a log that the other side has seen further than it goes.
LOST = "log.lost"


def went_back() -> AuditError:
    """Return the error of such a log; nothing may be decided by it."""
    return AuditError(
        "This log, and the privacy ledger in it, has lost events that the coordinator has seen",
        fix="stop this site and restore the newer records; no training begins before",
    )


def hash_of(previous: str, seq: int, at: str, actor: str, action: str, body: str) -> str:
    """Return an event's hash as 64 hexadecimal digits; no argument holds a line break."""
    return _sha256(_covered(previous, seq, at, actor, action, body))


def _covered(previous: str, seq: int, at: str, actor: str, action: str, body: str) -> str:
    return f"{previous}\n{seq}\n{at}\n{actor}\n{action}\n{body}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def look_past(_session: Session, _page: Sequence[Covered]) -> None:
    """Look at no event."""


def end_of(session: Session, *, to_append: bool = False) -> tuple[int, str]:
    """Return the number and hash of the last event: 0 and EMPTY where there is none.

    Args:
        session: to read with.
        to_append: let no other transaction append until this one ends.
    Raises: AuditError: the row that says so is gone.
    """
    query = select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1)
    found = session.execute(query.with_for_update() if to_append else query).one_or_none()
    if found is None:
        raise AuditError("The audit log has lost its head", fix=FIX)
    return found[0], found[1]


def seq_of(session: Session, head: str) -> int | None:
    """Return the number of the event that has this hash, 0 for an empty log's, or None where there is no such event."""
    return 0 if head == EMPTY else session.scalar(select(AuditEvent.seq).where(AuditEvent.hash == head).limit(1))


def walk(
    session: Session, after: int, last: str, signed: Mapping[int, str], report: Report, look: Look = look_past
) -> tuple[int, str]:
    """Check every event after one that is known to be good.

    Args:
        session: sees one state of the database while this runs.
        after, last: number and hash of the event to start after; 0 and EMPTY for the whole log.
        signed: hashes that were signed, by the number of their event.
        report: told of every page.
        look: is shown every page of events that were found good, and at the end an empty one.
    Returns: the last event's number and hash.
    Raises: AuditError: naming the first bad event.
    """
    total, end = end_of(session)
    trusted = after
    for page in _pages(session, after):
        for seq, text, found in page:
            if seq != after + 1 or not text.startswith(f"{last}\n{seq}\n") or _sha256(text) != found:
                _tell(session, seq, after, last, (total, end))
            after, last = seq, found
            if seq in signed:
                if signed[seq] != found:
                    _bad(f"{_named(trusted + 1, seq)} rewritten: the head after event {seq} was signed otherwise")
                trusted = seq
            if seq % _PAGE == 0:
                report("audit", seq, max(total, seq))
        look(session, page)
    look(session, ())
    report("audit", after, max(total, after))
    furthest = max([total, *signed])
    if furthest > after:
        _bad(f"{_named(after + 1, furthest)} removed: the audit log was truncated after event {after}")
    if total < after:
        _bad(f"{_named(total + 1, after)} inserted after the log's end")
    if end != last:
        _bad(f"{_named(after, after)} changed: the log's head is another")
    return after, last


def _pages(session: Session, after: int) -> Iterator[Sequence[Covered]]:
    """Yield events in order, in pages; from the beginning also those whose number is none that we give."""
    # MariaDB's driver takes more than a microsecond a column, so the database puts the lines together; what SQLite has
    # in a column may be of any type, and is looked at as it is.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    lines = [part for column in _LINES for part in ("\n", column)][1:]
    query = select(*_COLUMNS) if is_sqlite else select(AuditEvent.seq, func.concat(*lines), AuditEvent.hash)
    ordered = query.order_by(AuditEvent.seq).limit(_PAGE)
    condition = [AuditEvent.seq > after] if after else []
    while rows := session.execute(ordered.where(*condition)).all():
        yield [(row[0], _covered(row[5], *row[:5]), row[6]) for row in rows] if is_sqlite else rows
        condition = [AuditEvent.seq > rows[-1][0]]


def _tell(session: Session, found: int, after: int, last: str, end: tuple[int, str]) -> NoReturn:
    """Raise what happened to the first event that does not follow event `after`, whose hash is `last`."""
    row: Stored = session.execute(select(*_COLUMNS).where(AuditEvent.seq == found)).one()
    expected = after + 1
    if row.seq < expected or (after, last) == end:
        _bad(f"{_named(row.seq, row.seq)} inserted")
    if row.seq > expected:
        _bad(f"{_named(expected, row.seq - 1)} removed")
    if _is(row, expected):  # whole in itself, but it follows another event than the one before it
        supported = session.scalar(select(AuditEvent.previous).where(AuditEvent.seq == expected + 1)) or end[1]
        changed = after if after and supported == row.hash else expected
        _bad(f"{_named(changed, changed)} changed, and its hash made anew")
    original = next((seq for seq in range(expected + 1, max(expected, end[0]) + _REACH) if _is(row, seq)), None)
    elsewhere = session.execute(select(*_COLUMNS).where(AuditEvent.previous == last, AuditEvent.seq > expected)).all()
    moved = next((other.seq for other in elsewhere if _is(other, expected)), None)
    if original and moved:
        _bad(f"{_named(expected, expected)} moved: event {original} stands in its place")
    if original:
        _bad(f"{_named(expected, original - 1)} removed, and those after it renumbered")
    if moved:
        _bad(f"{_named(expected, moved - 1)} inserted, and those after it renumbered")
    parent = seq_of(session, row.previous)
    if parent is not None and parent < after and _is(row, parent + 1):
        _bad(f"{_named(parent + 1, after)} inserted, and those after it renumbered")
    _bad(f"{_named(expected, expected)} changed")


def _is(row: Stored, seq: int) -> bool:
    """Say whether this row was written as event `seq`."""
    return bool(row.hash == hash_of(row.previous, seq, row.at, row.actor, row.action, row.body))


def _named(first: int, last: int) -> str:
    return f"Event {first} of the audit log was" if first == last else f"Events {first} to {last} of the audit log were"


def _bad(problem: str) -> NoReturn:
    raise AuditError(problem, fix=FIX)
