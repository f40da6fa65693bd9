"""Sets of labels from added histograms, beside those that single cases give, and what they tell of the cases."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.binned_sets import ALPHAS, SetLimits, fit_sets
from core.learning.calibration import fit_head
from core.learning.conformal import fit_conformal, label_sets
from core.learning.curves import auc
from core.learning.metrics import BINS, bin_of

some_scores = st.lists(st.floats(0, 1), max_size=40)


def histogram(scores):
    return np.bincount(bin_of(scores), minlength=BINS).tolist()


def bins(**cases):
    """A histogram with so many cases in these bins, such as b10=2."""
    counted = [0] * BINS
    for name, number in cases.items():
        counted[int(name[1:])] = number
    return counted


def test_limits_by_hand():
    # Nine of each class. The isotonic fit pools bins 50 and 60: three of five are positive in the first, one of two in
    # the second. A fifth of ten may be missed, two: the eighth negative is at 50, the second lowest positive too.
    positive, negative = bins(b10=1, b50=3, b60=1, b90=4), bins(b10=6, b50=2, b60=1)
    assert fit_sets(positive, negative, 0.2) == SetLimits(alpha=0.2, lower_to=60, upper_from=50)
    # One of ten: the ninth negative, at 60, and the lowest positive, at 10.
    assert fit_sets(positive, negative, 0.1) == SetLimits(alpha=0.1, lower_to=60, upper_from=10)
    # None of ten: nothing is excluded.
    assert fit_sets(positive, negative, 0.05) == SetLimits(alpha=0.05, lower_to=BINS - 1, upper_from=0)
    # Classes and bins the other way round: so are the limits.
    mirrored = fit_sets(negative[::-1], positive[::-1], 0.2)
    assert (mirrored.lower_to, mirrored.upper_from) == (BINS - 1 - 50, BINS - 1 - 60)


def test_sets_by_hand():
    limits = SetLimits(alpha=0.1, lower_to=20, upper_from=10)
    assert limits.sets(np.array([9, 10, 20, 21])).tolist() == [[True, False], [True, True], [True, True], [False, True]]
    assert SetLimits(alpha=0.1, lower_to=10, upper_from=20).sets(15).tolist() == [False, False]


@given(some_scores, some_scores, some_scores, st.sampled_from([*ALPHAS, 1 / 3]))
def test_a_binned_set_always_holds_the_one_that_single_cases_give(positives, negatives, others, alpha):
    fit = fit_conformal([1] * len(positives) + [0] * len(negatives), [*positives, *negatives], alpha)
    scores = np.array([*positives, *negatives, *others])
    exact = label_sets(fit, scores)
    binned = fit_sets(histogram(positives), histogram(negatives), alpha).sets(bin_of(scores))
    assert (binned >= exact).all()


@given(some_scores, some_scores)
def test_a_smaller_alpha_never_takes_a_label_away(positives, negatives):
    strict, loose = (fit_sets(histogram(positives), histogram(negatives), alpha) for alpha in (0.05, 0.3))
    assert strict.lower_to >= loose.lower_to
    assert strict.upper_from <= loose.upper_from


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("spread", [0.05, 1.5])
def test_over_many_calibrations_each_class_is_covered_at_least_as_often_as_promised(alpha, spread):
    """Scores in a few bins, and over many; one new patient of each class a calibration."""
    rng, labels = np.random.default_rng(5), np.repeat([0, 1], 25)
    hits = np.zeros(2)
    draws = 1500
    for _ in range(draws):
        scores, new = (
            1 / (1 + np.exp(-spread * (rng.standard_normal(len(each)) + each))) for each in (labels, np.arange(2))
        )
        sets = fit_sets(histogram(scores[labels == 1]), histogram(scores[labels == 0]), alpha).sets(bin_of(new))
        hits += np.diag(sets)
    assert (hits / draws >= 1 - alpha - 3 * np.sqrt(alpha * (1 - alpha) / draws)).all()


def test_sets_tell_nothing_of_the_cases_that_the_probabilities_intervals_do_not():
    """Every way to put one or two cases of each class into four bins: where low and high are alike, so are the sets."""
    told, twins = {}, 0
    for ones, zeros in product(product(range(2), repeat=4), repeat=2):
        if not {sum(ones), sum(zeros)} <= {1, 2}:
            continue
        positive, negative = ([*counted, *[0] * (BINS - 4)] for counted in (ones, zeros))
        places = np.arange(BINS)
        area = auc([1] * sum(ones) + [0] * sum(zeros), [*np.repeat(places, positive), *np.repeat(places, negative)])
        fit = fit_head(positive, negative, area)
        low_and_high = tuple(np.round([*fit.low[:5], *fit.high[:5], fit.positives, fit.negatives], 9))
        sets = [fit_sets(positive, negative, alpha) for alpha in (0.5, 0.7)]
        twins += low_and_high in told
        assert told.setdefault(low_and_high, sets) == sets
    assert twins > 10
