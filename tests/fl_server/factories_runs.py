"""A run of a real study's model whose sites answer at once, and the ServerApp that serves it."""

from dataclasses import replace

from flwr.app import Message

from core.learning.model import build_model
from core.learning.weights import manifest_of
from core.messages import Evaluation, evaluation_records, update_records
from tests.fl_server.factories_answers import RECEIPTS, an_update, reply, task_records_of, validation_counts
from tests.simulations.factories_federation import a_study

STUDY = a_study(rounds=3)
MODEL = build_model(STUDY.model, STUDY.seed)
MANIFEST = manifest_of(MODEL)
# By round: the loss of the incoming model, which is the one after the round before.
LOSSES = {1: 9.0, 2: 0.5, 3: 0.4, 4: 0.9, 5: 1.2}


def answer(site: str, task: Message) -> list[Message]:
    """Answer as a site should that trains this model."""
    records = task_records_of(task)
    number = int(records.config["round"])
    validation = validation_counts(LOSSES[number])
    if task.metadata.message_type == "evaluate":
        return [reply(evaluation_records(Evaluation(site, number, validation, RECEIPTS[site])), task)]
    update = an_update(site, number, records.arrays["weights"])
    return [reply(update_records(replace(update, manifest=MANIFEST.digest, validation=validation)), task)]
