"""What sites do right now, as they say it themselves, and what the coordinator wants of them."""

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from core.clock import moment_of, now
from core.errors import ConfigError
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Effort, Offer, Presence, Run, Site
from core.site_protocol import Orders, Status

UNDER_WAY = ("starting", "running")
# A site that still works on such a run does so in vain.
OVER = ("paused", "stopped", "failed", "finished")


def report(records: Engine, site: str, status: Status) -> str:
    """Keep what a site says it does and what its work for a run has come to.

    Only a change of state, run or round is an event of the audit log, with the head of the site's own log; progress is
    not.

    Args:
        records: the coordinator's database.
        site: who says it, by its certificate.
        status: what it says.
    Returns: the furthest head of the site's own log that was heard of before, or empty: it must be in that log.
    Raises: ConfigError: a time in it is none.
    """
    _check_times(status)
    with transaction(records) as session:
        moment = now()
        session.execute(update(Site).where(Site.name == site).values(seen_at=moment))
        seen = session.get_one(Site, site).log_head or ""
        _follow_log(session, site, status, moment)
        row = session.get(Presence, site)
        said = (status.state, status.run, status.round)
        if row is None or (row.state, row.run, row.round) != said:
            audit.append(
                session,
                f"site:{site}",
                f"site.{status.state}",
                site=site,
                run=status.run,
                round=status.round,
                receipt=status.receipt,
            )
        session.merge(
            Presence(
                site=site,
                state=status.state,
                run=status.run,
                round=status.round,
                done=status.done,
                total=status.total,
                progressed_at=status.progressed_at,
                expected_end=status.expected_end,
                device=printable(status.device),
                cause=printable(status.cause),
            )
        )
        run = session.get(Run, status.run)
        if run is not None and site in run.sites:
            session.merge(_effort(site, status))
    return seen


def orders_for(records: Engine, site: str, status: Status, seen: str) -> Orders:
    """Return what the coordinator wants of a site.

    Args:
        records: the coordinator's database.
        site: its name.
        status: what it does: a run is cancelled only where the site works on it.
        seen: what `report` returned.
    """
    with reading(records) as session:
        current = session.get(Run, status.run) if status.run else None
        pending = select(Offer.study).where(Offer.site == site, Offer.state == "pending").order_by(Offer.offered_at)
        return Orders(
            cancel=[current.id] if current is not None and current.state in OVER else [],
            active=_active(session, site),
            pending_offers=list(session.scalars(pending)),
            receipt=audit.head(session),
            seen=seen,
        )


def _follow_log(session: Session, site: str, status: Status, moment: str) -> None:
    """Note how far a site's log is, and where it has gone back, that it has: an event of ours.

    A log that only grew has more events than before, or the very same head. What a site would have to show to prove
    that one head follows another, it checks itself, against the head that it is told.
    """
    row = session.get_one(Site, site)
    before = row.log_events or 0
    went_back = status.events < before or (status.events == before and row.log_head not in (None, status.receipt))
    if not went_back:
        row.log_events, row.log_head, row.log_lost_at = status.events, status.receipt, None
    elif row.log_lost_at is None:
        row.log_lost_at = moment
        audit.append(
            session,
            f"site:{site}",
            "site.log_lost",
            site=site,
            had={"events": before, "head": row.log_head},
            has={"events": status.events, "head": status.receipt},
        )


def printable(text: str) -> str:
    """Return a site's text without what could steer the terminal that it is shown on."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _check_times(status: Status) -> None:
    try:
        for text in (status.progressed_at, status.expected_end):
            if text is not None:
                moment_of(text)
    except ValueError:
        raise ConfigError("A time in the status is none", fix="install the release that the coordinator runs") from None


def _active(session: Session, site: str) -> list[str]:
    under_way = session.execute(select(Run.id, Run.sites).where(Run.state.in_(UNDER_WAY)).order_by(Run.created_at))
    return [run for run, sites in under_way if site in sites]


def _effort(site: str, status: Status) -> Effort:
    return Effort(
        run=status.run,
        site=site,
        sent_bytes=status.sent_bytes,
        received_bytes=status.received_bytes,
        cpu_s=status.cpu_s,
        gpu_s=status.gpu_s,
    )
