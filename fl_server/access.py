"""Who may call, decided at every call, and the record of those who were turned away.

The edge hands over what it saw of the caller's TLS certificate; the answer depends on this federation's records alone,
so that a suspension or revocation holds from the next call on.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine, select

from core.certificates import serial_text
from core.clock import now
from core.errors import AccessError, RecordsError
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Certificate, Site

logger = logging.getLogger(__name__)

# The same refusal within this time is counted and not written again.
SAME_S = 60.0
MOST_REMEMBERED = 2_000
# What one source, and all together, may write into the audit log: so many at once, then one in so many seconds.
SOURCE_EVENTS, SOURCE_EVERY_S = 1_000, 10.0
ALL_EVENTS, ALL_EVERY_S = 5_000, 1.0


@dataclass(frozen=True)
class Caller:
    """Who called what, as the edge saw it.

    Attributes:
        source: IP address.
        verify: what TLS made of the client certificate: SUCCESS, NONE or `FAILED:<reason>`.
        serial: its serial number in hexadecimal digits, or "".
        method, path: of the call, without its query.
    """

    source: str
    verify: str
    serial: str
    method: str
    path: str


def check_access(records: Engine, caller: Caller) -> str:
    """Return the name of the enrolled site that calls.

    Raises: AccessError: there is none; the problem is the reason, one of a few sentences.
    """
    if caller.verify == "NONE" or not caller.serial:
        raise AccessError("No client certificate was shown", fix="enroll with an invitation: fl-client join")
    if caller.verify != "SUCCESS" and "expired" in caller.verify:
        raise _expired()
    if caller.verify != "SUCCESS":
        raise AccessError(
            "The client certificate is not of this federation", fix="enroll with this coordinator's invitation"
        )
    wanted = select(Certificate.not_after, Certificate.revoked_at, Site.name, Site.state)
    wanted = wanted.join(Site, Certificate.site == Site.name).where(Certificate.serial == _recorded(caller.serial))
    with reading(records) as session:
        known = session.execute(wanted).one_or_none()
    if known is None:
        raise AccessError(
            "The client certificate is unknown to this federation", fix="enroll with this coordinator's invitation"
        )
    not_after, revoked_at, site, state = known
    if state == "suspended":
        raise AccessError(f"The site {site} is suspended", fix="ask the coordinator, who can reinstate it")
    if state == "revoked":
        raise AccessError(f"The site {site} was revoked", fix="ask the coordinator")
    if state == "left":
        raise AccessError(f"The site {site} has left", fix="ask the coordinator for an invitation to come back")
    if revoked_at is not None:
        raise AccessError("The client certificate was revoked", fix="use the newest one, or ask for an invitation")
    if not_after <= now():
        raise _expired()
    return str(site)


def _expired() -> AccessError:
    return AccessError(
        "The client certificate has expired", fix="ask the coordinator for an invitation, and join again"
    )


def _recorded(serial: str) -> str:
    try:
        return serial_text(int(serial, 16))
    except ValueError:
        return ""


@dataclass
class _Allowance:
    """How many events may still be written: a few at once, then slowly more."""

    most: float
    every_s: float
    left: float
    since: float

    def take(self, moment: float) -> bool:
        self.left = min(self.most, self.left + (moment - self.since) / self.every_s)
        self.since = moment
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class _Seen:
    """A refusal that was written, and how often it was repeated since."""

    since: float
    repeated: int = 0


@dataclass
class Refusals:
    """Writes refusals into the audit log, without letting an intruder fill the log or this process's memory.

    Attributes:
        records: the coordinator's database.
        clock: seconds that only grow.
    """

    records: Engine
    clock: Callable[[], float] = time.monotonic
    _seen: OrderedDict[tuple[Caller, str], _Seen] = field(default_factory=OrderedDict, init=False)
    _sources: OrderedDict[str, _Allowance] = field(default_factory=OrderedDict, init=False)
    _all: _Allowance | None = field(default=None, init=False)
    _unwritten: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def note(self, caller: Caller, reason: str) -> None:
        """Write a refusal, or count it where the same was written within a minute.

        Args:
            caller: who, and what it asked for.
            reason: why it was turned away.
        """
        with self._lock:
            moment = self.clock()
            self._expire(moment)
            key = (caller, reason)
            if key in self._seen:
                self._seen[key].repeated += 1
                return
            self._seen[key] = _Seen(moment)
            self._write(caller, reason, 0, moment)

    def _expire(self, moment: float) -> None:
        """Forget what is older than a minute, or too much; what was repeated is written with its count."""
        while self._seen:
            (caller, reason), oldest = next(iter(self._seen.items()))
            if moment - oldest.since < SAME_S and len(self._seen) < MOST_REMEMBERED:
                break
            self._seen.popitem(last=False)
            if oldest.repeated:
                self._write(caller, reason, oldest.repeated, moment)

    def _write(self, caller: Caller, reason: str, repeated: int, moment: float) -> None:
        if not self._may_write(caller.source, moment):
            self._unwritten += 1
            return
        counts = {"repeated": repeated} if repeated else {}
        counts |= {"unwritten": self._unwritten} if self._unwritten else {}
        what = f"{caller.method} {caller.path}"
        try:
            with transaction(self.records) as session:
                audit.append(
                    session,
                    "intruder",
                    "access.refused",
                    source=caller.source,
                    serial=_recorded(caller.serial),
                    what=what,
                    why=reason,
                    **counts,
                )
        except RecordsError as error:  # the caller is turned away all the same
            logger.error("A refusal could not be recorded: %s", error.problem)  # noqa: TRY400 (expected)
            return
        self._unwritten = 0

    def _may_write(self, source: str, moment: float) -> bool:
        if self._all is None:
            self._all = _Allowance(ALL_EVENTS, ALL_EVERY_S, ALL_EVENTS, moment)
        allowance = self._sources.pop(source, None)
        if allowance is None:
            allowance = _Allowance(SOURCE_EVENTS, SOURCE_EVERY_S, SOURCE_EVENTS, moment)
        self._sources[source] = allowance
        if len(self._sources) > MOST_REMEMBERED:
            self._sources.popitem(last=False)
        return allowance.take(moment) and self._all.take(moment)
