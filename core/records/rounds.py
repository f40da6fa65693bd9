"""The rounds of a run in the coordinator's audit log: who was asked, what arrived, what it came to.

round.opened -> round.asked, answer.arrived, ... -> round.closed

A process that dies leaves a round open. The next one opens it again, and what has arrived since the run's last
`round.closed` still counts where it answers the same question.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import AuditEvent, Round

ACTOR = "server-app"
OPENED, ASKED, ARRIVED, CLOSED = "round.opened", "round.asked", "answer.arrived", "round.closed"


@dataclass(frozen=True)
class Question:
    """What the sites are asked in a round; an answer to another is none to this one.

    Attributes:
        run: the run's name.
        round: 1, 2, ...; one more than the study's rounds for the evaluation of the last aggregate.
        kind: `update` or `evaluation`.
        incoming_sha256: of the weights that they are sent.
    """

    run: str
    round: int
    kind: str
    incoming_sha256: str


@dataclass(frozen=True)
class Arrival:
    """An answer that was accepted.

    Attributes:
        site: whose.
        answer_sha256: of the file that holds all of it but the weights.
        weights_sha256: of the weights, or empty where it has none.
        bytes: of both files.
        receipt: the head of the site's own audit log.
    """

    site: str
    answer_sha256: str
    weights_sha256: str
    bytes: int
    receipt: str


def open_round(engine: Engine, question: Question, *, sites: int, strategy: str, seed: int) -> str:
    """Note that a round opens, or is taken up, and return the head of the audit log, which its tasks cite.

    Args:
        engine: the records.
        question: what will be asked.
        sites: how many take part.
        strategy: how their updates will be averaged.
        seed: the study's; all that is random anywhere follows from it, the site, the round and the epoch.
    """
    with transaction(engine) as session:
        return audit.append(session, ACTOR, OPENED, **asdict(question), sites=sites, strategy=strategy, seed=seed)


def ask_sites(engine: Engine, question: Question, sites: list[str]) -> None:
    """Note that sites are about to be asked, for the first time or again."""
    with transaction(engine) as session:
        audit.append(session, ACTOR, ASKED, **asdict(question), sites=sites)


def note_arrival(engine: Engine, question: Question, arrival: Arrival) -> None:
    """Note that an answer is accepted and on disk."""
    with transaction(engine) as session:
        audit.append(session, ACTOR, ARRIVED, **asdict(question), **asdict(arrival))


def arrivals_of(engine: Engine, question: Question) -> dict[str, Arrival]:
    """Return what has arrived for a question since the run's last round closed, the newest of each site, by name."""
    asked, found = asdict(question), dict[str, Arrival]()
    of_this_run = AuditEvent.body.contains(f'"run":{json.dumps(question.run)}', autoescape=True)
    newest_first = (
        select(AuditEvent).where(AuditEvent.action.in_((ARRIVED, CLOSED)), of_this_run).order_by(AuditEvent.seq.desc())
    )
    with reading(engine) as session:
        for event in session.scalars(newest_first.execution_options(yield_per=100)):
            body: dict[str, Any] = json.loads(event.body)
            if body["run"] != question.run:
                continue
            if event.action == CLOSED:
                break
            if {name: body.pop(name) for name in asked} == asked:
                found.setdefault(body["site"], Arrival(**body))
    return dict(sorted(found.items()))


def close_round(
    engine: Engine, row: Round, *, weights: dict[str, str], receipts: dict[str, str], aggregate: str, strategy: str
) -> None:
    """Keep what a try of a round brought; the same try is kept once.

    Args:
        engine: the records.
        row: the try.
        weights: by site, SHA-256 of what it sent.
        receipts: by site, the head of its own audit log, so that neither side can rewrite history alone.
        aggregate: SHA-256 of the weights that the run goes on with, which stay as they were below the quorum.
        strategy: how they were averaged.
    """
    with transaction(engine) as session:
        if session.get(Round, (row.run, row.number_of_try)) is not None:
            return
        session.add(row)
        audit.append(
            session,
            ACTOR,
            CLOSED,
            run=row.run,
            round=row.round,
            number_of_try=row.number_of_try,
            counted=row.counted,
            weights=weights,
            receipts=receipts,
            left_out=row.left_out,
            aggregate_sha256=aggregate,
            strategy=strategy,
        )


def last_opened_at(session: Session, run: str, *, since: str) -> str:
    """Return when a round of a run was opened, or taken up, last.

    Args:
        session: to read with.
        run: the run's name.
        since: look at no event of before, which are many.
    Returns: text of core.clock, or empty where none was.
    """
    of_this_run = AuditEvent.body.contains(f'"run":{json.dumps(run)}', autoescape=True)
    opened = select(AuditEvent.at).where(AuditEvent.action == OPENED, AuditEvent.at >= since, of_this_run)
    return session.scalar(opened.order_by(AuditEvent.at.desc()).limit(1)) or ""


def rounds_of(engine: Engine, run: str) -> list[Round]:
    """Return every try of every round of a run, in order."""
    with reading(engine) as session:
        return list(session.scalars(select(Round).where(Round.run == run).order_by(Round.number_of_try)))
