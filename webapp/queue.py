"""Predictions as jobs in the database: claimed by one worker under a lease, and ended once, with their audit event.

A worker that dies loses its lease, and another begins the prediction anew; one that was only slow finds, when it wants
to end it, that it holds it no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, func, select, update
from sqlalchemy.orm import Session, aliased

from core.clock import after, now
from core.records.db import transaction, unlogged
from core.records.web_tables import Prediction, Tally
from webapp.config import WorkerSettings
from webapp.journal import SERVICE, About, note
from webapp.vault import Vault

WAITING = "queued"
_GIVEN_UP = {
    "problem": "The prediction was begun several times and never ended",
    "fix": "check the scans, then upload them again; if it stays, call whoever runs this server",
}


@dataclass(frozen=True)
class Job:
    """A prediction that this worker holds.

    Attributes:
        id, owner: of the prediction.
        content: keyed hash of the scans and of which series is which.
        file_key, draft: sealed, as in its row.
    """

    id: str
    owner: str
    content: str
    file_key: bytes
    draft: bytes


@dataclass(frozen=True)
class Answer:
    """How a prediction ended.

    Attributes:
        version: the model version that spoke.
        verdict: `usable` or `unreliable`.
        tumor_probability, mgmt_probability: in [0, 1], or None.
        result: JSON, all that is shown.
        seconds: by step.
        same_as: the prediction whose answer and files this is.
    """

    version: str
    verdict: str
    tumor_probability: float | None
    mgmt_probability: float | None
    result: dict[str, object]
    seconds: dict[str, float]
    same_as: str | None = None


def claim(engine: Engine, worker: str, settings: WorkerSettings) -> Job | None:
    """Take the prediction that has waited longest, or None where nothing waits.

    Predictions of one content are never worked on at the same time: the second finds the first one's answer.
    """
    with unlogged(engine) as session:
        found = _next(session)
        if found is None:
            return None
        if found.attempts < settings.attempts and found.file_key_sealed and found.draft_sealed:
            found.state, found.worker, found.lease_until = "running", worker, after(settings.lease_s)
            found.started_at, found.step, found.steps_done = now(), "starting", 0
            found.attempts += 1
            return Job(found.id, found.owner, found.content or "", found.file_key_sealed, found.draft_sealed)
        identifier = found.id
    _give_up(engine, identifier)
    return claim(engine, worker, settings)


def _next(session: Session) -> Prediction | None:
    lost = (Prediction.state == "running", Prediction.lease_until < now())
    taken = aliased(Prediction)
    same_is_running = select(taken.id).where(taken.content == Prediction.content, taken.state == "running").exists()
    for wanted in (lost, (Prediction.state == WAITING, ~same_is_running)):
        query = select(Prediction).where(*wanted).order_by(Prediction.queued_at).limit(1)
        found = session.scalar(query.with_for_update(skip_locked=True))
        if found is not None:
            return found
    return None


def give_back(engine: Engine, worker: str, *, counts: bool) -> None:
    """Let others take what a worker holds.

    Args:
        engine: the database.
        worker: who held it.
        counts: whether it counts as a try, as after the worker's death, which the scans may have caused.
    """
    left = Prediction.attempts if counts else Prediction.attempts - 1
    held = (Prediction.state == "running", Prediction.worker == worker)
    with unlogged(engine) as session:
        given = update(Prediction).where(*held)
        session.execute(given.values(state=WAITING, worker=None, lease_until=None, attempts=left))


def renew(engine: Engine, job: Job, worker: str, lease_s: float, step: str, done: int, steps: int) -> bool:
    """Say how far a prediction is, and that its worker lives.

    Returns: whether the worker holds it still.
    """
    with unlogged(engine) as session:
        done_now = update(Prediction).where(*_held(job, worker))
        values = {"lease_until": after(lease_s), "step": step, "steps_done": done, "steps": steps}
        return bool(session.execute(done_now.values(**values)).rowcount)  # type: ignore[attr-defined]


def finish(engine: Engine, vault: Vault, job: Job, worker: str, answer: Answer) -> bool:
    """End a prediction with its answer: result, event and tallies at once.

    Returns: whether the worker held it still; if not, nothing was written.
    """
    about = About(job.id, answer.version, answer.tumor_probability, answer.mgmt_probability)
    outcome = "abstained" if answer.tumor_probability is None and answer.mgmt_probability is None else "answered"
    with transaction(engine) as session:
        values = {
            "state": "done",
            "finished_at": now(),
            "version": answer.version,
            "verdict": answer.verdict,
            "tumor_probability": answer.tumor_probability,
            "mgmt_probability": answer.mgmt_probability,
            "result_sealed": vault.seal_json(answer.result, f"predictions.result/{job.id}"),
            "same_as": answer.same_as,
            "lease_until": None,
        }
        if not _end(session, job, worker, values):
            return False
        note(session, SERVICE, "prediction.made", about, owner=job.owner, verdict=answer.verdict)
        _count(session, f"predictions:{outcome}", 1)
        for step, seconds in answer.seconds.items():
            _count(session, f"seconds:{step}", seconds)
            _count(session, f"steps:{step}", 1)
    return True


def fail(engine: Engine, vault: Vault, job: Job, worker: str, problem: str, fix: str) -> bool:
    """End a prediction that cannot be made, with the reason that its owner reads."""
    with transaction(engine) as session:
        sealed = vault.seal_json({"problem": problem, "fix": fix}, f"predictions.result/{job.id}")
        values = {"state": "failed", "finished_at": now(), "result_sealed": sealed, "lease_until": None}
        if not _end(session, job, worker, values):
            return False
        note(session, SERVICE, "prediction.failed", About(job.id), owner=job.owner)
        _count(session, "predictions:failed", 1)
    return True


def unfinished(session: Session) -> dict[str, int]:
    """Return how many predictions are drafts, queued and running."""
    states = ("draft", "queued", "running")
    counted = select(Prediction.state, func.count()).where(Prediction.state.in_(states)).group_by(Prediction.state)
    return dict.fromkeys(states, 0) | {state: count for state, count in session.execute(counted)}  # noqa: C416


def waiting(session: Session) -> int:
    """Return how many predictions wait or run."""
    return session.scalar(select(func.count()).where(Prediction.state.in_((WAITING, "running")))) or 0


def place_in_queue(session: Session, prediction: Prediction) -> int:
    """Return how many predictions are before a waiting one."""
    before = (Prediction.state.in_((WAITING, "running")), Prediction.queued_at < prediction.queued_at)
    return session.scalar(select(func.count()).where(*before)) or 0


def _give_up(engine: Engine, identifier: str) -> None:
    with transaction(engine) as session:
        row = session.get(Prediction, identifier, with_for_update=True)
        if row is not None and row.state in (WAITING, "running"):
            row.state, row.finished_at, row.lease_until, row.worker = "failed", now(), None, None
            note(session, SERVICE, "prediction.failed", About(identifier), owner=row.owner, attempts=row.attempts)
            _count(session, "predictions:failed", 1)


def failure_of(vault: Vault, row: Prediction) -> dict[str, str]:
    """Return why a prediction failed, as its problem and fix."""
    if row.result_sealed is None:
        return _GIVEN_UP
    told: dict[str, str] = vault.open_json(row.result_sealed, f"predictions.result/{row.id}")
    return told


def _held(job: Job, worker: str) -> tuple[ColumnElement[bool], ...]:
    return Prediction.id == job.id, Prediction.state == "running", Prediction.worker == worker


def _end(session: Session, job: Job, worker: str, values: Mapping[str, object]) -> bool:
    ended = session.execute(update(Prediction).where(*_held(job, worker)).values(**values))
    return bool(ended.rowcount)  # type: ignore[attr-defined]


def _count(session: Session, name: str, value: float) -> None:
    row = session.get(Tally, name, with_for_update=True)
    if row is None:
        session.add(Tally(name=name, value=value))
        session.flush()
    else:
        row.value += value
