import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.curves import auc, auc_interval, interval_from_area, roc_curve

LABELS = [1, 1, 1, 1, 0, 0, 0, 0]
SCORES = [0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1]

some_cases = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30)


def pairs_in_order(labels, scores):
    """The definition: over all pairs of a positive and a negative."""
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, a in zip(scores, labels, strict=True)
        if a
        for n, b in zip(scores, labels, strict=True)
        if not b
    ]
    return sum(pairs) / len(pairs) if pairs else None


def test_the_area_is_the_share_of_pairs_in_order():
    assert auc(LABELS, SCORES) == 13 / 16
    assert auc([0, 1], [0.5, 0.5]) == 0.5
    assert auc([0, 1], [0.9, 0.1]) == 0
    assert auc([1, 1], [0.9, 0.1]) is None


@given(some_cases)
def test_the_area_is_that_of_its_definition_ties_and_all(cases):
    labels, scores = [int(label) for label, _ in cases], [score for _, score in cases]
    expected = pairs_in_order(labels, scores)
    assert auc(labels, scores) == (None if expected is None else pytest.approx(expected))


@given(some_cases)
def test_the_curve_encloses_the_area(cases):
    labels, scores = [int(label) for label, _ in cases], [score for _, score in cases]
    area = auc(labels, scores)
    if area is not None:
        alarms, hits = roc_curve(labels, scores)
        assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(hits, alarms) == pytest.approx(area)


def test_the_curves_corners_are_those_drawn_by_hand():
    alarms, hits = roc_curve([1, 0, 1, 0], [0.9, 0.6, 0.6, 0.1])
    assert alarms.tolist() == [0, 0, 0.5, 1]
    assert hits.tolist() == [0, 0.5, 1, 1]


def test_the_interval_is_delongs_by_hand():
    # The positives beat 4, 4, 3 and 2 of the 4 negatives; the negatives .7, .4, .2, .1 lose to 2, 3, 4 and 4 positives.
    labels, scores = LABELS, SCORES
    of_positives, of_negatives = [1, 1, 0.75, 0.5], [0.5, 0.75, 1, 1]
    assert np.mean(of_positives) == np.mean(of_negatives) == 13 / 16
    variance = np.var(of_positives, ddof=1) / 4 + np.var(of_negatives, ddof=1) / 4
    area = 13 / 16
    logit, half = np.log(area / (1 - area)), 1.959963984540054 * np.sqrt(variance) / (area * (1 - area))
    low, high = auc_interval(labels, scores)
    assert low == pytest.approx(1 / (1 + np.exp(half - logit)))
    assert high == pytest.approx(1 / (1 + np.exp(-half - logit)))


def test_the_interval_is_about_the_bootstraps():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 150)
    scores = rng.standard_normal(300) + 1.2 * labels
    resampled = []
    for _ in range(1000):
        negatives, positives = rng.integers(0, 150, 150), rng.integers(150, 300, 150)
        chosen = np.concatenate([negatives, positives])
        resampled.append(auc(labels[chosen], scores[chosen]))
    np.testing.assert_allclose(auc_interval(labels, scores), np.percentile(resampled, [2.5, 97.5]), atol=0.015)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 12)
    truth = 0.8556  # Phi(1.5 / sqrt 2)
    held = 0
    for _ in range(400):
        low, high = auc_interval(labels, rng.standard_normal(24) + 1.5 * labels)
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.99


def test_perfect_separation_of_few_cases_is_not_certainty():
    few_low, few_high = auc_interval([0] * 5 + [1] * 5, range(10))
    many_low, many_high = auc_interval([0] * 50 + [1] * 50, range(100))
    assert few_high == many_high == 1
    assert 0.5 < few_low < 0.85 < many_low < 1
    low, high = auc_interval([1] * 5 + [0] * 5, range(10))
    assert (low, high) == (0, pytest.approx(1 - few_low))


@given(some_cases)
def test_the_interval_surrounds_the_area_within_0_and_1(cases):
    labels, scores = [int(label) for label, _ in cases], [score for _, score in cases]
    interval = auc_interval(labels, scores)
    if min(labels.count(0), labels.count(1)) < 2:
        assert interval is None
    else:
        low, high = interval
        assert 0 <= low <= auc(labels, scores) + 1e-9
        assert auc(labels, scores) - 1e-9 <= high <= 1


def hanleys_variance(area, positives, negatives):
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    of_positives = (positives - 1) * (two_positives - area**2)
    return (area * (1 - area) + of_positives + (negatives - 1) * (two_negatives - area**2)) / (positives * negatives)


def test_hanleys_variance_by_hand():
    # A = 3/4 of 3 positives and 2 negatives: Q1 = A / (2 - A) = 3/5, Q2 = 2 A^2 / (1 + A) = 9/14;
    # variance = (A (1 - A) + 2 (Q1 - A^2) + 1 (Q2 - A^2)) / 6.
    assert hanleys_variance(0.75, 3, 2) == pytest.approx((3 / 16 + 3 / 40 + 9 / 112) / 6)


@pytest.mark.parametrize(
    ("area", "positives", "negatives"), [(0.75, 3, 2), (0.6, 40, 10), (1.0, 5, 7), (0.9994, 20, 41)]
)
def test_the_interval_from_an_area_ends_where_the_area_would_be_a_surprise(area, positives, negatives):
    low, high = interval_from_area(area, positives, negatives)
    assert area - low == pytest.approx(1.959963984540054 * np.sqrt(hanleys_variance(low, positives, negatives)))
    if area < 1:
        assert high - area == pytest.approx(1.959963984540054 * np.sqrt(hanleys_variance(high, positives, negatives)))
    else:
        assert high == 1


@given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 200), st.integers(2, 200))
def test_a_higher_area_never_has_a_lower_interval(one, other, positives, negatives):
    """A single tie must not make a model look worse than many would."""
    worse, better = sorted((one, other))
    below, above = (interval_from_area(area, positives, negatives) for area in (worse, better))
    assert 0 <= below[0] <= above[0] + 1e-9
    assert below[1] <= above[1] + 1e-9 <= 1 + 2e-9
    swapped = interval_from_area(1 - worse, negatives, positives)
    np.testing.assert_allclose(swapped, (1 - below[1], 1 - below[0]), atol=1e-6)


def test_the_interval_from_an_area_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    labels, truth = np.repeat([0, 1], 12), 0.8556  # Phi(1.5 / sqrt 2)
    areas = [auc(labels, rng.standard_normal(24) + 1.5 * labels) for _ in range(400)]
    held = [low <= truth <= high for low, high in (interval_from_area(area, 12, 12) for area in areas)]
    assert 0.92 <= np.mean(held) <= 0.99


def test_the_interval_from_an_area_is_near_the_one_from_the_scores():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], (120, 180))
    scores = rng.standard_normal(300) + labels
    np.testing.assert_allclose(
        interval_from_area(auc(labels, scores), 180, 120), auc_interval(labels, scores), atol=0.01
    )


def test_the_interval_from_an_area_needs_two_of_each_class_and_never_claims_certainty():
    assert interval_from_area(0.75, 1, 9) is interval_from_area(0.75, 9, 1) is None
    assert interval_from_area(1.0, 5, 5) == auc_interval([0] * 5 + [1] * 5, range(10))
    assert interval_from_area(0.0, 5, 5) == auc_interval([1] * 5 + [0] * 5, range(10))
