from dataclasses import replace

import numpy as np
import pytest

from core.errors import UpdateRejected
from core.learning.metrics import add, scores_of
from core.messages import Counts, Evaluation, Flat, Manifest, Part, Update
from core.study import FederationSettings, Study, TrainingSettings
from core.updates import (
    COHORT,
    MAX_EXAMPLES,
    MAX_LOSS,
    MAX_VOXELS,
    PIECE,
    TRAINING,
    check_counts,
    check_evaluation,
    check_update,
)
from core.updates import VALIDATION as SCORED

MANIFEST = Manifest((Part("weight", (2, 2)),))
INCOMING = np.array([1, 2, 3, 4], np.float32)
VALIDATION = {"cases": 0, "scores": 2}
STUDY = Study(
    name="glioma",
    training=TrainingSettings(epochs_per_round=2),
    federation=FederationSettings(max_update_norm=5.0),
)
COHORT_COUNTS: Counts = {
    "training": 10.0,
    "validation": 3.0,
    "excluded": 1.0,
    "mgmt_unmethylated": 4.0,
    "mgmt_methylated": 5.0,
    "tumor_absent": 2.0,
    "tumor_present": 8.0,
}
GOOD = Update(
    site="hospital-a",
    round=2,
    # Moved by 3, 0, 4 and 0: a norm of 5, exactly the study's limit.
    weights=np.array([4, 2, 7, 4], np.float32),
    manifest=MANIFEST.digest,
    examples=10,
    training={**dict.fromkeys(TRAINING, 1.0), "cases": 20.0},
    validation={"cases": 3.0, "scores": [1.0, 2.0]},
    cohort=COHORT_COUNTS,
    receipt="0" * 64,
)


def check(update: Update, manifest: Manifest = MANIFEST, incoming: Flat = INCOMING) -> None:
    check_update(
        update,
        site="hospital-a",
        round_number=2,
        shape=manifest,
        incoming=incoming,
        study=STUDY,
        validation=VALIDATION,
    )


def test_a_good_update_counts_up_to_the_very_limit() -> None:
    check(GOOD)


@pytest.mark.parametrize("moved", [0, PIECE - 1, PIECE, 2 * PIECE + 4])
def test_a_large_model_is_looked_at_to_its_last_value(moved: int) -> None:
    size = 2 * PIECE + 5
    manifest = Manifest((Part("weight", (size,)),))
    incoming = np.ones(size, np.float32)
    update = replace(GOOD, weights=incoming.copy(), manifest=manifest.digest)

    update.weights[moved] += 3
    update.weights[size // 2] += 4
    check(update, manifest, incoming)
    update.weights[moved] += 0.25
    with pytest.raises(UpdateRejected, match=r"moved by 5\.15, further"):
        check(update, manifest, incoming)


def with_cohort(**counts: float) -> Update:
    return replace(GOOD, cohort={**COHORT_COUNTS, **counts})


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (replace(GOOD, site="hospital-b"), "names another site"),
        (replace(GOOD, round=1), "for round 1 instead of 2"),
        (replace(GOOD, manifest="0" * 64), "another model"),
        (replace(GOOD, weights=GOOD.weights.astype(np.float64)), "<f8 instead of <f4"),
        (replace(GOOD, weights=GOOD.weights.astype(">f4")), ">f4 instead of <f4"),
        (replace(GOOD, weights=GOOD.weights.reshape(2, 2)), r"shape \[2, 2\] instead of \[4\]"),
        (replace(GOOD, weights=GOOD.weights[:3]), r"shape \[3\] instead of \[4\]"),
        (replace(GOOD, weights=np.array([4, np.nan, 7, 4], np.float32)), "NaN or infinity"),
        (replace(GOOD, weights=np.array([4, 2, np.inf, 4], np.float32)), "NaN or infinity"),
        (replace(GOOD, weights=np.array([4.01, 2, 7, 4], np.float32)), "limit of 5"),
        (replace(GOOD, weights=np.full(4, 3e38, np.float32)), "limit of 5"),
        (replace(GOOD, training={**GOOD.training, "loss": float("nan")}), "training.loss is not a finite"),
        (replace(GOOD, training={**GOOD.training, "patient_name": 1.0}), r"training counts hold 1 name\(s\)"),
        (replace(GOOD, training={**GOOD.training, "cases": 10.0}), "10 trained cases instead of 20"),
        (replace(GOOD, validation={"cases": 3.0}), "validation counts lack scores"),
        (replace(GOOD, validation={"cases": 3.0, "scores": [1.0]}), "validation.scores has length 1 instead of 2"),
        (replace(GOOD, validation={"cases": [3.0], "scores": [1.0, 2.0]}), "validation.cases has length 1"),
        (replace(GOOD, validation={"cases": 3.0, "scores": 3.0}), "validation.scores has length 0 instead of 2"),
        (replace(GOOD, validation={"cases": 3.0, "scores": [1.0, -1.0]}), "validation.scores is not a finite"),
        (replace(GOOD, training={**GOOD.training, "cases": 1e308}), "training.cases is more than the 2e"),
        (replace(GOOD, training={**GOOD.training, "loss": 2.1e7}), r"training.loss is more than the 2e\+07"),
        (replace(GOOD, validation={"cases": 1e308, "scores": [1.0, 2.0]}), "validation.cases is more than the 1e"),
        (replace(GOOD, validation={"cases": 2.5, "scores": [1.0, 2.0]}), "validation.cases is not a whole number"),
        (replace(GOOD, validation={"cases": 3.0, "scores": [0.5, 2.5]}), "validation.scores is not a whole number"),
        (replace(GOOD, validation={"cases": 3.0, "scores": [1e308, 1e308]}), "validation.scores is more than"),
        (replace(GOOD, validation={"cases": 3.0, "scores": [6e5, 6e5]}), "validation.scores is more than"),
        (with_cohort(excluded=1e7), "cohort.excluded is more than"),
        (replace(GOOD, validation={"cases": 0.0, "scores": [0.0, 0.0]}), "validated on no cases"),
        (replace(GOOD, examples=0), "claims 0 cases"),
        (replace(GOOD, examples=-3), "claims -3 cases"),
        (replace(GOOD, examples=11), "claims 11 cases, its cohort counts 10"),
        (with_cohort(mgmt_methylated=7.0), "counts 11 MGMT labels among 10 cases"),
        (with_cohort(tumor_present=9.0), "counts 11 tumor labels among 10 cases"),
    ],
)
def test_an_update_that_may_not_count_is_rejected_with_the_reason(update: Update, reason: str) -> None:
    with pytest.raises(UpdateRejected, match=reason) as rejection:
        check(update)
    assert rejection.value.fix


