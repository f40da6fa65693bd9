"""Federated averaging behind Flower's Strategy hooks: whom to ask, which answers may count, what they average to."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.lib import format as npy
from numpy.typing import NDArray

from core.errors import UpdateRejected
from core.learning.metrics import add
from core.messages import (
    Counts,
    Evaluation,
    Flat,
    Manifest,
    Records,
    Task,
    Update,
    read_evaluation,
    read_update,
    task_records,
)
from core.npy import HEADER_BYTES, NPY, npy_array, npy_bytes
from core.study import Study, closing_sentence
from core.updates import VALIDATION, check_evaluation, check_update
from fl_server.aggregation import federated_average
from fl_server.journal import Journal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What the answers of one exchange amounted to.

    Attributes:
        updates: by site, those that count, without their weights, which are in the journal.
        hashes: by site, the SHA-256 of those weights.
        evaluations: by site, those that count.
        rejected: by site, why its answer may not count.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    updates: dict[str, Update] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """The exchange that is under way.

    Attributes:
        round: its number.
        kind: Flower's message type.
        sites: by node, whom the task went to.
        content: the task.
    """

    round: int
    kind: str
    sites: dict[int, str]
    content: RecordDict

    @property
    def weights(self) -> Flat:
        """What the task held: float32 [parameters]."""
        weights: Flat = npy_array(self.content.array_records["arrays"]["weights"].data)
        return weights


class FederatedAveraging(Strategy):
    """The average over the expected sites, and over no others; what the server makes of it, `rounds` asks elsewhere.

    Who is behind a node is what the SuperLink enrolled it as (`flwr supernode register --name`); a node without such a
    name, or with another's, is never sent anything.
    """

    def __init__(self, study: Study, manifest: Manifest, sites: tuple[str, ...], journal: Journal) -> None:
        self.study = study
        self.manifest = manifest
        self.sites = sites
        self.journal = journal
        self.asked = Asked(0, MessageType.TRAIN, {}, RecordDict())
        self.outcome = Outcome()
        # By the task's message, which has one answer: an update is decoded and checked once.
        self._judged: dict[str, UpdateRejected | None] = {}

    def online(self, grid: Grid) -> dict[int, str]:
        """Return the expected sites whose nodes are connected, by node; a name that two nodes carry is nobody's."""
        named = [(node.node_id, node.name) for node in grid.get_nodes() if node.name in self.sites]
        carriers = [name for _, name in named]
        return {node: name for node, name in sorted(named) if carriers.count(name) == 1}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Address the round's training task to every expected site that is connected and has not answered it yet."""
        return self._address(MessageType.TRAIN, server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Address the evaluation task to every expected site that is connected and has not answered it yet."""
        return self._address(MessageType.EVALUATE, server_round, arrays, config, grid)

    def read(self, reply: Message) -> Update | Evaluation:
        """Read an answer and check that it may count.

        Raises: UpdateRejected: with the reason.
        """
        asked, site = self.asked, self.asked.sites[reply.metadata.src_node_id]
        records = records_of(reply.content, self.manifest.size)
        if asked.kind == MessageType.EVALUATE:
            evaluation = read_evaluation(records)
            check_evaluation(evaluation, site=site, round_number=asked.round, study=self.study, validation=VALIDATION)
            return evaluation
        update = read_update(records)
        check_update(
            update,
            site=site,
            round_number=asked.round,
            shape=self.manifest,
            incoming=asked.weights,
            study=self.study,
            validation=VALIDATION,
        )
        return update

    def judge(self, reply: Message) -> UpdateRejected | None:
        """Enter an answer into the journal, or return why it may not count; the same answer is not read twice.

        The answer's weights go with it, and no message keeps its own.

        Raises: FederationError: the journal cannot be written now.
        """
        task = reply.metadata.reply_to_message_id
        if task not in self._judged:
            try:
                self.journal.keep(self.read(reply))
                self._judged[task] = None
            except UpdateRejected as rejection:
                self._judged[task] = rejection
            finally:
                reply.content.pop("arrays", None)
        return self._judged[task]

    def may_count(self, reply: Message) -> bool:
        """Say whether an answer counts.

        Raises: FederationError: see `judge`.
        """
        return self.judge(reply) is None

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the updates that count, or return nothing when they are fewer than the quorum."""
        self.outcome = self._sort(replies)
        updates = self.outcome.updates
        if len(updates) < self.study.federation.quorum:
            return None, None
        weights = federated_average(self.journal, self.manifest.size)
        pooled = pooled_counts({site: update.validation for site, update in updates.items()})
        return ArrayRecord({"weights": array_of(weights)}), MetricRecord(dict(pooled))

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Add up the evaluations that count, or return nothing when they are fewer than the quorum."""
        self.outcome = self._sort(replies)
        evaluations = self.outcome.evaluations
        if len(evaluations) < self.study.federation.quorum:
            return None
        return MetricRecord(dict(pooled_counts({site: one.validation for site, one in evaluations.items()})))

    def summary(self) -> None:
        """Log what this strategy does."""
        federation = self.study.federation
        logger.info(
            "%s of %s over %s, %d rounds: %s",
            self.study.strategy.name,
            self.study.name,
            ", ".join(self.sites),
            federation.rounds,
            closing_sentence(self.study, len(self.sites)),
        )

    def _address(
        self, kind: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        self.asked = Asked(server_round, kind, {}, RecordDict({"arrays": arrays, "config": config}))
        self._judged = {}
        online = self.online(grid).items()
        return [self.task_for(node, name) for node, name in online if name not in self.journal.answers]

    def task_for(self, node: int, site: str, elapsed_s: float = 0.0) -> Message:
        """Return the exchange's task for one node, once more where it was asked before.

        Args:
            node: as Flower numbers it.
            site: the name it is enrolled under.
            elapsed_s: how long the round has been open.
        """
        self.asked.sites[node] = site
        # After the round has closed nobody waits for the answer, so a site need not begin.
        federation = self.study.federation
        ttl = federation.deadline_s + federation.grace_s - elapsed_s
        return Message(self.asked.content, node, self.asked.kind, ttl=ttl, group_id=str(self.asked.round))

    def _sort(self, replies: Iterable[Message]) -> Outcome:
        """Say what the journal holds and why the others may not count."""
        outcome = Outcome()
        for reply in replies:
            rejection = self.judge(reply)
            if rejection is not None:
                outcome.rejected[self.asked.sites[reply.metadata.src_node_id]] = rejection.problem
        for site, answer in self.journal.answers.items():
            if isinstance(answer, Update):
                outcome.updates[site] = answer
                outcome.hashes[site] = self.journal.arrivals[site].weights_sha256
            else:
                outcome.evaluations[site] = answer
        return outcome


def pooled_counts(counts: Mapping[str, Counts]) -> Counts:
    """Add up the sites' counts in the order of their names."""
    total: Counts = {}
    for site in sorted(counts):
        total = add(total, counts[site])
    return total


def task_content(task: Task) -> tuple[ArrayRecord, ConfigRecord]:
    """Return a task as Flower's records."""
    records = task_records(task)
    return ArrayRecord({name: array_of(values) for name, values in records.arrays.items()}), ConfigRecord(
        dict(records.config)
    )


def array_of(values: NDArray[Any]) -> Array:
    """Return an array as Flower carries it, made with one copy where Flower's own way makes three."""
    return Array(str(values.dtype), values.shape, NPY, npy_bytes(values))


def records_of(content: RecordDict, size: int) -> Records:
    """Return an answer's records as plain numpy and numbers.

    Args:
        content: as it arrived.
        size: values in the study's model; an array of more is not even decoded.
    Raises: UpdateRejected: a record is missing, there are others, or its values are not what such a record may hold.
    """
    if set(content) - {"arrays", "config", "metrics"}:
        raise _unreadable("it holds records that were not agreed")
    config: dict[str, str | int | float] = {}
    for name, value in content.config_records.get("config", ConfigRecord()).items():
        if not isinstance(value, str | int | float):
            raise _unreadable("its config holds more than text and numbers")
        config[name] = value
    metrics: Counts = {}
    for name, numbers in content.metric_records.get("metrics", MetricRecord()).items():
        metrics[name] = [float(n) for n in numbers] if isinstance(numbers, list) else float(numbers)
    sent = content.array_records.get("arrays", ArrayRecord())
    return Records({name: _decoded(array, size) for name, array in sent.items()}, config, metrics)


def _decoded(array: Array, size: int) -> NDArray[Any]:
    if len(array.data) > size * np.dtype(np.float32).itemsize + HEADER_BYTES:
        raise _unreadable("an array is larger than the study's model")
    if array.stype != NPY or not array.data.startswith(npy.MAGIC_PREFIX):
        raise _unreadable("an array is not in numpy's format")
    try:
        return npy_array(array.data)
    except Exception:  # noqa: BLE001 (what broken bytes raise in numpy's parser is no part of its contract)
        raise _unreadable("an array cannot be read") from None


def _unreadable(reason: str) -> UpdateRejected:
    return UpdateRejected(f"The answer cannot be read: {reason}", fix="bring both sides to the same release")
