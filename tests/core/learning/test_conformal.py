import json
from dataclasses import asdict
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from core.learning.conformal import ConformalFit, SetScores, fit_conformal, label_sets, set_scores

some_cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), max_size=30)


def patients(rng, zeros, ones):
    """Overlapping classes; the model is overconfident and leans to 1: coverage must not depend on that."""
    labels = np.repeat([0, 1], [zeros, ones])
    return labels, 1 / (1 + np.exp(-3 * (rng.standard_normal(zeros + ones) + labels)))


def test_a_fit_by_hand():
    # Nine zeros: of ten with the new one, a fifth may be missed: two; so the eighth of nine is the limit.
    probabilities = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.8, 0.7]
    fit = fit_conformal([0] * 9 + [1] * 3, probabilities, 0.2)
    # Three ones: of four, a fifth is less than one; nothing can be excluded.
    assert fit == ConformalFit(0.2, (0.8, 1.0), (9, 3))
    assert label_sets(fit, [0.8, 0.81]).tolist() == [[True, True], [False, True]]
    # With four ones it is one of five: the fourth.
    four = fit_conformal([1] * 4, [0.9, 0.8, 0.7, 0.75], 0.2)
    assert four.limits == (1, pytest.approx(0.3))


@given(some_cases, st.sampled_from([0.05, 0.1, 0.2, 1 / 3, 0.5]))
def test_the_limit_is_the_rank_that_the_books_give(cases, alpha):
    labels, probabilities = [label for label, _ in cases], [score / 10 for _, score in cases]
    fit = fit_conformal(labels, probabilities, alpha)
    for label in (0, 1):
        against = sorted(
            1 - p if label else p for other, p in zip(labels, probabilities, strict=True) if other == label
        )
        rank = ceil(round((1 - alpha) * (len(against) + 1), 9))
        assert fit.limits[label] == (against[rank - 1] if rank <= len(against) else 1)
        assert fit.cases[label] == len(against)


@given(some_cases)
def test_a_smaller_alpha_never_takes_a_label_away(cases):
    labels, probabilities = [label for label, _ in cases], [score / 10 for _, score in cases]
    strict, loose = (label_sets(fit_conformal(labels, probabilities, alpha), probabilities) for alpha in (0.05, 0.3))
    assert (strict >= loose).all()


@pytest.mark.parametrize(("alpha", "zeros", "ones"), [(0.1, 30, 19), (0.2, 14, 24)])
def test_over_many_calibrations_each_class_is_covered_as_often_as_promised(alpha, zeros, ones):
    """One new patient of each class a calibration: hits are binomial with the exact rate of their rank."""
    rng, hits, repeats = np.random.default_rng(11), np.zeros(2), 3000
    for _ in range(repeats):
        fit = fit_conformal(*patients(rng, zeros, ones), alpha)
        hits += label_sets(fit, patients(rng, 1, 1)[1]).diagonal()
    for cases, held in zip((zeros, ones), hits, strict=True):
        rate = ceil(round((1 - alpha) * (cases + 1), 9)) / (cases + 1)
        assert 1 - alpha <= rate <= 1 - alpha + 1 / (cases + 1)
        low, high = binom.interval(0.999, repeats, rate)
        assert low <= held <= high


def test_the_coverage_of_one_calibration_varies_as_the_beta_distribution_says():
    rng, alpha, cases, tested = np.random.default_rng(12), 0.1, 39, 200
    covered = []
    for _ in range(400):
        fit = fit_conformal(*patients(rng, cases, cases), alpha)
        labels, probabilities = patients(rng, 0, tested)
        covered.append(label_sets(fit, probabilities)[labels == 1, 1].sum())
    expected = betabinom(tested, 36, 4)
    assert np.mean(covered) == pytest.approx(expected.mean(), abs=4 * expected.std() / 20)
    assert np.std(covered) == pytest.approx(expected.std(), rel=0.15)
    low, high = expected.interval(0.9)
    assert 0.85 <= np.mean([low <= hits <= high for hits in covered]) <= 0.97


def test_a_rare_class_is_covered_as_well_as_the_common_one():
    rng = np.random.default_rng(13)
    fit = fit_conformal(*patients(rng, 4000, 400), 0.1)
    labels, probabilities = patients(rng, 20_000, 20_000)
    found = set_scores(labels, label_sets(fit, probabilities))
    assert found.coverage == pytest.approx((0.9, 0.9), abs=0.03)
    assert found.single + found.both + found.neither == pytest.approx(1)


def test_sets_are_scored_by_hand():
    sets = np.array([[True, False], [True, True], [False, False], [False, True]])
    assert set_scores([0, 1, 1, 1], sets) == SetScores((1, 2 / 3), 0.5, 0.25, 0.25)
    assert set_scores([], np.zeros((0, 2), bool)) == SetScores((None, None), None, None, None)


def test_a_fit_without_cases_excludes_nothing_and_is_json():
    fit = fit_conformal([], [], 0.1)
    assert label_sets(fit, [0.0, 0.5, 1.0]).all()
    assert json.loads(json.dumps(asdict(fit), allow_nan=False))["limits"] == [1, 1]


@pytest.mark.parametrize(
    ("labels", "probabilities", "alpha", "told"),
    [([0], [0.5], 0, "alpha"), ([0], [0.5], 1, "alpha"), ([0], [1.5], 0.1, "0 to 1"), ([0, 1], [0.5], 0.1, "one a")],
)
def test_what_cannot_be_fitted_is_refused(labels, probabilities, alpha, told):
    with pytest.raises(ValueError, match=told):
        fit_conformal(labels, probabilities, alpha)
