"""Every event of the web application: in the audit log's chain, and by what auditors look for, in one transaction."""

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.records import audit
from core.records.tables import AuditEvent
from core.records.web_tables import LogEntry

# Nobody who has signed in.
ANYBODY = "anybody"
# The service itself: its workers, its retention.
SERVICE = "service"
# Whoever has an account on the machine itself, and runs fl-web there.
CONSOLE = "console"


@dataclass(frozen=True)
class About:
    """What an event is about, as the log is searched by it.

    Attributes:
        prediction: its id.
        model: the model version that spoke.
        tumor_probability, mgmt_probability: as they were shown or made.
    """

    prediction: str | None = None
    model: str | None = None
    tumor_probability: float | None = None
    mgmt_probability: float | None = None


NOTHING = About()


def append(session: Session, actor: str, action: str, **body: object) -> None:
    """Do as `core.records.audit.append` for a user, with what auditors look for: where the records change themselves.

    Args:
        session: of a transaction that writes.
        actor: `user:` and a name.
        action, body: as for `note`.
    """
    note(session, actor.removeprefix("user:"), action, NOTHING, **body)


def note(session: Session, user: str, action: str, about: About = NOTHING, **body: object) -> int:
    """Add an event to the audit log within the caller's transaction.

    Args:
        session: of a transaction that writes.
        user: who did it; ANYBODY or SERVICE where it was nobody.
        action: what was done, such as `prediction.shown`.
        about: what it is about.
        body: what else is to be told; nothing that names a patient, no secrets.
    Returns: the event's number.
    Raises: AuditError: the log is damaged.
    """
    told = {name: value for name, value in vars(about).items() if value is not None}
    audit.append(session, f"user:{user}", action, **told, **body)
    seq, at = session.execute(select(AuditEvent.seq, AuditEvent.at).order_by(AuditEvent.seq.desc()).limit(1)).one()
    session.execute(insert(LogEntry).values(seq=seq, at=at, user=user, action=action, **vars(about)))
    return seq
