import json
from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from core.learning.binary_report import Estimate, average_precision, brier, report_of
from core.learning.curves import auc_interval
from core.learning.intervals import wilson_interval

NAN = float("nan")
some_cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=0, max_size=25)


def estimates(report):
    return {field.name: value for field in fields(report) if isinstance(value := getattr(report, field.name), Estimate)}


def a_cohort(cases=120, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    return labels, 1 / (1 + np.exp(-rng.standard_normal(cases) - labels + 0.5))


def test_a_report_by_hand():
    # At .5: two hits, one alarm (.7), one miss (.3), two rests; the fourth label is not known.
    report = report_of([1, 1, 1, NAN, 0, 0, 0], [0.9, 0.8, 0.3, 0.99, 0.7, 0.2, 0.1], 0.5)
    assert (report.cases, report.positives, report.threshold, report.bins) == (6, 3, 0.5, 10)
    assert report.auc.value == pytest.approx(8 / 9)
    # Precision at the positives' scores .9, .8 and .3: 1, 1, 3/4.
    assert report.average_precision.value == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert report.brier.value == pytest.approx((0.01 + 0.04 + 0.49 + 0.49 + 0.04 + 0.01) / 6)
    for estimate in (report.precision, report.recall, report.specificity):
        assert (estimate.value, (estimate.low, estimate.high)) == (2 / 3, wilson_interval(2, 3))
    assert (report.accuracy.value, (report.accuracy.low, report.accuracy.high)) == (4 / 6, wilson_interval(4, 6))
    # F1 = 4 / (4 + 1 + 1), and 2 F / (1 + F) of the proportion F = 2 / 4.
    assert report.f1.value == pytest.approx(2 / 3)
    low, high = binomtest(2, 4).proportion_ci(method="wilson")
    assert (report.f1.low, report.f1.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    # Each case has a bin of equal width to itself.
    assert report.ece_equal_width.value == pytest.approx((0.1 + 0.2 + 0.7 + 0.7 + 0.2 + 0.1) / 6)
    assert report.ece_equal_width_debiased == pytest.approx(report.ece_equal_width.value)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.62])
def test_a_report_is_scikit_learns(threshold):
    labels, probabilities = a_cohort()
    report, yes = report_of(labels, probabilities, threshold), probabilities >= threshold
    assert report.auc.value == pytest.approx(roc_auc_score(labels, probabilities))
    assert (report.auc.low, report.auc.high) == auc_interval(labels, probabilities)
    assert report.average_precision.value == pytest.approx(average_precision_score(labels, probabilities))
    assert report.brier.value == pytest.approx(brier_score_loss(labels, probabilities))
    assert report.accuracy.value == pytest.approx(accuracy_score(labels, yes))
    assert report.precision.value == pytest.approx(precision_score(labels, yes))
    assert report.recall.value == pytest.approx(recall_score(labels, yes))
    assert report.specificity.value == pytest.approx(recall_score(labels, yes, pos_label=0))
    assert report.f1.value == pytest.approx(f1_score(labels, yes))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=25))
def test_average_precision_and_brier_are_scikit_learns_ties_and_all_in_many_rows_at_once(cases):
    labels, scores = (np.array(column, float) for column in zip(*cases, strict=True))
    rows = np.stack([scores, 6 - scores, np.zeros(len(scores))]) / 6
    np.testing.assert_allclose(brier(labels, rows), [brier_score_loss(labels, row, labels=[0, 1]) for row in rows])
    if labels.any():
        np.testing.assert_allclose(
            average_precision(labels, rows), [average_precision_score(labels, row) for row in rows]
        )


@settings(max_examples=25)
@given(some_cases, st.integers(0, 10))
def test_every_report_is_json_and_its_intervals_surround_their_scores(cases, threshold):
    labels, probabilities = [label for label, _ in cases], [score / 10 for _, score in cases]
    report = report_of(labels, probabilities, threshold / 10)
    assert json.loads(json.dumps(asdict(report), allow_nan=False))["cases"] == len(cases)
    for name, estimate in estimates(report).items():
        if estimate.low is None:
            assert estimate.high is None
            continue
        assert 0 <= estimate.low <= estimate.high <= 1, name
        # A resampled score is biased where cases are few; the others surround theirs.
        if name not in ("average_precision", "brier"):
            assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9, name


def test_resampled_intervals_are_about_those_of_a_naive_twin():
    labels, probabilities = a_cohort()
    report = report_of(labels, probabilities, 0.5, seed=4)
    rng, drawn = np.random.default_rng(9), []
    for _ in range(800):
        chosen = np.concatenate([rng.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in (0, 1)])
        drawn.append(
            (
                average_precision_score(labels[chosen], probabilities[chosen]),
                brier_score_loss(labels[chosen], probabilities[chosen]),
            )
        )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    ours = [(each.low, each.high) for each in (report.average_precision, report.brier)]
    np.testing.assert_allclose(ours, np.stack([low, high], axis=1), atol=0.02)


def test_the_same_seed_gives_the_same_report_and_another_another():
    labels, probabilities = a_cohort(40)
    first, again, other = (report_of(labels, probabilities, 0.5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.brier != other.brier
    assert first.accuracy == other.accuracy


def test_perfect_order_of_few_cases_is_not_certainty():
    report = report_of([0] * 5 + [1] * 5, np.arange(10) / 10, 0.5)
    assert report.average_precision == Estimate(1.0, None, None)
    assert report.f1.value == 1
    share = 5 / (5 + 1.959963984540054**2)  # Wilson's low end of five of five
    assert report.f1.low == pytest.approx(2 * share / (1 + share))


def test_what_cannot_be_said_is_none():
    nothing = Estimate(None, None, None)
    empty = report_of([NAN], [0.3], 0.5)
    assert set(estimates(empty).values()) == {nothing}
    assert empty.ece_equal_mass_debiased is None
    rests = report_of([0, 0, 0], [0.1, 0.2, 0.3], 0.5)
    assert rests.auc == rests.average_precision == rests.precision == rests.recall == rests.f1 == nothing
    assert rests.specificity.value == 1
    assert rests.brier.low < rests.brier.value < rests.brier.high


@pytest.mark.parametrize(
    ("labels", "probabilities"), [([0, 1], [0.5]), ([0, 2], [0.5, 0.5]), ([0, 1], [0.5, 1.5]), ([0, 1], [0.5, NAN])]
)
def test_what_is_no_label_or_probability_is_refused(labels, probabilities):
    with pytest.raises(ValueError, match="must be"):
        report_of(labels, probabilities, 0.5)
