"""What each side's log holds of the other's: a head a round, as lines that one side gives the other to compare.

A log that was cut back or written anew together with its own signed heads looks whole to whoever did it. The heads that
the other side has kept tell.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.errors import AuditError, ConfigError
from core.records import audit
from core.records.chain import FIX
from core.records.db import reading

_LINE = re.compile(r"([^\s]{1,80}) ([0-9]{1,9}) ([0-9a-f]{64})")
_PAGE = 1000


@dataclass(frozen=True)
class Receipt:
    """The head that the other side's log had in a round.

    Attributes:
        run: the coordinator's name for it.
        round: its number.
        head: 64 hexadecimal digits.
    """

    run: str
    round: int
    head: str

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.run} {self.round} {self.head}"


def heads_of_site(session: Session, site: str) -> Iterator[Receipt]:
    """Go through a site's heads that the coordinator's log cites, oldest first."""
    for body in _bodies(session, "round.closed"):
        if site in body["receipts"]:
            yield Receipt(body["run"], body["round"], body["receipts"][site])


def heads_of_coordinator(session: Session) -> Iterator[Receipt]:
    """Go through the coordinator's heads that a site's log cites, oldest first."""
    for body in _bodies(session, "task.received"):
        yield Receipt(body["run"], body["round"], body["receipt"])


def read_receipts(path: Path) -> list[Receipt]:
    """Return the receipts that the other side gave.

    Raises: ConfigError: there is no such file, or it holds other lines.
    """
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read", fix="name the file that the other side made") from None
    found = []
    for number, line in enumerate(lines, start=1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ConfigError(
                f"Line {number} of {path} is no receipt", fix="let the other side write it again: `receipts > FILE`"
            )
        found.append(Receipt(parts[1], int(parts[2]), parts[3]))
    return found


def check_receipts(session: Session, receipts: Iterable[Receipt]) -> int:
    """Check that each was once this log's head, and return how many there are.

    Raises: AuditError: naming the first that never was.
    """
    count = 0
    for receipt in receipts:
        if not audit.cites(session, receipt.head):
            raise AuditError(
                f"In round {receipt.round} of {receipt.run} the other side was told a head that this log never had: "
                "one of the two logs was cut back or written anew",
                fix=FIX,
            )
        count += 1
    return count


def check_given(engine: Engine, path: Path) -> int:
    """Check the heads of this log that the other side has kept and written to a file, and return how many there are.

    Raises:
        ConfigError: the file holds something else.
        AuditError: naming the first that this log never had.
    """
    receipts = read_receipts(path)
    with reading(engine) as session:
        return check_receipts(session, receipts)


def _bodies(session: Session, action: str) -> Iterator[dict[str, Any]]:
    after = 0
    while events := audit.events(session, after=after, action=action, limit=_PAGE):
        for event in events:
            yield json.loads(event.body)
        after = events[-1].seq
