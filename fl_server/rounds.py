"""The round loop, on Flower's public Grid and Strategy hooks.

Where a round stays below its quorum the weights stay as they were and the run pauses; it can go on where it stood.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from core.errors import FederationError
from core.messages import Flat, Manifest, task_of
from core.npy import npy_array
from core.study import Study
from fl_server.checkpoints import RoundRecord, RunState, SiteRound, load_state, save_state
from fl_server.exchange import Answers, Told, exchange
from fl_server.spool import Spool
from fl_server.strategies import FederatedAveraging, Outcome, pooled_counts, task_content

logger = logging.getLogger(__name__)

Opened = Callable[[int], str]
Closed = Callable[[RoundRecord, int], None]


@dataclass(frozen=True)
class Plan:
    """What a run needs beside its study.

    Attributes:
        run: its name.
        folder: its folder.
        sites: returns the names of the sites that take part, asked anew for each round.
        opened: told a round's number when it opens; returns the head of the coordinator's audit log.
        closed: told what each try of a round brought, and its place among all tries, once it is on disk.
        waits: whether a round waits for its deadline; in one process nobody is late, so whoever has not answered when
            all were asked never will.
        told: see `fl_server.exchange.exchange`.
    """

    run: str
    folder: Path
    sites: Callable[[], tuple[str, ...]]
    opened: Opened
    closed: Closed
    waits: bool = True
    told: Told | None = None


def run_rounds(grid: Grid, study: Study, manifest: Manifest, initial: Flat, plan: Plan) -> RunState:
    """Train for the study's rounds and evaluate the last aggregate, from wherever the run stands.

    Args:
        grid: reaches the sites.
        study: rounds, quorum and times.
        manifest: the study's model.
        initial: float32 [manifest.size], the weights before round 1.
        plan: the run.
    Returns: the state after the last evaluation; what it holds is on disk too.
    Raises: FederationError: a round stayed below its quorum, or the folder holds another run.
    """
    state = load_state(plan.folder, study, manifest, initial)
    if is_finished(state, study):
        return state
    strategy = FederatedAveraging(
        study if plan.waits else _in_haste(study), manifest, plan.sites(), Spool(plan.folder / "spool")
    )
    strategy.summary()
    while state.round < study.federation.rounds:
        state = _step(_train, grid, strategy, state, plan)
    return _step(_evaluate, grid, strategy, state, plan)


def _in_haste(study: Study) -> Study:
    federation = study.federation.model_copy(update={"deadline_s": 0.0, "grace_s": 0.0})
    return study.model_copy(update={"federation": federation})


def is_finished(state: RunState, study: Study) -> bool:
    """Say whether the last aggregate is evaluated."""
    return bool(state.history) and state.history[-1].counted and state.history[-1].round > study.federation.rounds


Step = Callable[[Grid, FederatedAveraging, RunState, Plan], RunState]


def _step(step: Step, grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    """Take one step and keep what it brought."""
    state = step(grid, strategy, state, plan)
    save_state(plan.folder, strategy.study, strategy.manifest, state)
    strategy.spool.clear()
    last = state.history[-1]
    plan.closed(last, len(state.history))
    logger.info("Round %d: %s", last.round, sentence(last))
    if last.counted:
        return state
    raise FederationError(
        f"Round {last.round} stayed below its quorum of {strategy.study.federation.quorum}: {sentence(last)}",
        fix="mend the sites named, then resume the run: it goes on from this round",
    )


def _train(grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    number = state.round + 1
    answers = _ask(grid, strategy, strategy.configure_train, state.weights, number, plan)
    average, pooled = strategy.aggregate_train(number, answers.replies)
    record = _record(number, strategy.outcome, answers, pooled)
    if average is None:
        return RunState(state.round, state.weights, (*state.history, record))
    return RunState(number, npy_array(average["weights"].data), (*state.history, record))


def _evaluate(grid: Grid, strategy: FederatedAveraging, state: RunState, plan: Plan) -> RunState:
    number = state.round + 1
    answers = _ask(grid, strategy, strategy.configure_evaluate, state.weights, number, plan)
    pooled = strategy.aggregate_evaluate(number, answers.replies)
    return RunState(state.round, state.weights, (*state.history, _record(number, strategy.outcome, answers, pooled)))


Configure = Callable[[int, ArrayRecord, ConfigRecord, Grid], Iterable[Message]]


def _ask(
    grid: Grid, strategy: FederatedAveraging, configure: Configure, weights: Flat, number: int, plan: Plan
) -> Answers:
    strategy.sites = plan.sites()
    receipt = plan.opened(number)
    task = task_of(strategy.study, number, weights, strategy.manifest.digest, plan.run, receipt)
    return exchange(grid, strategy, configure(number, *task_content(task), grid), plan.told)


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
