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
from fl_server.spool import Spool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What the answers of one exchange amounted to.

    Attributes:
        updates: by site, those that count, without their weights, which are in the spool.
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
    """FedAvg over the expected sites, and over no others.

    Who is behind a node is what the SuperLink enrolled it as (`flwr supernode register --name`); a node without such a
    name, or with another's, is never sent anything.
    """

    def __init__(self, study: Study, manifest: Manifest, sites: tuple[str, ...], spool: Spool) -> None:
        self.study = study
        self.manifest = manifest
        self.sites = sites
        self.spool = spool
        self.asked = Asked(0, MessageType.TRAIN, {}, RecordDict())
        self.outcome = Outcome()
        # By the task's message, which has one answer: an update is decoded and checked once.
        self._judged: dict[str, Update | Evaluation | UpdateRejected] = {}
        self._hashes: dict[str, str] = {}

    def online(self, grid: Grid) -> dict[int, str]:
        """Return the expected sites whose nodes are connected, by node; a name that two nodes carry is nobody's."""
        named = [(node.node_id, node.name) for node in grid.get_nodes() if node.name in self.sites]
        carriers = [name for _, name in named]
        return {node: name for node, name in sorted(named) if carriers.count(name) == 1}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Address the round's training task to every expected site that is connected."""
        return self._address(MessageType.TRAIN, server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Address the evaluation task to every expected site that is connected."""
        return self._address(MessageType.EVALUATE, server_round, arrays, config, grid)

    def read(self, reply: Message) -> Update | Evaluation:
        """Read an answer and check that it may count.

        Raises: UpdateRejected: with the reason.
        """
        asked, site = self.asked, self.asked.sites[reply.metadata.src_node_id]
        records = records_of(reply.content, self.manifest.size)
        if asked.kind == MessageType.EVALUATE:
            evaluation = read_evaluation(records)
            check_evaluation(evaluation, site=site, round_number=asked.round, validation=VALIDATION)
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

    def judge(self, reply: Message) -> Update | Evaluation | UpdateRejected:
        """Read an answer, or return why it may not count; the same answer is not read twice.

        The weights of an update that counts go to the spool, and no answer keeps its own.
        """
        task = reply.metadata.reply_to_message_id
        if task not in self._judged:
            try:
                answer = self.read(reply)
                if isinstance(answer, Update):
                    answer, self._hashes[answer.site] = self.spool.keep(answer)
                self._judged[task] = answer
            except UpdateRejected as rejection:
                self._judged[task] = rejection
            reply.content.pop("arrays", None)
        return self._judged[task]

    def may_count(self, reply: Message) -> bool:
        """Say whether an answer would count."""
        return not isinstance(self.judge(reply), UpdateRejected)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the updates that count, or return nothing when they are fewer than the quorum."""
        self.outcome = self._sort(replies)
        updates = self.outcome.updates
        if len(updates) < self.study.federation.quorum:
            return None, None
        weights = federated_average(self.spool, self.manifest.size)
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
            "FedAvg of %s over %s, %d rounds: %s",
            self.study.name,
            ", ".join(self.sites),
            federation.rounds,
            closing_sentence(self.study, len(self.sites)),
        )

    def _address(
        self, kind: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        self.asked = Asked(server_round, kind, {}, RecordDict({"arrays": arrays, "config": config}))
        self._judged, self._hashes = {}, {}
        self.spool.clear()
        return [self.task_for(node, name) for node, name in self.online(grid).items()]

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
        outcome = Outcome()
        for reply in replies:
            site = self.asked.sites[reply.metadata.src_node_id]
            answer = self.judge(reply)
            if isinstance(answer, UpdateRejected):
                outcome.rejected[site] = answer.problem
            elif isinstance(answer, Update):
                outcome.updates[site] = answer
                outcome.hashes[site] = self._hashes[site]
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
