"""May this answer leave the site? Everything of it is looked at, by the study that this site approved."""

from dataclasses import dataclass

from core.errors import UpdateRejected
from core.messages import Records, read_evaluation, read_task, read_update
from core.npy import sha256_of
from core.presets import preset_of
from core.study import Study
from core.updates import VALIDATION, check_evaluation, check_update
from fl_client.trainer_socket import Packed, unpacked

# Of an answer beside its weights: names, counts, a receipt.
MAX_ABOUT_BYTES = 2**20


@dataclass(frozen=True)
class Inspected:
    """What is noted of an answer before it leaves.

    Attributes:
        kind: `update` or `evaluation`.
        run: the coordinator's name for it.
        round: its number.
        weights_sha256: of an update's weights, else empty.
    """

    kind: str
    run: str
    round: int
    weights_sha256: str


def most_bytes(study: Study) -> int:
    """Return how many bytes an answer may have in all."""
    return preset_of(study.model).bytes + MAX_ABOUT_BYTES


def inspect(kind: str, answer: Packed, asked: Packed, study: Study, site: str) -> Inspected:
    """Check that an answer is what the study may send, to the last name and number, and nothing else.

    Args:
        kind: `train` or `evaluate`, as the task asked.
        answer: as it would leave.
        asked: the task, as it came.
        study: as this site approved it.
        site: this site's name.
    Raises: UpdateRejected: it is not; the reason repeats no text of the answer.
    """
    task = read_task(unpacked(asked))
    records = unpacked(answer)
    if task.study != study.name:
        raise UpdateRejected("The task is of another study than its app bundle", fix="tell the coordinator")
    _check_numbers(records)
    if kind == "train":
        update = read_update(records)
        check_update(
            update,
            site=site,
            round_number=task.round,
            shape=preset_of(study.model),
            incoming=task.weights,
            study=study,
            validation=VALIDATION,
        )
        return Inspected("update", task.run, task.round, sha256_of(update.weights))
    if kind != "evaluate":
        raise UpdateRejected("The task is of a kind that this release does not know", fix="tell the coordinator")
    check_evaluation(read_evaluation(records), site=site, round_number=task.round, validation=VALIDATION)
    return Inspected("evaluation", task.run, task.round, "")


def _check_numbers(records: Records) -> None:
    """Check that metrics are numbers and lists of numbers, whatever they are called."""
    for value in records.metrics.values():
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise UpdateRejected("A metric is no number", fix="this site's trainer sends none such: see its log")
