"""The audit log as auditors read it: filtered, paged, exported, and checked against its chain."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, Select, or_, select
from sqlalchemy.orm import Session

from core.errors import AuditError
from core.progress import Report, silent
from core.records import audit
from core.records.audit import Verified
from core.records.chain import FIX
from core.records.db import reading
from core.records.tables import AuditEvent
from core.records.web_tables import Feedback, LogEntry
from webapp.log_index import Comparison
from webapp.vault import Vault

COLUMNS = (
    "seq",
    "at",
    "user",
    "action",
    "prediction",
    "model",
    "tumor_probability",
    "mgmt_probability",
)
_FILTERS = {"user": LogEntry.user, "action": LogEntry.action, "case": LogEntry.prediction, "model": LogEntry.model}
# What is looked up in which index, the narrowest first. MariaDB guesses by statistics, and now and then walks half the
# log to find fifty events that another index holds side by side.
_INDEXES: tuple[tuple[set[str], str], ...] = (
    ({"case"}, "prediction_at_seq"),
    ({"user", "action"}, "user_action_at_seq"),
    ({"user", "model"}, "user_model_at_seq"),
    ({"action", "model"}, "action_model_at_seq"),
    ({"user"}, "user_at_seq"),
    ({"action"}, "action_at_seq"),
    ({"model"}, "model_at_seq"),
    (set(), "at_seq"),
)
_PAGE = 2000


def page(
    session: Session, vault: Vault, wanted: Mapping[str, Any], limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return events, newest first, and the cursor of the next page, or None where this is the last.

    Args:
        session: to read with.
        vault: opens comments.
        wanted: any of `user`, `action`, `case`, `model`, `since`, `until`, `cursor`.
        limit: at most so many.
    """
    rows = session.execute(_query(wanted).limit(limit + 1)).all()
    shown = _whole(session, vault, [row[0] for row in rows[:limit]])
    more = f"{shown[-1]['at']}_{shown[-1]['seq']}" if len(rows) > limit else None
    return shown, more


def export(engine: Engine, vault: Vault, wanted: Mapping[str, Any], form: str) -> Iterator[str]:
    """Yield the lines of an export, CSV or JSON lines, newest event first.

    It is read page by page, so that a long one neither fills the memory nor holds the database.
    """
    if form == "csv":
        yield ",".join((*COLUMNS, "hash", "told", "comment")) + "\r\n"
    cursor: str | None = ""
    while cursor is not None:
        with reading(engine) as session:
            events, cursor = page(session, vault, {**wanted, **({"cursor": cursor} if cursor else {})}, _PAGE)
        for event in events:
            yield _csv(event) if form == "csv" else json.dumps(event) + "\n"


def verify(
    engine: Engine, checkpoints: Path | None, public: Ed25519PublicKey | None, report: Report = silent
) -> Verified:
    """Check the whole chain and its signed heads, and that the log's index says the same as the chain.

    Raises: AuditError: naming the first event that was changed, removed, inserted or moved.
    """
    index = Comparison()
    verified = audit.verify(engine, checkpoints, public, report, index.look)
    if index.wrong:
        raise AuditError(index.wrong, fix=FIX)
    return verified


def _query(wanted: Mapping[str, Any]) -> Select[LogEntry]:
    index = next(index for names, index in _INDEXES if names <= wanted.keys())
    query = select(LogEntry).with_hint(LogEntry, f"FORCE INDEX (ix_log_entries_{index})", "mysql")
    for name, column in _FILTERS.items():
        if name in wanted:
            query = query.where(column == wanted[name])
    if "since" in wanted:
        query = query.where(LogEntry.at >= first_moment(wanted["since"]))
    if "until" in wanted:
        query = query.where(LogEntry.at <= last_moment(wanted["until"]))
    if "cursor" in wanted:
        at, _, seq = wanted["cursor"].partition("_")
        # Written so, since MariaDB does not look up a pair in an index.
        query = query.where(LogEntry.at <= at, or_(LogEntry.at < at, LogEntry.seq < int(seq)))
    return query.order_by(LogEntry.at.desc(), LogEntry.seq.desc())


def first_moment(text: str) -> str:
    """Return when a day, or a moment of any precision, begins."""
    return _moment(text, "000000", "T00:00:00.000000Z")


def last_moment(text: str) -> str:
    """Return when a day, or a moment of any precision, ends."""
    return _moment(text, "999999", "T23:59:59.999999Z")


def _moment(text: str, micros: str, of_day: str) -> str:
    if "T" not in text:
        return text + of_day
    whole, _, fraction = text.rstrip("Z").partition(".")
    return f"{whole}.{(fraction or micros).ljust(6, micros[0])}Z"


def _whole(session: Session, vault: Vault, entries: list[LogEntry]) -> list[dict[str, Any]]:
    numbers = [entry.seq for entry in entries]
    events = {event.seq: event for event in session.scalars(select(AuditEvent).where(AuditEvent.seq.in_(numbers)))}
    said = {row.seq: row for row in session.scalars(select(Feedback).where(Feedback.seq.in_(numbers)))}
    return [
        {
            **{name: getattr(entry, name) for name in COLUMNS},
            "told": _told(events[entry.seq].body) if entry.seq in events else None,
            "hash": events[entry.seq].hash if entry.seq in events else None,
            "comment": _comment(vault, said.get(entry.seq)),
        }
        for entry in entries
    ]


def _told(body: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(body).items() if name not in COLUMNS}


def _comment(vault: Vault, row: Feedback | None) -> str | None:
    if row is None or row.comment_mac is None:
        return None
    if row.comment_sealed is None:
        return "(erased)"
    comment = vault.open(row.comment_sealed, f"feedback.comment/{row.seq}").decode()
    return comment if vault.mac("comment", comment) == row.comment_mac else "(changed)"


def _csv(event: Mapping[str, Any]) -> str:
    told = json.dumps(event["told"]) if event["told"] else ""
    cells = [event[name] for name in COLUMNS] + [event["hash"], told, event["comment"] or ""]
    line = io.StringIO()
    # A spreadsheet must not take what somebody wrote for a formula.
    csv.writer(line).writerow(
        f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell for cell in cells
    )
    return line.getvalue()
