"""What is decided over model versions, and what is wished: each change of a row with its audit event.

A page of the coordinator's, which holds no key, writes a wish; the coordinator's service, which does, signs.

candidate -> approved -> retired
"""

from collections.abc import Callable
from typing import Literal

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import FederationError
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Version

Wish = Literal["approve", "retire"]

# From which state a wish leads to which.
LEADS: dict[Wish, tuple[str, str]] = {"approve": ("candidate", "approved"), "retire": ("approved", "retired")}
LONGEST_CAUSE = 500


def wish_version(
    engine: Engine, name: str, wanted: Wish, *, actor: str, append: Callable[..., object] = audit.append
) -> None:
    """Ask the coordinator's service to approve or retire a model version; the same wish again changes nothing.

    Args:
        engine: the coordinator's records.
        name: the version's.
        wanted: `approve` or `retire`.
        actor: who asks, as the audit log names them.
        append: puts the event into the log; the web's does more, so that auditors find it.
    Raises: FederationError: no such version, or its state does not allow it.
    """
    before, after = LEADS[wanted]
    with transaction(engine) as session:
        row = _get(session, name)
        if row.state != before:
            raise FederationError(
                f"The model version {name} is {row.state} and cannot become {after}", fix="see `fl-server models`"
            )
        if row.wish == wanted:
            return
        row.wish, row.wished_by, row.cause = wanted, actor, None
        append(session, actor, f"version.{wanted}-asked", version=name, weights_sha256=row.weights_sha256)


def wished_versions(engine: Engine) -> list[Version]:
    """Return the versions of which somebody wishes something, oldest first."""
    with reading(engine) as session:
        return list(session.scalars(select(Version).where(Version.wish.is_not(None)).order_by(Version.created_at)))


def state_of(engine: Engine, name: str) -> str:
    """Return whether a version is `candidate`, `approved` or `retired`, as the records have it.

    Raises: FederationError: there is none of this name.
    """
    with reading(engine) as session:
        return _get(session, name, lock=False).state


def decide_version(engine: Engine, name: str, state: str, *, actor: str, wished_by: str = "") -> None:
    """Note that a version is approved or retired; what was wished of it is settled.

    Args:
        engine: the coordinator's records.
        name: the version's.
        state: `approved` or `retired`.
        actor: who signed.
        wished_by: who asked for it, where that was another.
    Raises: FederationError: there is none of this name.
    """
    with transaction(engine) as session:
        row = _get(session, name)
        row.state, row.decided_at = state, now()
        row.wish = row.wished_by = row.cause = None
        told = {"wished_by": wished_by} if wished_by else {}
        audit.append(session, actor, f"version.{state}", version=name, weights_sha256=row.weights_sha256, **told)


def refuse_wish(engine: Engine, name: str, cause: str, *, actor: str) -> None:
    """Note that what was wished of a version cannot be done, and why; it is wished no more.

    Raises: FederationError: there is none of this name.
    """
    with transaction(engine) as session:
        row = _get(session, name)
        if row.wish is None:  # decided at the command line meanwhile
            return
        wanted, wished_by = row.wish, row.wished_by
        row.wish, row.wished_by, row.cause = None, None, cause[:LONGEST_CAUSE]
        audit.append(session, actor, f"version.{wanted}-refused", version=name, wished_by=wished_by, cause=cause)


def _get(session: Session, name: str, *, lock: bool = True) -> Version:
    row = session.get(Version, name, with_for_update=lock)
    if row is None:
        raise FederationError(f"There is no model version {name}", fix="see `fl-server models`")
    return row