def test_a_claim_beyond_any_hospital_is_rejected_even_where_it_agrees_with_itself() -> None:
    many = MAX_EXAMPLES + 1
    drowning = replace(GOOD, examples=many, cohort={**COHORT_COUNTS, "training": float(many)})
    with pytest.raises(UpdateRejected, match="can count"):
        check(drowning)


def test_a_reason_never_repeats_a_name_that_came_over_the_wire() -> None:
    for update in (
        replace(GOOD, site="Jane Doe"),
        replace(GOOD, manifest="Jane Doe"),
        replace(GOOD, cohort={**COHORT_COUNTS, "Jane Doe": 1.0}),
    ):
        with pytest.raises(UpdateRejected) as rejection:
            check(update)
        assert "Jane" not in rejection.value.problem + rejection.value.fix


def test_an_evaluation_is_checked_for_site_round_and_counts() -> None:
    good = Evaluation("hospital-a", 3, {"cases": 3.0, "scores": [1.0, 2.0]}, "0" * 64)
    check_evaluation(good, site="hospital-a", round_number=3, study=STUDY, validation=VALIDATION)
    for wrong in (
        replace(good, site="hospital-b"),
        replace(good, round=2),
        replace(good, validation={"cases": 3.0}),
        replace(good, validation={"cases": 0.0, "scores": [0.0, 0.0]}),
    ):
        with pytest.raises(UpdateRejected):
            check_evaluation(wrong, site="hospital-a", round_number=3, study=STUDY, validation=VALIDATION)


def test_sums_of_the_largest_cohort_pass_and_can_be_scored() -> None:
    most = float(MAX_EXAMPLES)
    counts: Counts = {name: most if not length else [most, *[0.0] * (length - 1)] for name, length in SCORED.items()}
    counts |= {"loss": most * MAX_LOSS, "mgmt_squared_errors": 0.25}
    counts |= {name: [float(MAX_EXAMPLES * MAX_VOXELS), 0.0, 0.0] for name in SCORED if name.startswith("map_")}
    check_counts(counts, SCORED, "validation")
    assert scores_of(add(counts, counts)).loss == MAX_LOSS


def test_counts_of_the_agreed_layout_pass() -> None:
    check_counts(COHORT_COUNTS, COHORT, "cohort")
