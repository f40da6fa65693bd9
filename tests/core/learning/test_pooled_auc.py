import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.curves import auc
from core.learning.metrics import BINS, add, counts_of, histograms_of, scores_of
from core.learning.pooled_auc import auc_bounds

some_cases = st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.integers(0, 3)), min_size=2, max_size=40)
some_histograms = st.integers(1, 6).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 4), min_size=2 * bins, max_size=2 * bins)] * 2)
)


def histograms(labels, scores, bins):
    places = np.minimum((np.array(scores) * bins).astype(int), bins - 1)
    return tuple(np.bincount(places[np.array(labels) == sign], minlength=bins) for sign in (1, 0))


def site_counts(cases):
    labels, scores = [float(label) for label, _, _ in cases], [score for _, score, _ in cases]
    none = [float("nan")] * len(cases)
    return counts_of({"mgmt": scores, "tumor": none}, {"mgmt": labels, "tumor": none}, [[], [], []], [0.0] * len(cases))


def test_bounds_by_hand():
    # Two positives and two negatives; of the four pairs two are in order and two share the middle bin.
    assert auc_bounds([0, 1, 1], [0, 2, 0]) == (0.5, 1)
    assert auc_bounds([0, 0, 2], [1, 1, 0]) == (1, 1)
    assert auc_bounds([2, 0], [0, 2]) == (0, 0)
    assert auc_bounds([3], [4]) == (0, 1)
    assert auc_bounds([1, 2], [0, 0]) is auc_bounds([0], [3]) is None


@given(some_cases, st.sampled_from([1, 2, 3, 10, BINS]))
def test_the_exact_area_lies_within_the_bounds(cases, bins):
    labels, scores = [int(label) for label, _, _ in cases], [score for _, score, _ in cases]
    bounds, exact = auc_bounds(*histograms(labels, scores, bins)), auc(labels, scores)
    if exact is None:
        assert bounds is None
    else:
        assert 0 <= bounds[0] <= exact + 1e-12
        assert exact - 1e-12 <= bounds[1] <= 1


@given(some_cases)
def test_histograms_of_several_hospitals_bound_the_area_of_all_their_patients(cases):
    counts = {}
    for site in range(4):
        counts = add(counts, site_counts([case for case in cases if case[2] == site]))
    bounds = auc_bounds(*histograms_of(counts, "mgmt"))
    binary, exact = scores_of(counts).mgmt, auc([label for label, _, _ in cases], [score for _, score, _ in cases])
    if exact is None:
        assert bounds is binary.auc is None
    else:
        assert bounds == pytest.approx((binary.auc - binary.auc_error, binary.auc + binary.auc_error))
        assert bounds[0] - 1e-12 <= exact <= bounds[1] + 1e-12


@given(some_histograms)
def test_placements_within_the_bins_reach_both_ends_and_ties_lie_in_the_middle(pair):
    positive, negative = pair
    bounds = auc_bounds(positive, negative)
    if bounds is None:
        return
    bins = np.arange(len(positive))
    labels = [1] * sum(positive) + [0] * sum(negative)
    low, middle, high = (
        auc(labels, np.concatenate([np.repeat(bins + shift, positive), np.repeat(bins, negative)]))
        for shift in (-0.5, 0, 0.5)
    )
    assert (low, high) == pytest.approx(bounds)
    assert middle == pytest.approx(sum(bounds) / 2)


@given(some_histograms)
def test_splitting_bins_only_ever_tightens_the_bounds(pair):
    fine = auc_bounds(*pair)
    if fine is not None:
        low, high = auc_bounds(*(np.reshape(each, (-1, 2)).sum(axis=1) for each in pair))
        assert low - 1e-12 <= fine[0] <= fine[1] <= high + 1e-12


@given(some_histograms)
def test_the_bounds_lie_as_far_apart_as_the_docstring_says(pair):
    bounds = auc_bounds(*pair)
    if bounds is not None:
        shares = [np.array(each) / sum(each) for each in pair]
        assert bounds[1] - bounds[0] == pytest.approx(shares[0] @ shares[1])
        assert bounds[1] - bounds[0] <= min(shares[0].max(), shares[1].max()) + 1e-12


def test_ten_times_as_many_bins_are_about_ten_times_as_exact():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 2000)
    scores = rng.beta(2, 2, 4000)  # a density of at most 1.5
    widths = [np.diff(auc_bounds(*histograms(labels, scores, bins)))[0] for bins in (10, 100, 1000)]
    assert all(width < 1.5 / bins for width, bins in zip(widths, (10, 100, 1000), strict=True))
    np.testing.assert_allclose(np.array(widths[:-1]) / widths[1:], 10, rtol=0.15)


def test_what_is_no_pair_of_histograms_is_refused():
    with pytest.raises(ValueError, match="same bins"):
        auc_bounds([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="below 0"):
        auc_bounds([1, -2], [1, 2])
