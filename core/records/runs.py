"""Runs of studies and their states, each change with its audit event in one transaction.

offered -> starting -> running -> finished; or paused, stopped or failed, from where it may be resumed
"""

from collections.abc import Callable

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import FederationError
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Offer, Run, Site, StudyBundle, Version
from core.study import Study, study_of

# Which state may follow which.
MAY_BECOME = {
    "offered": {"starting", "stopped"},
    "starting": {"starting", "running", "failed", "stopped"},
    "running": {"starting", "running", "finished", "paused", "failed", "stopped"},
    "paused": {"starting", "stopped"},
    "failed": {"starting", "stopped"},
    "stopped": {"starting"},
    "finished": set[str](),
}
ENDED = ("finished", "stopped", "failed")


def offer_study(
    engine: Engine, *, study: str, toml: str, bundle: bytes, bundle_sha256: str, sites: list[str], actor: str
) -> None:
    """Offer a study to sites; one that was offered before must be the same, byte for byte.

    Raises: FederationError: another study of this name was offered.
    """
    with transaction(engine) as session:
        known = session.get(StudyBundle, study)
        if known is not None and known.bundle_sha256 != bundle_sha256:
            raise FederationError(
                f"Another study named {study} was offered already", fix="give the changed study a name of its own"
            )
        if known is None:
            session.add(
                StudyBundle(name=study, bundle_sha256=bundle_sha256, toml=toml, bundle=bundle, created_at=now())
            )
            session.flush()
        asked = set(session.scalars(select(Offer.site).where(Offer.study == study)))
        for site in sorted(set(sites) - asked):
            session.add(Offer(study=study, site=site, state="pending", reason="", offered_at=now(), answered_at=None))
            audit.append(session, actor, "study.offered", study=study, site=site, bundle_sha256=bundle_sha256)


def answers_of(engine: Engine, study: str) -> dict[str, Offer]:
    """Return each asked site's answer to a study, by name."""
    with reading(engine) as session:
        return {offer.site: offer for offer in session.scalars(select(Offer).where(Offer.study == study))}


def offered_study(engine: Engine, study: str) -> Study:
    """Return a study that was offered.

    Raises: FederationError: there is none of this name.
    """
    with reading(engine) as session:
        row = session.get(StudyBundle, study)
    if row is None:
        raise FederationError(f"There is no study {study}", fix="launch it first")
    return study_of(row.toml)


def taking_part(engine: Engine, run: Run) -> tuple[str, ...]:
    """Return the names of a run's sites that have approved its study and are enrolled.

    A simulation on one machine enrolls nobody and asks for no approval: all of its sites take part.
    """
    with reading(engine) as session:
        offers = {offer.site: offer.state for offer in session.scalars(select(Offer).where(Offer.study == run.study))}
        states = {site.name: site.state for site in session.scalars(select(Site).where(Site.name.in_(run.sites)))}
    return tuple(
        site
        for site in run.sites
        if offers.get(site, "approved") == "approved" and states.get(site, "enrolled") == "enrolled"
    )


def create_run(
    engine: Engine, *, run: str, study: str, folder: str, sites: list[str], actor: str, state: str = "offered"
) -> None:
    """Enter a run of a study, or leave it as it is where it is entered already."""
    with transaction(engine) as session:
        if session.get(Run, run) is not None:
            return
        moment = now()
        session.add(
            Run(
                id=run,
                study=study,
                folder=folder,
                sites=sorted(sites),
                state=state,
                wish=None,
                cause="",
                flower_run=None,
                process=None,
                version=None,
                created_at=moment,
                changed_at=moment,
            )
        )
        audit.append(session, actor, f"run.{state}", run=run, study=study, sites=sorted(sites))


def run_of(engine: Engine, run: str) -> Run:
    """Return a run.

    Raises: FederationError: there is none of this name.
    """
    with reading(engine) as session:
        return _get(session, run)


