"""What Flower carries between coordinator and site, and nothing else may: plain dataclasses and numpy.

Each message turns into, and is read back from, three flat records (arrays, config, metrics): all that an app touches.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UpdateRejected
from core.imaging.version import PREPROCESSING_VERSION
from core.study import Study, settings_digest

PROTOCOL = 3
# A site that cannot answer sends this code plus its error's exit code (this code alone for a bug), and never a text;
# where its gate did not let an answer out, the other.
SITE_ERROR, HELD_BACK = 100, 150

# Of an audit log; nothing else fits into a receipt.
_HEAD = re.compile(r"[0-9a-f]{64}")

Flat = NDArray[np.float32]
# Numbers that add across hospitals: a number or a histogram under each name.
Counts = dict[str, float | list[float]]


@dataclass(frozen=True)
class Part:
    """One named tensor inside the flat array."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


@dataclass(frozen=True)
class Manifest:
    """The named parts of a model's flat array, in their order; its digest stands for it on the wire."""

    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Number of values in the flat array."""
        return sum(part.size for part in self.parts)

    @property
    def digest(self) -> str:
        """SHA-256 over names and shapes, as 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps([[p.name, list(p.shape)] for p in self.parts]).encode()).hexdigest()


@dataclass(frozen=True)
class Records:
    """A message as Flower carries it: arrays, config (text and numbers), metrics (numbers only)."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    config: dict[str, str | int | float] = field(default_factory=dict)
    metrics: Counts = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """The coordinator asks a site to train from these weights, or only to evaluate them.

    Attributes:
        study: the study's name.
        round: 1, 2, ...; the final evaluation has the number of rounds plus one.
        weights: float32 [manifest.size], the incoming model.
        manifest: digest of the model's manifest.
        settings: digest of the study's settings, see `settings_digest`.
        preprocessing: the coordinator's preprocessing version.
        run: the coordinator's name for this run of the study.
        receipt: head of the coordinator's audit log, 64 hexadecimal digits, which the site writes into its own.
    """

    study: str
    round: int
    weights: Flat
    manifest: str
    settings: str
    preprocessing: str
    run: str
    receipt: str


@dataclass(frozen=True)
class Update:
    """A site's answer to a training task.

    Attributes:
        site: the name that the site was enrolled under.
        round: the task's round.
        weights: float32 [manifest.size] after local training.
        manifest: digest of the model's manifest.
        examples: number of cases trained on, the weight in the average.
        training: sums over the round's training, adding across sites.
        validation: counts of the *incoming* model on this site's validation patients, adding across sites.
        cohort: how many cases of each kind the site trains on.
        receipt: head of the site's audit log, 64 hexadecimal digits, which the coordinator writes into its own.
    """

    site: str
    round: int
    weights: Flat
    manifest: str
    examples: int
    training: Counts
    validation: Counts
    cohort: Counts
    receipt: str


@dataclass(frozen=True)
class Evaluation:
    """A site's answer to an evaluation task: counts of the incoming model on its validation patients."""

    site: str
    round: int
    validation: Counts
    receipt: str


def task_of(study: Study, round_number: int, weights: Flat, manifest: str, run: str, receipt: str) -> Task:
    """Return a study's task; weights, manifest, run and receipt are as in `Task`."""
    return Task(
        study.name, round_number, weights, manifest, settings_digest(study), PREPROCESSING_VERSION, run, receipt
    )


def task_records(task: Task) -> Records:
    """Return a task as Flower carries it."""
    config: dict[str, str | int | float] = {
        "protocol": PROTOCOL,
        "study": task.study,
        "round": task.round,
        "manifest": task.manifest,
        "settings": task.settings,
        "preprocessing": task.preprocessing,
        "run": task.run,
        "receipt": task.receipt,
    }
    return Records(arrays={"weights": task.weights}, config=config)


def read_task(records: Records) -> Task:
    """Read a task.

    Raises: UpdateRejected: another protocol, or something is missing or was not agreed.
    """
    _same_protocol(records)
    config = records.config
    try:
        task = Task(
            study=_text(config, "study"),
            round=_whole(config, "round"),
            weights=records.arrays["weights"],
            manifest=_text(config, "manifest"),
            settings=_text(config, "settings"),
            preprocessing=_text(config, "preprocessing"),
            run=_text(config, "run"),
            receipt=_receipt(config),
        )
    except KeyError as missing:
        raise _incomplete(f"it lacks {missing}") from None
    _nothing_else(records, task_records(task))
    return task


