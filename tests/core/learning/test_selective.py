from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from core.learning.selective import aurc, binned_risks, errors_and_confidences, risk_coverage, selective_accuracy
from core.learning.small_cells import FLOOR

few_cases = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5)
some_cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=30)


def test_a_curve_by_hand():
    coverages, risks = risk_coverage([0, 1, 0, 1], [0.9, 0.2, 0.5, 0.7])
    assert coverages.tolist() == [0.25, 0.5, 0.75, 1]
    assert risks == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc([0, 1, 0, 1], [0.9, 0.2, 0.5, 0.7]) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert aurc([], []) is None


@given(few_cases)
def test_ties_are_the_mean_over_all_orders(cases):
    losses, confidences = zip(*cases, strict=True)
    curves = []
    for order in permutations(range(len(cases))):
        if all(confidences[a] >= confidences[b] for a, b in pairwise(order)):
            taken = [losses[place] for place in order]
            curves.append([sum(taken[:k]) / k for k in range(1, len(taken) + 1)])
    np.testing.assert_allclose(risk_coverage(losses, confidences)[1], np.mean(curves, axis=0))


@given(some_cases)
def test_knowing_ones_errors_is_best_and_all_cases_have_the_mean_loss(cases):
    losses, confidences = (np.array(column) for column in zip(*cases, strict=True))
    best, worst = aurc(losses, -losses), aurc(losses, losses)
    assert best - 1e-12 <= aurc(losses, confidences) <= worst + 1e-12
    assert aurc(losses, np.zeros(len(losses))) == pytest.approx(losses.mean())
    assert risk_coverage(losses, confidences)[1][-1] == pytest.approx(losses.mean())


def test_errors_and_how_sure_the_model_was_by_hand():
    errors, sure = errors_and_confidences([1, 0, 1, 0], [0.9, 0.5, 0.1, 0.2])
    assert errors.tolist() == [0, 1, 1, 0]
    assert sure == pytest.approx([0.8, 0, 0.8, 0.6])
    _, sure = errors_and_confidences([1, 0, 0], [1.0, 0.0, 0.1], threshold=0.2)
    assert sure == pytest.approx([1, 1, 0.5])


def test_selective_accuracy_by_hand():
    labels, probabilities = [1, 1, 0, 1], [0.95, 0.9, 0.3, 0.45]
    assert [selective_accuracy(labels, probabilities, share) for share in (0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.75]
    assert selective_accuracy(labels, probabilities, 0.01) == 1  # one case at least
    # Two cases equally sure, one of them right: half a case each.
    assert selective_accuracy([1, 0], [0.8, 0.8], 0.5) == 0.5
    # 0.07 * 100 is a little more than seven.
    wrong_from_the_eighth = [1] * 7 + [0] * 93
    assert selective_accuracy(wrong_from_the_eighth, np.linspace(0.99, 0.6, 100), 0.07) == 1
    assert selective_accuracy([], [], 0.5) is None
    with pytest.raises(ValueError, match="coverage"):
        selective_accuracy(labels, probabilities, 0)
    with pytest.raises(ValueError, match="one a case"):
        risk_coverage([1, 2], [1])


@given(some_cases)
def test_all_cases_have_scikit_learns_accuracy(cases):
    labels, probabilities = [label for label, _ in cases], np.array([score / 20 for _, score in cases])
    assert selective_accuracy(labels, probabilities, 1.0) == pytest.approx(accuracy_score(labels, probabilities >= 0.5))


def test_a_coarse_curve_by_hand():
    # Ten cases, two steps of five: the surest five are the four of the top bin, one of them wrong, and one of bin 0.
    curve = binned_risks([0, 1, 3], [3, 2, 1], [0.1, 0.4, 0.95], 0.5)
    assert curve == (pytest.approx((0.5, 1 / 5)), pytest.approx((1.0, 2 / 10)))
    assert binned_risks([2, 0], [0, 2], [0.9, 0.1], 0.5) == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=4))
def test_no_step_of_a_coarse_curve_rests_on_fewer_cases_than_the_floor(counts):
    positive, negative = zip(*counts, strict=True)
    chances, cases = [0.1, 0.3, 0.6, 0.9], sum(positive) + sum(negative)
    curve = binned_risks(positive, negative, chances, 0.5)
    ends = [0, *(round(coverage * cases) for coverage, _ in curve)]
    assert all(after - before >= FLOOR for before, after in pairwise(ends))
    assert len(curve) == min(10, cases // FLOOR)
    labels = [1] * sum(positive) + [0] * sum(negative)
    each = [*np.repeat(chances, positive), *np.repeat(chances, negative)]
    for coverage, risk in curve:
        assert 1 - risk == pytest.approx(selective_accuracy(labels, each, coverage))
