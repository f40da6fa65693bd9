"""The one event log of a side: append-only, hash-chained, its head signed at intervals outside the database.

An event is appended within the transaction that changes what it tells of, so neither is there without the other.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import AuditError
from core.progress import Report, silent
from core.records.chain import EMPTY, FIX, Look, end_of, hash_of, look_past, seq_of, walk
from core.records.checkpoints import NONE, Checkpoint, adding, read_checkpoints, unchanging, write_checkpoint
from core.records.db import reading, transaction
from core.records.tables import AuditEvent, AuditHead
from core.signing import canonical

_LONGEST_BODY = 65_535  # MySQL's TEXT, in bytes; canonical JSON is ASCII


@dataclass(frozen=True)
class Verified:
    """An audit log found whole.

    Attributes:
        events: how many there are.
        head: the last one's hash, 64 hexadecimal digits.
        checkpoints: how many signed heads the log agrees with.
    """

    events: int
    head: str
    checkpoints: int


def append(session: Session, actor: str, action: str, **body: object) -> str:
    """Add an event within the caller's transaction.

    Args:
        session: of core.records.db.transaction.
        actor: who did it, such as `site:north` or `coordinator`.
        action: what was done, such as `site.enrolled`.
        body: what else is to be told, as JSON; no patient data, no secrets.
    Returns: the log's new head, 64 hexadecimal digits: the receipt for the other side.
    Raises:
        AuditError: the log has an event beyond its head, or none.
        ValueError: an actor, action or body that cannot be kept.
    """
    text = canonical(body)
    if not (_is_one_line(actor, 100) and _is_one_line(action, 60)) or len(text) > _LONGEST_BODY:
        raise ValueError(f"not an event: {actor!r}, {action!r}, a body of {len(text)} bytes")
    seq, previous = end_of(session, to_append=True)
    seq, at = seq + 1, now()
    head_now = hash_of(previous, seq, at, actor, action, text)
    event = {"seq": seq, "at": at, "actor": actor, "action": action, "body": text, "previous": previous}
    try:
        session.execute(insert(AuditEvent).values(**event, hash=head_now))
    except IntegrityError:
        raise AuditError(f"The audit log has an event {seq} beyond its head", fix=FIX) from None
    session.execute(update(AuditHead).where(AuditHead.id == 1).values(seq=seq, hash=head_now))
    return head_now


def head(session: Session) -> str:
    """Return the hash of the last event, 64 hexadecimal digits: of an empty log, zeros."""
    return end_of(session)[1]


def cites(session: Session, receipt: str) -> bool:
    """Say whether a hash was ever this log's head, as the other side says it was."""
    return seq_of(session, receipt) is not None


def events(session: Session, *, after: int = 0, action: str | None = None, limit: int = 1000) -> list[AuditEvent]:
    """Return events in order.

    Args:
        session: to read with.
        after: the number of the event to start after.
        action: leave out all other actions.
        limit: return at most so many.
    """
    query = select(AuditEvent).where(AuditEvent.seq > after).order_by(AuditEvent.seq).limit(limit)
    return list(session.scalars(query.where(AuditEvent.action == action) if action else query))


def sign_head(engine: Engine, key: Ed25519PrivateKey, checkpoints: Path) -> None:
    """Add the log's head to the signed ones, unless it is the last of them.

    Args:
        engine: the database.
        key: signs.
        checkpoints: the file, made where there is none.
    Raises: AuditError: the log is not what was signed before, or its new events are no chain; nothing is signed then.
    """
    with adding(checkpoints, key.public_key()) as (last, file):
        with reading(engine) as session:
            _agree(session, last)
            seq, head_now = walk(session, last.seq, last.hash, {}, silent)
        if seq > last.seq:
            number = write_checkpoint(file, last, seq, head_now, key)
            with transaction(engine) as session:
                session.execute(update(AuditHead).where(AuditHead.id == 1).values(checkpoints=number))


def verify(
    engine: Engine,
    checkpoints: Path | None,
    public: Ed25519PublicKey | None,
    report: Report = silent,
    look: Look = look_past,
) -> Verified:
    """Check the whole log, and that it still holds every signed head.

    Args:
        engine: the database.
        checkpoints: the file of signed heads; None where there is none to compare with.
        public: the key that signed them; None where only their own chain can be checked.
        report: told of the progress, `audit` and events done and in all.
        look: is shown every page of events that were found good, and at the end an empty one, within the same state
            of the database.
    Raises: AuditError: naming the first event that was changed, removed or inserted, or where the log was truncated; or
        the first bad line of the checkpoints.
    """
    with reading(engine) as session:
        signed: list[Checkpoint] = []
        if checkpoints:
            with unchanging(checkpoints):
                signed = read_checkpoints(checkpoints, public)
                session.scalar(select(AuditHead.seq))  # with the first look begins the state that is seen from here on
        count, head_now = walk(session, 0, EMPTY, {line.seq: line.hash for line in signed}, report, look)
        if checkpoints:
            _agree(session, signed[-1] if signed else NONE)
    return Verified(count, head_now, len(signed))


def _agree(session: Session, last: Checkpoint) -> None:
    """Check that the log holds the last signed head, and that no later one is missing.

    Raises: AuditError: it does not.
    """
    signed = session.scalar(select(AuditEvent.hash).where(AuditEvent.seq == last.seq))
    if last.seq and signed != last.hash:
        happened = "removed" if signed is None else "rewritten"
        raise AuditError(f"Event {last.seq} of the audit log was {happened} after its head was signed", fix=FIX)
    if (session.scalar(select(AuditHead.checkpoints).where(AuditHead.id == 1)) or 0) > last.number:
        raise AuditError(f"What followed line {last.number} of the audit log's checkpoints was removed", fix=FIX)


def _is_one_line(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()
