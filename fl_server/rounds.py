"""The round loop, on Flower's public Grid and Strategy hooks.

A round asks every expected site that is connected, takes answers as they come, and closes when all have answered, when
the quorum is reached and the grace is over, or at the deadline. Below the quorum the weights stay as they were and the
round is tried again; the run stops after a few tries and can be resumed where it stood.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from flwr.serverapp import Grid

from core.errors import FederationError
from core.messages import SITE_ERROR, Flat, Manifest, task_of
from core.study import FederationSettings, Study
from fl_server.checkpoints import RoundRecord, RunState, SiteRound, load_state, save_state
from fl_server.strategies import FederatedAveraging, Outcome, pooled_counts, task_content

logger = logging.getLogger(__name__)

TRIES = 3
POLL_S = 0.2
NOT_CONNECTED = "not connected"
NO_ANSWER = "no answer before the round closed"

# What an error code means, in our words: the text that comes with it is the site's and is never kept.
# Below SITE_ERROR the codes are Flower's own (flwr.common.constant.ErrorCode).
MEANINGS = {
    1: "the site's app could not be loaded",
    2: "the site's app stopped with an error that it did not report itself",
    3: "the task expired before the site took it",
    4: "the answer expired before it arrived",
    5: "the site's node went offline",
    7: "the site did not approve this app",
    8: "the site's app stopped responding",
    SITE_ERROR: "an unexpected error at the site",
    SITE_ERROR + 2: "the site's settings are wrong",
    SITE_ERROR + 3: "scans or labels at the site cannot be used",
    SITE_ERROR + 4: "scans or labels at the site cannot be used",
    SITE_ERROR + 5: "scans or labels at the site cannot be used",
    SITE_ERROR + 6: "the site's cohort is not prepared for this study",
    SITE_ERROR + 7: "the site could not use the task: another release, study or model",
    SITE_ERROR + 8: "training at the site could not go on",
}


@dataclass(frozen=True)
class Answers:
    """What came back from the sites that were asked.

    Attributes:
        replies: answers with content, at most one a site; whether they may count is the strategy's to say.
        failed: by site, why it gave none.
        seconds: how long the round was open.
    """

    replies: list[Message]
    failed: dict[str, str]
    seconds: float


def run_rounds(
    grid: Grid, study: Study, manifest: Manifest, initial: Flat, sites: tuple[str, ...], run: Path
) -> RunState:
    """Train for the study's rounds and evaluate the last aggregate, from wherever the run in this folder stands.

    Args:
        grid: reaches the sites.
        study: rounds, quorum and times.
        manifest: the study's model.
        initial: float32 [manifest.size], the weights before round 1.
        sites: names of the sites that may take part.
        run: the run's folder.
    Returns: the state after the last evaluation; what it holds is on disk too.
    Raises: FederationError: a round stayed below its quorum, or the folder holds another run.
    """
    state = load_state(run, study, manifest, initial)
    if is_finished(state, study):
        return state
    strategy = FederatedAveraging(study, manifest, sites)
    strategy.summary()
    _await_sites(grid, strategy, len(sites), study.federation.grace_s)
    while state.round < study.federation.rounds:
        state = _until_counted(_train, grid, strategy, state, run)
    return _until_counted(_evaluate, grid, strategy, state, run)


def is_finished(state: RunState, study: Study) -> bool:
    """Say whether the last aggregate is evaluated."""
    return bool(state.history) and state.history[-1].counted and state.history[-1].round > study.federation.rounds


Step = Callable[[Grid, FederatedAveraging, RunState], RunState]


def _until_counted(step: Step, grid: Grid, strategy: FederatedAveraging, state: RunState, run: Path) -> RunState:
    """Try one step until it counts, and keep what every try brought."""
    for _ in range(TRIES):
        state = step(grid, strategy, state)
        save_state(run, strategy.study, strategy.manifest, state)
        last = state.history[-1]
        logger.info("Round %d: %s", last.round, _sentence(last))
        if last.counted:
            return state
    raise FederationError(
        f"Round {last.round} stayed below its quorum of {strategy.study.federation.quorum} in {TRIES} tries: "
        + _sentence(last),
        fix="mend the sites named, then start the same run again: it goes on from this round",
    )


def _train(grid: Grid, strategy: FederatedAveraging, state: RunState) -> RunState:
    number = state.round + 1
    answers = _ask(grid, strategy, strategy.configure_train, state.weights, number)
    average, pooled = strategy.aggregate_train(number, answers.replies)
    record = _record(number, strategy.outcome, answers, pooled)
    if average is None:
        return RunState(state.round, state.weights, (*state.history, record))
    return RunState(number, average["weights"].numpy(), (*state.history, record))


def _evaluate(grid: Grid, strategy: FederatedAveraging, state: RunState) -> RunState:
    number = state.round + 1
    answers = _ask(grid, strategy, strategy.configure_evaluate, state.weights, number)
    pooled = strategy.aggregate_evaluate(number, answers.replies)
    return RunState(state.round, state.weights, (*state.history, _record(number, strategy.outcome, answers, pooled)))


Configure = Callable[[int, ArrayRecord, ConfigRecord, Grid], Iterable[Message]]


def _ask(grid: Grid, strategy: FederatedAveraging, configure: Configure, weights: Flat, number: int) -> Answers:
    started, federation = time.monotonic(), strategy.study.federation
    _await_sites(grid, strategy, federation.quorum, federation.deadline_s)
    arrays, config = task_content(task_of(strategy.study, number, weights, strategy.manifest.digest))
    messages = list(configure(number, arrays, config, grid))
    replies, silent = exchange(grid, messages, strategy.may_count, federation)
    asked = strategy.asked.sites
    failed = {asked[node]: why for node, why in silent.items()}
    failed |= {site: NOT_CONNECTED for site in strategy.sites if site not in asked.values()}
    return Answers(replies, failed, time.monotonic() - started)


def exchange(
    grid: Grid, messages: list[Message], may_count: Callable[[Message], bool], federation: FederationSettings
) -> tuple[list[Message], dict[int, str]]:
    """Send tasks and collect answers until all are there, the quorum's grace is over, or the deadline has come.

    Args:
        grid: reaches the sites.
        messages: one task a node.
        may_count: whether an answer counts towards the quorum.
        federation: quorum and times.
    Returns: the first answer of each node, and for every other node why there is none. An answer twice, or to an
        earlier round's task, is left aside.
    """
    # Flower leaves out what it could not send: one entry, or all of them.
    ids: list[str | None] = list(grid.push_messages(messages)) or [None] * len(messages)
    nodes = [message.metadata.dst_node_id for message in messages]
    pending = {sent: node for sent, node in zip(ids, nodes, strict=True) if sent}
    silent = {node: "the task could not be delivered" for sent, node in zip(ids, nodes, strict=True) if not sent}
    replies, counting = [], 0
    closes = time.monotonic() + federation.deadline_s
    while pending:
        for reply in grid.pull_messages(list(pending)):
            node = pending.pop(reply.metadata.reply_to_message_id, None)
            if node is None:
                continue
            if reply.has_error():
                silent[node] = meaning_of(reply.error)
            elif reply.metadata.src_node_id != node:
                silent[node] = "another node answered in its place"
            else:
                replies.append(reply)
                counting += may_count(reply)
        now = time.monotonic()
        if counting >= federation.quorum:
            closes = min(closes, now + federation.grace_s)
        if now >= closes:
            break
        if pending:
            time.sleep(min(POLL_S, closes - now))
    return replies, silent | dict.fromkeys(pending.values(), NO_ANSWER)


def meaning_of(error: Error) -> str:
    """Say what an error reply means without repeating its text, which could hold anything; a type's name may pass."""
    meaning = MEANINGS.get(error.code, "an error without a known meaning")
    kind = error.reason or ""
    named = error.code >= SITE_ERROR and len(kind) <= 60 and kind.isascii() and kind.isidentifier()
    return f"{meaning} (code {error.code}, {kind})" if named else f"{meaning} (code {error.code})"