def update_records(update: Update) -> Records:
    """Return an update as Flower carries it."""
    config: dict[str, str | int | float] = {
        "protocol": PROTOCOL,
        "site": update.site,
        "round": update.round,
        "manifest": update.manifest,
        "receipt": update.receipt,
    }
    metrics: Counts = {"examples": float(update.examples)}
    for group, counts in (("training", update.training), ("validation", update.validation), ("cohort", update.cohort)):
        metrics |= {f"{group}.{name}": value for name, value in counts.items()}
    return Records({"weights": update.weights}, config, metrics)


def read_update(records: Records) -> Update:
    """Read an update; `core.updates` decides whether it may count.

    Raises: UpdateRejected: another protocol, or something is missing or was not agreed.
    """
    _same_protocol(records)
    config, metrics = records.config, records.metrics
    try:
        update = Update(
            site=_text(config, "site"),
            round=_whole(config, "round"),
            weights=records.arrays["weights"],
            manifest=_text(config, "manifest"),
            examples=_whole(metrics, "examples"),
            training=_group(metrics, "training"),
            validation=_group(metrics, "validation"),
            cohort=_group(metrics, "cohort"),
            receipt=_receipt(config),
        )
    except KeyError as missing:
        raise _incomplete(f"it lacks {missing}") from None
    _nothing_else(records, update_records(update))
    return update


def evaluation_records(evaluation: Evaluation) -> Records:
    """Return an evaluation as Flower carries it."""
    config: dict[str, str | int | float] = {
        "protocol": PROTOCOL,
        "site": evaluation.site,
        "round": evaluation.round,
        "receipt": evaluation.receipt,
    }
    return Records(
        config=config, metrics={f"validation.{name}": value for name, value in evaluation.validation.items()}
    )


def read_evaluation(records: Records) -> Evaluation:
    """Read an evaluation.

    Raises: UpdateRejected: another protocol, or something is missing or was not agreed.
    """
    _same_protocol(records)
    try:
        evaluation = Evaluation(
            _text(records.config, "site"),
            _whole(records.config, "round"),
            _group(records.metrics, "validation"),
            _receipt(records.config),
        )
    except KeyError as missing:
        raise _incomplete(f"it lacks {missing}") from None
    _nothing_else(records, evaluation_records(evaluation))
    return evaluation


def _nothing_else(given: Records, read: Records) -> None:
    """Refuse a message that holds more than was read from it; the names, which could be anything, are not repeated."""
    for kind in ("arrays", "config", "metrics"):
        strangers = len(getattr(given, kind).keys() - getattr(read, kind).keys())
        if strangers:
            raise _incomplete(f"its {kind} hold {strangers} name(s) that were not agreed")


def _group(metrics: Mapping[str, float | list[float]], group: str) -> Counts:
    return {name.removeprefix(f"{group}."): value for name, value in metrics.items() if name.startswith(f"{group}.")}


def _text(config: Mapping[str, str | int | float], name: str) -> str:
    value = config[name]
    if not isinstance(value, str):
        raise _incomplete(f"{name} is not text")
    return value


def _receipt(config: Mapping[str, str | int | float]) -> str:
    text = _text(config, "receipt")
    if not _HEAD.fullmatch(text):
        raise _incomplete("its receipt is not 64 hexadecimal digits")
    return text


def _whole(values: Mapping[str, Any], name: str) -> int:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise _incomplete(f"{name} is not a whole number")
    return int(value)


def _same_protocol(records: Records) -> None:
    protocol = records.config.get("protocol")
    if protocol != PROTOCOL:
        # Only a number is repeated: text from the wire could be anything.
        spoken = protocol if isinstance(protocol, int) else "none"
        raise UpdateRejected(
            f"The message speaks protocol {spoken}, this side speaks {PROTOCOL}",
            fix="bring both sides to the same release",
        )


def _incomplete(reason: str) -> UpdateRejected:
    return UpdateRejected(
        f"The message is incomplete or malformed: {reason}", fix="bring both sides to the same release"
    )
