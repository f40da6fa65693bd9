"""A site's life with the federation once it is known: enrolled, suspended, revoked or gone.

invited -> enrolled <-> suspended; from any of these `revoked`, which no invitation undoes, or `left`, which one does

Each change is one transaction with its audit event, and holds from the next call on: the edge asks at every one.
"""

import logging
from collections.abc import Callable

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import AccessError, FederationError
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Certificate, Invitation, Site

logger = logging.getLogger(__name__)

COORDINATOR = "coordinator"


def suspend(records: Engine, site: str) -> None:
    """Keep an enrolled site out until it is resumed.

    Raises: AccessError: it is not enrolled.
    """
    _move(records, site, "suspended", of=("enrolled",), actor=COORDINATOR)


def resume(records: Engine, site: str) -> None:
    """Let a suspended site in again.

    Raises: AccessError: it is not suspended.
    """
    _move(records, site, "enrolled", of=("suspended",), actor=COORDINATOR, action="site.resumed")


def revoke(records: Engine, site: str, unregister: Callable[[str], None]) -> None:
    """Keep a site out for good: its certificates and invitations no longer hold, from now on.

    Args:
        records: the coordinator's database.
        site: its name.
        unregister: makes Flower forget a node; where it fails, `forget_nodes` makes up for it later.
    Raises: AccessError: there is no such site, or it was revoked before.
    """
    node_id = _move(records, site, "revoked", of=("invited", "enrolled", "suspended", "left"), actor=COORDINATOR)
    if node_id and forget_node(unregister, site, node_id):
        _drop_node(records, site, node_id)


def leave(records: Engine, site: str, unregister: Callable[[str], None]) -> None:
    """Let a site go, at its own wish; the arguments are `revoke`'s.

    Raises: AccessError: it is not enrolled.
    """
    node_id = _move(records, site, "left", of=("enrolled", "suspended"), actor=f"site:{site}")
    if node_id and forget_node(unregister, site, node_id):
        _drop_node(records, site, node_id)


def forget_nodes(records: Engine, unregister: Callable[[str], None]) -> None:
    """Make Flower forget the nodes of sites that were revoked or have left while it could not be asked."""
    with reading(records) as session:
        gone = select(Site).where(Site.state.in_(("revoked", "left")), Site.node_id.is_not(None))
        left = [(site.name, site.node_id or "") for site in session.scalars(gone)]
    for name, node_id in left:
        if forget_node(unregister, name, node_id):
            _drop_node(records, name, node_id)


def seen(records: Engine, site: str) -> None:
    """Note that a site has just called."""
    with transaction(records) as session:
        session.execute(update(Site).where(Site.name == site).values(seen_at=now()))


def sites(records: Engine) -> list[Site]:
    """Return every site that was ever invited, by name."""
    with reading(records) as session:
        return list(session.scalars(select(Site).order_by(Site.name)))


def forget_node(unregister: Callable[[str], None], site: str, node_id: str) -> bool:
    """Make Flower forget a node, and say whether it has."""
    try:
        unregister(node_id)
    except FederationError as error:  # it is kept out all the same: no certificate of its own passes the edge
        logger.warning("Flower still knows the node %s of %s: %s", node_id, site, error.problem)
        return False
    return True


def revoke_certificates(session: Session, site: str) -> None:
    """Let no certificate that a site has hold any longer."""
    valid = update(Certificate).where(Certificate.site == site, Certificate.revoked_at.is_(None))
    session.execute(valid.values(revoked_at=now()))


def cancel_invitations(session: Session, site: str) -> None:
    """Let no invitation that a site has not used hold any longer."""
    unused = update(Invitation).where(Invitation.site == site, Invitation.used_at.is_(None))
    session.execute(unused.values(used_at=now()))


def _move(
    records: Engine, name: str, state: str, *, of: tuple[str, ...], actor: str, action: str | None = None
) -> str | None:
    """Bring a site into another state; returns its node."""
    with transaction(records) as session:
        site = session.get(Site, name)
        if site is None:
            raise AccessError(f"There is no site {name}", fix="see `fl-server sites` for those there are")
        if site.state not in of:
            raise AccessError(f"{name} is {site.state}, not {' or '.join(of)}", fix="see `fl-server sites`")
        site.state = state
        if state in ("revoked", "left"):
            revoke_certificates(session, name)
        if state != "enrolled":
            cancel_invitations(session, name)
        audit.append(session, actor, action or f"site.{state}", site=name)
        return site.node_id


def _drop_node(records: Engine, site: str, node_id: str) -> None:
    with transaction(records) as session:
        session.execute(update(Site).where(Site.name == site, Site.node_id == node_id).values(node_id=None))
        audit.append(session, "service", "site.node-forgotten", site=site, node=node_id)