def _await_sites(grid: Grid, strategy: FederatedAveraging, count: int, seconds: float) -> None:
    """Wait until so many expected sites are connected, but no longer than this."""
    gives_up = time.monotonic() + seconds
    while len(strategy.online(grid)) < count and (left := gives_up - time.monotonic()) > 0:
        time.sleep(min(POLL_S, left))


def _record(number: int, outcome: Outcome, answers: Answers, pooled: MetricRecord | None) -> RoundRecord:
    sites = {
        site: SiteRound(update.validation, update.examples, update.training, update.cohort)
        for site, update in outcome.updates.items()
    } | {site: SiteRound(evaluation.validation) for site, evaluation in outcome.evaluations.items()}
    return RoundRecord(
        round=number,
        counted=pooled is not None,
        sites=dict(sorted(sites.items())),
        rejected=dict(sorted(outcome.rejected.items())),
        failed=dict(sorted(answers.failed.items())),
        validation=pooled_counts({site: brought.validation for site, brought in sites.items()}),
        seconds=answers.seconds,
    )


def _sentence(record: RoundRecord) -> str:
    parts = [f"{len(record.sites)} site(s) counted"]
    parts += [f"{site} was rejected ({why})" for site, why in record.rejected.items()]
    parts += [f"{site} did not answer ({why})" for site, why in record.failed.items()]
    return "; ".join(parts)
