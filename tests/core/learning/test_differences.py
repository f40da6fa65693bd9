from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from core.learning.curves import auc, placements
from core.learning.differences import delong_test, holm, holm_of, recipe_difference

some_cases = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30)


def kernel(positive, negative):
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def delong_of_the_paper(labels, models):
    """Areas and their covariance by the 1988 definition: V10 and V01, then S10 / m + S01 / n."""
    positives, negatives = ([i for i, label in enumerate(labels) if label == wanted] for wanted in (1, 0))
    v10 = [[np.mean([kernel(x[i], x[j]) for j in negatives]) for i in positives] for x in models]
    v01 = [[np.mean([kernel(x[i], x[j]) for i in positives]) for j in negatives] for x in models]
    return np.mean(v10, axis=1), np.cov(v10) / len(positives) + np.cov(v01) / len(negatives)


def delong_from_midranks(labels, scores):
    """Sun and Xu's V10 and V01: midranks among all less midranks among one's own."""
    labels, scores = np.array(labels), np.array(scores, float)
    everyone, positive = rankdata(scores), labels == 1
    m, n = positive.sum(), (~positive).sum()
    v10 = (everyone[positive] - rankdata(scores[positive])) / n
    v01 = 1 - (everyone[~positive] - rankdata(scores[~positive])) / m
    return v10, v01


def test_a_comparison_by_hand():
    labels = [1, 1, 0, 0]
    first, second = [4, 3, 2, 1], [4, 2, 3, 1]
    # Positives beat 1 and 1, or 1 and 1/2 of the negatives; negatives lose to 1 and 1, or 1/2 and 1 of the positives.
    # Differences (0, 1/2) and (1/2, 0): variance 1/8 each, halved and added: 1/8.
    found = delong_test(labels, first, second)
    assert (found.first, found.second, found.difference) == (1, 0.75, 0.25)
    assert found.standard_error == pytest.approx(sqrt(1 / 8))
    assert found.z == pytest.approx(0.25 / sqrt(1 / 8))
    assert found.p == pytest.approx(2 * norm.sf(0.25 / sqrt(1 / 8)))
    z = 1.959963984540054
    assert found.interval == pytest.approx((0.25 - z * sqrt(1 / 8), 0.25 + z * sqrt(1 / 8)))


