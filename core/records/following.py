"""An audit log read as it grows, each event checked against the chain before it is believed.

For what a decision hangs on, such as a privacy budget: an event that was edited where it lies, or a log that was cut
back, is noticed before anything is decided by it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, func, select

from core.errors import AuditError
from core.progress import silent
from core.records import audit
from core.records.chain import EMPTY, FIX, end_of, seq_of, walk
from core.records.db import reading, transaction
from core.records.tables import AuditEvent


@dataclass(frozen=True)
class Event:
    """One event of the log.

    Attributes:
        seq: its number.
        at: when; text of core.clock.
        action: what was done.
        body: what else was told.
    """

    seq: int
    at: str
    action: str
    body: dict[str, Any]


class Follower:
    """Follows one log from its beginning; one process and thread at a time.

    Args:
        engine: the database.
        actions: the kinds of events that are wanted.
        checkpoints: the log's signed heads; None where there are none.
        public: the key that signed them.
    """

    def __init__(
        self,
        engine: Engine,
        actions: tuple[str, ...],
        checkpoints: Path | None = None,
        public: Ed25519PublicKey | None = None,
    ) -> None:
        self._engine = engine
        self._actions = actions
        self._signed = (checkpoints, public)
        self._checked = (0, EMPTY)
        self._appended = (0, EMPTY)

    def news(self) -> list[Event]:
        """Return the wanted events since the last call, in order, once the whole log up to them is found intact.

        Raises:
            AuditError: naming the first event that was changed, removed or inserted.
            RecordsError: the database cannot be used.
        """
        if self._checked == (0, EMPTY):
            audit.verify(self._engine, *self._signed)
        with reading(self._engine) as session:
            after, last = self._checked
            upto, head = walk(session, after, last, {}, silent)
            if seq_of(session, self._appended[1]) != self._appended[0]:
                raise AuditError(f"Event {self._appended[0]} of the audit log was removed or rewritten", fix=FIX)
            wanted = select(AuditEvent).where(
                AuditEvent.seq > after, AuditEvent.seq <= upto, AuditEvent.action.in_(self._actions)
            )
            found = [
                Event(row.seq, row.at, row.action, json.loads(row.body))
                for row in session.scalars(wanted.order_by(AuditEvent.seq))
            ]
        self._checked = (upto, head)
        return found

    def append(self, actor: str, events: Sequence[tuple[str, dict[str, object]]], *, last: int) -> bool:
        """Append events, all or none, and none where one of the wanted kind was appended meanwhile.

        Args:
            actor: who did it.
            events: action and body of each.
            last: number of the last wanted event that the decision to append knew of; 0 for none.
        Returns: whether they are in the log, on disk.
        Raises: RecordsError: the database cannot be used.
        """
        newest = select(func.max(AuditEvent.seq)).where(AuditEvent.action.in_(self._actions))
        with transaction(self._engine) as session:
            if (session.scalar(newest) or 0) > last:
                return False
            for action, body in events:
                audit.append(session, actor, action, **body)
            appended = end_of(session)
        self._appended = appended
        return True
