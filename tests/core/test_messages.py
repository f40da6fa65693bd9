from dataclasses import replace

import numpy as np
import pytest

from core.errors import UpdateRejected
from core.messages import (
    Evaluation,
    Manifest,
    Part,
    Records,
    Task,
    Update,
    evaluation_records,
    read_evaluation,
    read_task,
    read_update,
    task_records,
    update_records,
)
from core.study import FederationSettings, Study, TrainingSettings, settings_digest

MANIFEST = Manifest((Part("stem.weight", (2, 3)), Part("stem.bias", (2,))))
WEIGHTS = np.arange(8, dtype=np.float32)
TASK = Task("glioma", 3, WEIGHTS, MANIFEST.digest, "0f" * 32, "1-abc", "glioma-1", "a1" * 32)
UPDATE = Update(
    site="hospital-a",
    round=3,
    weights=WEIGHTS,
    manifest=MANIFEST.digest,
    examples=12,
    training={"loss": 4.5},
    validation={"cases": 3.0, "scores": [1.0, 0.0]},
    cohort={"training": 12.0},
    receipt="b2" * 32,
)
EVALUATION = Evaluation("hospital-a", 4, {"cases": 3.0, "scores": [1.0, 0.0]}, "c3" * 32)


def test_a_manifest_counts_the_values_of_all_its_parts() -> None:
    assert [part.size for part in MANIFEST.parts] == [6, 2]
    assert MANIFEST.size == 8


def test_a_manifest_of_other_names_shapes_or_order_has_another_digest() -> None:
    others = [
        Manifest((Part("stem.weights", (2, 3)), Part("stem.bias", (2,)))),
        Manifest((Part("stem.weight", (3, 2)), Part("stem.bias", (2,)))),
        Manifest(MANIFEST.parts[::-1]),
    ]
    assert len({MANIFEST.digest, *(other.digest for other in others)}) == 4


def test_every_message_survives_the_way_there_and_back() -> None:
    assert read_task(task_records(TASK)) == TASK
    assert read_update(update_records(UPDATE)) == UPDATE
    assert read_evaluation(evaluation_records(EVALUATION)) == EVALUATION


def test_settings_differ_with_all_that_training_depends_on_and_with_nothing_else() -> None:
    study = Study(name="glioma", federation=FederationSettings(rounds=4))
    patient = FederationSettings(rounds=4, quorum=1, deadline_s=9, grace_s=1)
    assert settings_digest(study.model_copy(update={"federation": patient})) == settings_digest(study)
    others = (
        {"seed": 8},
        {"validation_fraction": 0.3},
        {"training": TrainingSettings(batch_size=5)},
        {"federation": FederationSettings(rounds=5)},
    )
    assert len({settings_digest(study.model_copy(update=other)) for other in ({}, *others)}) == 5


def test_metrics_hold_numbers_only_and_config_no_counts() -> None:
    records = update_records(UPDATE)
    assert records.metrics == {
        "examples": 12.0,
        "training.loss": 4.5,
        "validation.cases": 3.0,
        "validation.scores": [1.0, 0.0],
        "cohort.training": 12.0,
    }
    assert set(records.config) == {"protocol", "site", "round", "manifest", "receipt"}


@pytest.mark.parametrize(
    ("read", "records", "name"),
    [
        (read_task, task_records(TASK), "study"),
        (read_task, task_records(TASK), "manifest"),
        (read_task, task_records(TASK), "round"),
        (read_task, task_records(TASK), "settings"),
        (read_task, task_records(TASK), "preprocessing"),
        (read_update, update_records(UPDATE), "site"),
        (read_update, update_records(UPDATE), "round"),
        (read_update, update_records(UPDATE), "manifest"),
        (read_evaluation, evaluation_records(EVALUATION), "site"),
        (read_evaluation, evaluation_records(EVALUATION), "round"),
    ],
)
def test_a_message_without_one_of_its_settings_is_refused_by_name(read, records: Records, name: str) -> None:
    config = {key: value for key, value in records.config.items() if key != name}
    with pytest.raises(UpdateRejected, match=f"it lacks '{name}'"):
        read(replace(records, config=config))


def test_a_message_without_weights_or_examples_is_refused() -> None:
    with pytest.raises(UpdateRejected, match="weights"):
        read_task(replace(task_records(TASK), arrays={}))
    with pytest.raises(UpdateRejected, match="weights"):
        read_update(replace(update_records(UPDATE), arrays={}))
    with pytest.raises(UpdateRejected, match="examples"):
        read_update(replace(update_records(UPDATE), metrics={}))


@pytest.mark.parametrize(
    ("read", "records"),
    [
        (read_task, task_records(TASK)),
        (read_update, update_records(UPDATE)),
        (read_evaluation, evaluation_records(EVALUATION)),
    ],
)
def test_a_message_that_holds_more_than_was_agreed_is_refused_without_repeating_it(read, records: Records) -> None:
    for more in (
        replace(records, arrays={**records.arrays, "Jane Doe": WEIGHTS}),
        replace(records, config={**records.config, "Jane Doe": 1}),
        replace(records, metrics={**records.metrics, "Jane Doe": 1.0}),
    ):
        with pytest.raises(UpdateRejected, match=r"1 name\(s\) that were not agreed") as refusal:
            read(more)
        assert "Jane" not in str(refusal.value)


@pytest.mark.parametrize("read", [read_task, read_update, read_evaluation])
@pytest.mark.parametrize("spoken", [{}, {"protocol": 1}, {"protocol": "Jane Doe"}])
def test_another_protocol_is_refused_without_repeating_its_text(read, spoken: dict[str, str | int]) -> None:
    with pytest.raises(UpdateRejected, match="protocol") as refusal:
        read(Records(config={**spoken}))
    assert "Jane Doe" not in str(refusal.value)


@pytest.mark.parametrize("claimed", [float("inf"), float("nan"), 2.5, [12.0]])
def test_an_example_count_that_is_no_whole_number_is_refused(claimed: float | list[float]) -> None:
    records = update_records(UPDATE)
    with pytest.raises(UpdateRejected, match="examples is not a whole number"):
        read_update(replace(records, metrics={**records.metrics, "examples": claimed}))


@pytest.mark.parametrize("receipt", ["", "Jane Doe", "A1" * 32, "a1" * 32 + "\n", "a1" * 33])
def test_a_receipt_is_the_head_of_a_log_and_nothing_else_fits_into_it(receipt: str) -> None:
    for read, records in (
        (read_task, task_records(TASK)),
        (read_update, update_records(UPDATE)),
        (read_evaluation, evaluation_records(EVALUATION)),
    ):
        with pytest.raises(UpdateRejected, match="receipt is not 64 hexadecimal digits"):
            read(replace(records, config={**records.config, "receipt": receipt}))


@pytest.mark.parametrize("name", ["site", "manifest", "round"])
def test_a_setting_of_another_type_is_refused_without_repeating_it(name: str) -> None:
    records = update_records(UPDATE)
    wrong: str | float = "Jane Doe" if name == "round" else 1.5
    with pytest.raises(UpdateRejected, match=name) as refusal:
        read_update(replace(records, config={**records.config, name: wrong}))
    assert "Jane" not in str(refusal.value)
