"""Sites that answer a task at once, honestly or not, without training anything."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from core.messages import (
    Counts,
    Evaluation,
    Flat,
    Manifest,
    Part,
    Records,
    Task,
    Update,
    evaluation_records,
    task_of,
    update_records,
)
from core.npy import sha256_of
from core.progress import silent
from core.records.db import open_database
from core.records.rounds import Question
from core.study import FederationSettings, Study, TrainingSettings
from core.updates import TRAINING, VALIDATION
from fl_client import client_app
from fl_client.trainer_socket import packed, unpacked
from fl_server.journal import Journal
from simulations.federation import InProcessGrid

MANIFEST = Manifest((Part("weight", (4,)),))
INITIAL = np.zeros(4, np.float32)
SITES = ("site-a", "site-b", "site-c")
# What each site adds to the weights, and the cases it does so with.
STEPS = {"site-a": 1.0, "site-b": 2.0, "site-c": 6.0}
CASES = {"site-a": 10, "site-b": 20, "site-c": 30}
# The head of each site's audit log, and of the coordinator's.
RECEIPTS = {"site-a": "a" * 64, "site-b": "b" * 64, "site-c": "c" * 64}
RECEIPT = "0" * 64

Answer = Callable[[str, Message], list[Message]]


def a_study(**federation: float) -> Study:
    settings = {"rounds": 2, "quorum": 2, "deadline_s": 0.05, "grace_s": 0, **federation}
    return Study(
        name="glioma",
        training=TrainingSettings(epochs_per_round=1),
        federation=FederationSettings.model_validate(settings),
    )


def a_grid(answer: Answer, sites: tuple[str, ...] = SITES) -> InProcessGrid:
    """Return a grid on which every site is connected and answers in this way."""
    # Flower makes no message outside a task.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    contexts = {site: Context(1, node, {}, RecordDict(), {}) for node, site in enumerate(sites, start=2)}
    return InProcessGrid(contexts, 3, silent, lambda site, task, _: answer(site, task), ClientApp())


def a_task(study: Study, number: int = 3) -> Task:
    return task_of(study, number, INITIAL, MANIFEST.digest, "glioma-1", RECEIPT)


def a_journal(folder: Path) -> Journal:
    """Return a journal of a new process over the records and objects in this folder."""
    return Journal(open_database(f"sqlite:///{folder / 'records.db'}"), folder / "objects")


def opened(journal: Journal, kind: str = "update") -> Journal:
    """Open the round of `a_task` in a journal."""
    journal.open(Question("glioma-1", 3, kind, sha256_of(INITIAL)), SITES, strategy="fedavg", seed=7)
    return journal


def validation_counts(loss: float = 1.0) -> Counts:
    counts: Counts = {name: [0.0] * length if length else 0.0 for name, length in VALIDATION.items()}
    return {**counts, "cases": 4.0, "loss": 4 * loss}


def an_update(site: str, round_number: int, incoming: Flat) -> Update:
    cases = float(CASES[site])
    return Update(
        site=site,
        round=round_number,
        weights=incoming + np.float32(STEPS[site]),
        manifest=MANIFEST.digest,
        examples=CASES[site],
        training={**dict.fromkeys(TRAINING, 0.5), "cases": cases},
        validation=validation_counts(),
        cohort={
            "training": cases,
            "validation": 4.0,
            "excluded": 0.0,
            "mgmt_unmethylated": cases,
            "mgmt_methylated": 0.0,
            "tumor_absent": 1.0,
            "tumor_present": cases - 1,
        },
        receipt=RECEIPTS[site],
    )


def honest(site: str, task: Message) -> list[Message]:
    """Answer as a site should."""
    records = task_records_of(task)
    number = int(records.config["round"])
    if task.metadata.message_type == "evaluate":
        return [reply(evaluation_records(Evaluation(site, number, validation_counts(), RECEIPTS[site])), task)]
    return [reply(update_records(an_update(site, number, records.arrays["weights"])), task)]


def content_of(records: Records) -> RecordDict:
    """Return an answer as a site's app sends it."""
    return client_app.content_of(packed(records))


def task_records_of(task: Message) -> Records:
    """Return a task as a site's trainer reads it."""
    return unpacked(client_app.packed_of(task.content))


def reply(records: Records, task: Message) -> Message:
    return Message(content_of(records), reply_to=task)


def with_metrics(records: Records, **metrics: float) -> Records:
    return replace(records, metrics={**records.metrics, **metrics})