def runs_in(engine: Engine, *states: str) -> list[Run]:
    """Return the runs in any of these states, or all, oldest first."""
    with reading(engine) as session:
        wanted = select(Run).order_by(Run.created_at)
        return list(session.scalars(wanted.where(Run.state.in_(states)) if states else wanted))


def move_run(engine: Engine, run: str, state: str, *, actor: str, cause: str = "", **changed: str) -> None:
    """Bring a run into another state; `changed` are further columns of its row.

    Raises: FederationError: no such run, or it may not become that from where it is.
    """
    with transaction(engine) as session:
        row = _get(session, run, lock=True)
        if state not in MAY_BECOME[row.state]:
            raise FederationError(
                f"The run {run} is {row.state} and cannot become {state}", fix="see `fl-server status` for where it is"
            )
        row.state, row.cause, row.wish, row.changed_at = state, cause, None, now()
        for name, value in changed.items():
            setattr(row, name, value)
        audit.append(session, actor, f"run.{state}", run=run, cause=cause)


def note_flower_run(engine: Engine, run: str, flower_run: str) -> None:
    """Note which of Flower's runs works on a run, whose process may have come up meanwhile."""
    with transaction(engine) as session:
        _get(session, run, lock=True).flower_run = flower_run


def wish(engine: Engine, run: str, wanted: str, *, actor: str, append: Callable[..., object] = audit.append) -> None:
    """Ask the coordinator's service to `stop` or `resume` a run; `append` puts the event into the log.

    Raises: FederationError: no such run, or it cannot be stopped or resumed as it is.
    """
    with transaction(engine) as session:
        row = _get(session, run, lock=True)
        if {"stop": "stopped", "resume": "starting"}[wanted] not in MAY_BECOME[row.state]:
            raise FederationError(f"The run {run} is {row.state}: it cannot {wanted}", fix="see `fl-server status`")
        row.wish = wanted
        append(session, actor, f"run.{wanted}-asked", run=run)


def note_waiting(engine: Engine, run: str, cause: str) -> None:
    """Note why a run that is under way waits; with an empty cause, that it goes on."""
    with transaction(engine) as session:
        row = _get(session, run, lock=True)
        if row.state == "running" and row.cause != cause:
            row.cause = cause
            audit.append(session, "server-app", "run.waits" if cause else "run.goes-on", run=run, cause=cause)


def register_version(engine: Engine, run: str, *, name: str, weights_sha256: str, stopped: str = "") -> None:
    """Note that a run's best model is a candidate version, and that the run has finished, or was stopped.

    Args:
        engine: the records.
        run: its name.
        name: the version's.
        weights_sha256: of its weights.
        stopped: why the run does not go on to its last round; empty where it did.
    Raises: FederationError: there is no such run.
    """
    state = "stopped" if stopped else "finished"
    with transaction(engine) as session:
        row = _get(session, run, lock=True)
        if session.get(Version, name) is None:
            session.add(
                Version(
                    name=name,
                    study=row.study,
                    run=run,
                    state="candidate",
                    weights_sha256=weights_sha256,
                    created_at=now(),
                    decided_at=None,
                    wish=None,
                    wished_by=None,
                    cause=None,
                )
            )
            audit.append(
                session, "server-app", "version.registered", run=run, version=name, weights_sha256=weights_sha256
            )
        if (row.version, row.state, row.cause) != (name, state, stopped):
            row.version, row.state, row.cause, row.changed_at = name, state, stopped, now()
            why = {"cause": stopped} if stopped else {}
            audit.append(session, "server-app", f"run.{state}", run=run, version=name, **why)


def versions(engine: Engine) -> list[Version]:
    """Return every model version, oldest first."""
    with reading(engine) as session:
        return list(session.scalars(select(Version).order_by(Version.created_at)))


def _get(session: Session, run: str, *, lock: bool = False) -> Run:
    row = session.get(Run, run, with_for_update=lock)
    if row is None:
        raise FederationError(f"There is no run {run}", fix="see `fl-server status` for the runs there are")
    return row
