"""Whether the log's index, which auditors search, says what the chain says: compared while the chain is walked."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.records.chain import Covered
from core.records.web_tables import LogEntry

_COLUMNS = (
    LogEntry.at,
    LogEntry.user,
    LogEntry.action,
    LogEntry.prediction,
    LogEntry.model,
    LogEntry.tumor_probability,
    LogEntry.mgmt_probability,
)
_NULL = "\t"
# What these columns hold: text, text, text, text or None twice, float or None twice.
_Entry = tuple[object, ...]


class Comparison:
    """Is shown a whole chain page by page.

    Attributes:
        wrong: the first thing that the index says otherwise, or "".
    """

    def __init__(self) -> None:
        self.wrong = ""
        self._seen: int | None = None

    def look(self, session: Session, page: Sequence[Covered]) -> None:
        """Compare a page's events with the entries from the page before up to its end: of the empty last page, all."""
        within = [LogEntry.seq > self._seen] if self._seen is not None else []
        if page:
            self._seen = page[-1][0]
            within.append(LogEntry.seq <= self._seen)
        entries = dict(_entries(session, *within))
        for seq, text, _ in page:
            expected = _expected(text)
            if expected is not None and entries.pop(seq, None) != expected:
                self._note(f"The log's index tells of event {seq} otherwise than the audit log")
        for seq in sorted(entries)[:1]:
            self._note(f"The log's index has an event {seq} that the audit log has not")

    def _note(self, problem: str) -> None:
        self.wrong = self.wrong or problem


def _expected(text: str) -> _Entry | None:
    """Return the entry that an event must have, by what its hash covers; None where no user made it."""
    _, _, at, actor, action, body = text.split("\n", 5)
    if not actor.startswith("user:"):
        return None
    told = json.loads(body).get
    tumor, mgmt = told("tumor_probability"), told("mgmt_probability")
    return at, actor[5:], action, told("prediction"), told("model"), tumor, mgmt


def _entries(session: Session, *within: ColumnElement[bool]) -> Iterator[tuple[int, _Entry]]:
    """Yield entries by number; as in core.records.chain, MariaDB puts lines together, and SQLite's are looked at."""
    if session.get_bind().dialect.name == "sqlite":
        for seq, *entry in session.execute(select(LogEntry.seq, *_COLUMNS).where(*within)):
            yield seq, tuple(entry)
        return
    lines = [part for column in _COLUMNS for part in ("\n", func.coalesce(column, _NULL))][1:]
    for seq, text in session.execute(select(LogEntry.seq, func.concat(*lines)).where(*within)):
        yield seq, _split(text)


def _split(text: str) -> _Entry:
    """Return an entry by its lines; more or less than there should be are no entry that any event could have."""
    lines = text.split("\n")
    if len(lines) != len(_COLUMNS):
        return ()
    at, user, action, prediction, model, tumor, mgmt = lines
    return (
        at,
        user,
        action,
        None if prediction == _NULL else prediction,
        None if model == _NULL else model,
        None if tumor == _NULL else float(tumor),
        None if mgmt == _NULL else float(mgmt),
    )