@given(some_cases)
def test_placements_are_sun_and_xus_from_midranks(cases):
    labels, scores = [int(label) for label, _, _ in cases], [score for _, score, _ in cases]
    if 0 < sum(labels) < len(labels):
        for ours, theirs in zip(placements(labels, scores), delong_from_midranks(labels, scores), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(some_cases)
def test_the_comparison_is_that_of_the_papers_definition_ties_and_all(cases):
    labels, first, second = map(list, zip(*cases, strict=True))
    labels = [int(label) for label in labels]
    found = delong_test(labels, first, second)
    if min(labels.count(0), labels.count(1)) < 2:
        assert found is None
        return
    areas, covariance = delong_of_the_paper(labels, [first, second])
    assert (found.first, found.second) == pytest.approx(tuple(areas))
    assert (found.first, found.second) == (auc(labels, first), auc(labels, second))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.standard_error**2 == pytest.approx(variance, abs=1e-12)
    if found.standard_error:
        assert found.p == pytest.approx(2 * norm.sf(abs(found.difference) / found.standard_error))
        assert -1 <= found.interval[0] <= found.difference <= found.interval[1] <= 1
    else:
        assert found.z is found.p is found.interval is None


@given(some_cases)
def test_swapping_the_models_or_the_words_for_the_classes_turns_the_sign(cases):
    labels, first, second = (np.array(column, float) for column in zip(*cases, strict=True))
    one, other, renamed = (
        delong_test(*arguments)
        for arguments in ((labels, first, second), (labels, second, first), (1 - labels, first, second))
    )
    if one is not None:
        assert one.difference == pytest.approx(-other.difference)
        assert one.difference == pytest.approx(-renamed.difference)
        assert one.p == pytest.approx(other.p) == pytest.approx(renamed.p)


def test_two_models_of_equal_worth_are_called_different_as_seldom_as_p_says():
    rng = np.random.default_rng(7)
    labels, called = np.repeat([0, 1], 30), 0
    for _ in range(400):
        shared = rng.standard_normal(60) + labels
        called += delong_test(labels, shared + rng.standard_normal(60), shared + rng.standard_normal(60)).p < 0.05
    assert 0.02 <= called / 400 <= 0.09


def test_pairing_tells_apart_what_single_intervals_cannot():
    rng = np.random.default_rng(8)
    labels = np.repeat([0, 1], 100)
    worse = rng.standard_normal(200) + labels
    found = delong_test(labels, worse + 0.3 * labels + 0.05 * rng.standard_normal(200), worse)
    assert found.p < 0.001
    assert found.interval[0] > 0


def test_models_that_rank_alike_or_perfectly_prove_nothing():
    labels = [0, 0, 1, 1]
    for first, second in (([1, 3, 2, 4], [10, 30, 20, 40]), ([1, 2, 3, 4], [2, 1, 4, 3])):
        found = delong_test(labels, first, second)
        assert (found.difference, found.standard_error) == (0, 0)
        assert found.z is found.p is found.interval is None
    with pytest.raises(ValueError, match="same patients"):
        delong_test([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3])


def test_of_several_comparisons_the_smallest_p_is_raised_the_most_and_none_overtakes_another():
    """0.01 x 4; then 0.02 x 3 = 0.06; then 0.03 x 2 = 0.06; then 0.9 x 1."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.03, 0.029]) == pytest.approx([0.058, 0.058])
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([]) == []


def test_only_what_is_compared_counts_and_models_that_rank_alike_are_no_different():
    labels, scores = [0, 0, 0, 1, 1, 1], [1, 4, 2, 3, 6, 5]
    other, alike = delong_test(labels, scores, [4, 1, 6, 2, 3, 5]), delong_test(labels, scores, scores)
    assert holm_of([None, other, alike]) == [None, pytest.approx(min(1, 2 * other.p)), 1]


def test_recipes_that_do_not_differ_by_seed_differ_as_one_model_does_from_another():
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 2
    first, second = labels + rng.normal(size=60), labels + rng.normal(size=60)
    alone = delong_test(labels, first, second)
    found = recipe_difference(labels, [first] * 3, [second] * 3)
    assert found.by_seed == pytest.approx([alone.difference] * 3)
    assert found.standard_error == pytest.approx(alone.standard_error)
    assert found.interval == pytest.approx(alone.interval)


def test_a_difference_of_recipes_by_hand():
    labels = [1, 1, 0, 0]
    second = [4, 3, 2, 1]  # perfect
    # Seed 1: the positives beat 1 and 1/2 of the negatives, area 3/4; seed 2 is perfect too. Differences -1/4 and 0:
    # variance 1/32, of the mean 1/64. Averaged placements differ by 0, -1/4 among positives and -1/4, 0 among
    # negatives: variance 1/32 each, halved, together 1/32. Degrees: (3/64)^2 / ((1/64)^2 / 1) = 9.
    found = recipe_difference(labels, [[4, 2, 3, 1], [4, 3, 2, 1]], [second, second])
    assert (found.first, found.second) == (0.875, 1.0)
    assert found.by_seed == (-0.25, 0.0)
    assert found.standard_error == pytest.approx(sqrt(3 / 64))
    assert found.interval == pytest.approx(
        (-0.125 - 2.262157 * sqrt(3 / 64), -0.125 + 2.262157 * sqrt(3 / 64)), abs=1e-5
    )


def test_the_interval_of_recipes_holds_the_truth_as_often_as_promised():
    # Two recipes of equal worth; each training and each patient adds its own luck, shared where it should be.
    rng, held, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        labels = np.arange(80) % 2
        patient = labels + rng.normal(size=80)

        def trained(patient=patient):
            return [patient + rng.normal() * 0.4 * (np.arange(80) % 3 - 1) + 0.5 * rng.normal(size=80) for _ in "abc"]

        found = recipe_difference(labels, trained(), trained())
        held += found.interval[0] <= 0 <= found.interval[1]
    assert 0.93 <= held / trials <= 1


def test_one_seed_or_one_of_a_class_cannot_compare_recipes():
    assert recipe_difference([0, 0, 1, 1], [[1, 2, 3, 4]], [[1, 2, 3, 4]]) is None
    assert recipe_difference([0, 0, 0, 1], [[1, 2, 3, 4]] * 2, [[1, 2, 3, 4]] * 2) is None
    with pytest.raises(ValueError, match="same seeds"):
        recipe_difference([0, 0, 1, 1], [[1, 2, 3, 4]] * 2, [[1, 2, 3, 4]])
