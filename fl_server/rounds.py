"""The round loop, on Flower's public Grid and Strategy hooks.

Where a round stays below its quorum the weights stay as they were and the run pauses; it can go on where it stood.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from core.errors import FederationError
from core.messages import Counts, Flat, Manifest, task_of
from core.npy import npy_array
from core.records.rounds import Question
from core.study import Study, is_time_to_stop
from fl_server.bounds import Bounds, RunStops
from fl_server.checkpoints import RoundRecord, RunState, SiteRound, best_round, load_state, save_state
from fl_server.exchange import Answers, Told, exchange
from fl_server.journal import Journal
from fl_server.server_optimizers import ServerState, server_optimizer
from fl_server.strategies import FederatedAveraging, Outcome, pooled_counts, task_content

logger = logging.getLogger(__name__)

Closed = Callable[[RunState], None]


@dataclass(frozen=True)
class Plan:
    """What a run needs beside its study.

    Attributes:
        run: its name.
        folder: its folder.
        sites: returns the names of the sites that take part, asked anew for each round.
        journal: what arrives is written into it before it counts.
        closed: told the run's state after each try of a round, once it is on disk; also again, where a process may have
            ended in between.
        waits: whether a round waits for its deadline; in one process nobody is late, so whoever has not answered when
            all were asked never will.
        told: see `fl_server.exchange.exchange`.
        validate: counts how good weights are, where sites may not; else None.
        bounds: looks whether the run may go on; None where nothing bounds it but its rounds.
    """

    run: str
    folder: Path
    sites: Callable[[], tuple[str, ...]]
    journal: Journal
    closed: Closed
    waits: bool = True
    told: Told | None = None
    validate: Callable[[Flat], Counts] | None = None
    bounds: Bounds | None = None


def run_rounds(grid: Grid, study: Study, manifest: Manifest, initial: Flat, plan: Plan) -> RunState:
    """Train for the study's rounds and evaluate the last aggregate, from wherever the run stands.

    Args:
        grid: reaches the sites.
        study: rounds, quorum and times.
        manifest: the study's model.
        initial: float32 [manifest.size], the weights before round 1.
        plan: the run.
    Returns: the state after the last evaluation; what it holds is on disk too.
    Raises:
        RunStops: the run's budget is spent, or it gets no better; what was done is kept.
        FederationError: a round stayed below its quorum, the disk took no answers, or the folder holds another run.
        RecordsError: the database cannot be used.
        OSError: the state cannot be written.
    """
    state = load_state(plan.folder, study, manifest, initial)
    if state.history:
        plan.closed(state)
    if is_finished(state, study):
        plan.journal.clear()
        return state
    strategy = FederatedAveraging(study if plan.waits else _in_haste(study), manifest, plan.sites(), plan.journal)
    strategy.summary()
    while state.round < study.federation.rounds:
        if gets_no_better(state, study):
            raise RunStops(no_better_sentence(state, study))
        state = _step(_train, grid, strategy, state, plan)
    return _step(_validate if plan.validate else _evaluate, grid, strategy, state, plan)


def _in_haste(study: Study) -> Study:
    federation = study.federation.model_copy(update={"deadline_s": 0.0, "grace_s": 0.0})
    return study.model_copy(update={"federation": federation})


def is_finished(state: RunState, study: Study) -> bool:
    """Say whether the last aggregate is evaluated."""
    return bool(state.history) and state.history[-1].counted and state.history[-1].round > study.federation.rounds


def gets_no_better(state: RunState, study: Study) -> bool:
    """Say whether a run has gone on for its patience without a better round; the newest aggregate is not judged yet."""
    rounds, patience = study.federation.rounds, study.stopping.patience
    return state.round < rounds and is_time_to_stop(state.round - 1, best_round(state.history, study), rounds, patience)


def no_better_sentence(state: RunState, study: Study) -> str:
    """Say why a run stops that gets no better."""
    return (
        f"no round after round {best_round(state.history, study)} was better in {study.stopping.patience} rounds "
        f"(stopping.patience), after {state.round} of {study.federation.rounds}"
    )


Step = Callable[[Grid, FederatedAveraging, RunState, Plan], RunState]


def _step(step: Step, grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    """Take one step, once it may begin, and keep what it brought."""
    if plan.bounds:
        plan.bounds.before_round(state.round + 1)
    state = step(grid, strategy, state, plan)
    save_state(plan.folder, strategy.study, strategy.manifest, state)
    plan.closed(state)
    plan.journal.clear()
    last = state.history[-1]
    logger.info("Round %d: %s", last.round, sentence(last))
    if last.counted:
        return state
    raise FederationError(
        f"Round {last.round} stayed below its quorum of {strategy.study.federation.quorum}: {sentence(last)}",
        fix="mend the sites named, then resume the run: it goes on from this round",
    )


def _train(grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    number = state.round + 1
    question = Question(plan.run, number, "update", state.weights_sha256)
    answers = _ask(grid, strategy, strategy.configure_train, state.weights, question, plan)
    average, pooled = strategy.aggregate_train(number, answers.replies)
    record = _record(number, strategy.outcome, answers, pooled)
    if plan.validate:
        record = replace(record, validation=plan.validate(state.weights))
    if average is None:
        return replace(state, history=(*state.history, record))
    after = server_optimizer(strategy.study.strategy).apply(
        ServerState(state.weights, state.memory), npy_array(average["weights"].data)
    )
    return RunState(number, after.weights, (*state.history, record), after.memory)


def _evaluate(grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    number = state.round + 1
    question = Question(plan.run, number, "evaluation", state.weights_sha256)
    answers = _ask(grid, strategy, strategy.configure_evaluate, state.weights, question, plan)
    pooled = strategy.aggregate_evaluate(number, answers.replies)
    return replace(state, history=(*state.history, _record(number, strategy.outcome, answers, pooled)))


def _validate(_grid: Grid, _strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    """Take the last step without asking anybody."""
    assert plan.validate  # noqa: S101 (only then is this the last step)
    began = time.monotonic()
    counts = plan.validate(state.weights)
    record = RoundRecord(state.round + 1, True, {}, {}, {}, counts, time.monotonic() - began)
    return replace(state, history=(*state.history, record))


Configure = Callable[[int, ArrayRecord, ConfigRecord, Grid], Iterable[Message]]


def _ask(
    grid: Grid, strategy: FederatedAveraging, configure: Configure, weights: Flat, question: Question, plan: Plan
) -> Answers:
    strategy.sites = plan.sites()
    receipt = plan.journal.open(
        question, strategy.sites, strategy=strategy.study.strategy.name, seed=strategy.study.seed
    )
    task = task_of(strategy.study, question.round, weights, strategy.manifest.digest, plan.run, receipt)
    look = plan.bounds.during_round if plan.bounds else None
    return exchange(grid, strategy, configure(question.round, *task_content(task), grid), plan.told, look)


def _record(number: int, outcome: Outcome, answers: Answers, pooled: MetricRecord | None) -> RoundRecord:
    sites = {
        site: SiteRound(
            update.validation, update.receipt, update.examples, update.training, update.cohort, outcome.hashes[site]
        )
        for site, update in outcome.updates.items()
    } | {site: SiteRound(answer.validation, answer.receipt) for site, answer in outcome.evaluations.items()}
    return RoundRecord(
        round=number,
        counted=pooled is not None,
        sites=dict(sorted(sites.items())),
        rejected=dict(sorted(outcome.rejected.items())),
        failed=dict(sorted(answers.failed.items())),
        validation=pooled_counts({site: brought.validation for site, brought in sites.items()}),
        seconds=answers.seconds,
    )


def sentence(record: RoundRecord) -> str:
    """Say what a try of a round brought, site by site."""
    parts = [f"{len(record.sites)} site(s) counted"]
    parts += [f"{site} was rejected ({why})" for site, why in record.rejected.items()]
    parts += [f"{site} did not answer ({why})" for site, why in record.failed.items()]
    return "; ".join(parts)
