"""May this answer leave the site? Everything of it is looked at, by the study that this site approved."""

from collections.abc import Callable
from dataclasses import dataclass, field

from core.errors import UpdateRejected
from core.messages import Records, evaluation_records, read_evaluation, read_task, read_update, update_records
from core.npy import sha256_of
from core.presets import preset_of
from core.study import Study
from core.updates import VALIDATION, check_evaluation, check_update
from fl_client.trainer_socket import Packed, unpacked

# Of an answer beside its weights: names, counts, a receipt.
MAX_ABOUT_BYTES = 2**20


@dataclass(frozen=True)
class Inspected:
    """An answer that may leave.

    Attributes:
        kind: `update` or `evaluation`.
        run: the coordinator's name for it.
        weights_sha256: of an update's weights, else empty.
        content: all that leaves, in one order and with one type for each value.
    """

    kind: str
    run: str
    weights_sha256: str
    content: Records = field(repr=False)


def most_bytes(study: Study) -> int:
    """Return how many bytes an answer may have in all."""
    return preset_of(study.model).bytes + MAX_ABOUT_BYTES


def inspect(
    kind: str, answer: Packed, asked: Packed, study: Study, site: str, has_been_head: Callable[[str], bool]
) -> Inspected:
    """Check that an answer is what the study may send, to the last name and number, and nothing else.

    Args:
        kind: `train` or `evaluate`, as the task asked.
        answer: as it was handed over.
        asked: the task, as it came.
        study: as this site approved it.
        site: this site's name.
        has_been_head: whether this site's audit log ever had such a head: nothing else is a receipt.
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
        _check_receipt(update.receipt, has_been_head)
        return Inspected("update", task.run, sha256_of(update.weights), _plain(update_records(update)))
    if kind != "evaluate":
        raise UpdateRejected("The task is of a kind that this release does not know", fix="tell the coordinator")
    evaluation = read_evaluation(records)
    check_evaluation(evaluation, site=site, round_number=task.round, study=study, validation=VALIDATION)
    _check_receipt(evaluation.receipt, has_been_head)
    return Inspected("evaluation", task.run, "", _plain(evaluation_records(evaluation)))


def _check_numbers(records: Records) -> None:
    """Check that metrics are numbers and lists of numbers, whatever they are called."""
    for value in records.metrics.values():
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise UpdateRejected("A metric is no number", fix="this site's trainer sends none such: see its log")


def _check_receipt(receipt: str, has_been_head: Callable[[str], bool]) -> None:
    if not has_been_head(receipt):
        raise UpdateRejected("The receipt is no head of this site's log", fix="restart `fl-client start`")


def _plain(records: Records) -> Records:
    """Leave nothing to choose but the values themselves: metrics are floats, in the order of their names."""
    metrics = {
        name: [float(number) for number in value] if isinstance(value, list) else float(value)
        for name, value in sorted(records.metrics.items())
    }
    return Records(records.arrays, records.config, metrics)
