import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.calibration_error import (
    calibration_error,
    calibration_error_interval,
    debiased_calibration_error,
    equal_mass,
    equal_width,
)

BINNINGS = [equal_width, equal_mass]
some_cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1, max_size=40)


def naive_error(labels, probabilities, places):
    """The papers' words: each bin's share of cases, times its mean probability's distance from its share of ones."""
    total = 0.0
    for place in set(places):
        inside = [i for i, other in enumerate(places) if other == place]
        confidence = sum(probabilities[i] for i in inside) / len(inside)
        share = sum(labels[i] for i in inside) / len(inside)
        total += len(inside) / len(labels) * abs(confidence - share)
    return total


def test_an_error_by_hand():
    # Two bins of width one half: .1 and .3 with no positive, off by .2; .7 and .9 with one, off by .3.
    labels, probabilities = [0, 0, 1, 0], [0.1, 0.3, 0.7, 0.9]
    assert calibration_error(labels, probabilities, equal_width, 2) == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)
    # Bins of equal mass over .6, .7, .8, .9 part at .8; of equal width they do not part at all: .75 against .5.
    labels, probabilities = [1, 0, 1, 0], [0.6, 0.7, 0.8, 0.9]
    assert calibration_error(labels, probabilities, equal_mass, 2) == pytest.approx((0.15 + 0.35) / 2)
    assert calibration_error(labels, probabilities, equal_width, 2) == pytest.approx(0.25)


def test_bins_by_hand():
    assert equal_width(np.array([0, 0.24, 0.25, 0.99, 1]), 4).tolist() == [0, 0, 1, 3, 3]
    assert equal_mass(np.array([0.9, 0.1, 0.8, 0.2]), 2).tolist() == [1, 0, 1, 0]
    # Ties stay with the first of them.
    assert equal_mass(np.array([0.5, 0.5, 0.5, 0.6]), 2).tolist() == [0, 0, 0, 1]
    assert equal_mass(np.array([0.3, 0.1, 0.2]), 10).tolist() == [6, 0, 3]


@pytest.mark.parametrize("binning", BINNINGS)
@given(cases=some_cases, bins=st.integers(1, 8))
def test_the_error_is_the_naive_twins(binning, cases, bins):
    labels, probabilities = [label for label, _ in cases], [score / 12 for _, score in cases]
    places = binning(np.array(probabilities), bins).tolist()
    assert max(places) < bins
    expected = naive_error(labels, probabilities, places)
    assert calibration_error(labels, probabilities, binning, bins) == pytest.approx(expected)


@pytest.mark.parametrize("binning", BINNINGS)
@given(cases=some_cases, order=st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(binning, cases, order):
    mixed = order.sample(cases, len(cases))
    one, other = (
        calibration_error([label for label, _ in each], [score / 12 for _, score in each], binning)
        for each in (cases, mixed)
    )
    assert one == pytest.approx(other)


@pytest.mark.parametrize("binning", BINNINGS)
def test_many_rows_at_once_are_each_row_by_itself(binning):
    rng = np.random.default_rng(1)
    labels, rows = rng.integers(0, 2, 50), rng.integers(0, 20, (2, 3, 50)) / 20
    found = calibration_error(labels, rows, binning)
    assert found.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert found[place] == pytest.approx(float(calibration_error(labels, rows[place], binning)))


def test_bins_of_equal_mass_hold_as_many_cases_each():
    places = equal_mass(np.random.default_rng(2).random(103), 10)
    assert sorted(np.bincount(places).tolist()) == [10] * 7 + [11] * 3


@pytest.mark.parametrize("binning", BINNINGS)
def test_debiasing_is_what_sampling_chance_gives(binning):
    """Kumar's way: sample each bin's share from the normal around the one seen, and take off what that adds."""
    rng = np.random.default_rng(3)
    probabilities = rng.random(200)
    labels = (rng.random(200) < probabilities**2).astype(float)
    places = binning(probabilities, 5)
    gaps, sampled, weights = [], [], []
    for place in range(5):
        inside = places == place
        share, confidence = labels[inside].mean(), probabilities[inside].mean()
        drawn = rng.normal(share, np.sqrt(share * (1 - share) / inside.sum()), 100_000)
        gaps.append(abs(confidence - share))
        sampled.append(np.abs(confidence - drawn).mean())
        weights.append(inside.mean())
    expected = 2 * np.dot(weights, gaps) - np.dot(weights, sampled)
    assert debiased_calibration_error(labels, probabilities, binning, 5) == pytest.approx(expected, abs=1e-3)


def test_a_calibrated_model_shows_the_error_that_the_module_tells_and_less_of_it_debiased():
    rng = np.random.default_rng(4)
    plain, debiased = [], []
    for _ in range(200):
        probabilities = 0.3 + 0.4 * rng.random(100)
        labels = rng.random(100) < probabilities
        plain.append(calibration_error(labels, probabilities, equal_mass))
        debiased.append(debiased_calibration_error(labels, probabilities, equal_mass))
    assert np.mean(plain) == pytest.approx(0.4 * np.sqrt(10 / 100), abs=0.01)
    assert np.mean(debiased) < 0.7 * np.mean(plain)


@given(cases=some_cases)
def test_debiasing_never_adds_and_never_goes_below_nothing(cases):
    labels, probabilities = [label for label, _ in cases], [score / 12 for _, score in cases]
    plain, debiased = calibration_error(labels, probabilities), debiased_calibration_error(labels, probabilities)
    assert 0 <= debiased <= float(plain) + 1e-12 <= 1 + 1e-9


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("cases", [30, 150])
@pytest.mark.parametrize(
    "truth_of", [lambda p: p, lambda p: p * 0.6, lambda p: 0.25 + p / 2], ids=["good", "high", "bold"]
)
def test_the_interval_holds_the_error_without_chance_at_least_as_often_as_it_says(binning, cases, truth_of):
    rng, held, shown = np.random.default_rng(5), 0, 0
    for seed in range(200):
        probabilities = rng.beta(1.5, 1.5, cases)
        truth = truth_of(probabilities)
        low, high = calibration_error_interval(rng.random(cases) < truth, probabilities, binning, seed=seed)
        # The error's own definition, with each case's true probability for its label.
        error = float(calibration_error(truth, probabilities, binning))
        held += low - 1e-12 <= error <= high
        shown += low > 0
    assert held / 200 >= 0.95
    if truth_of(1.0) == 1:
        assert shown / 200 <= 0.05


def test_a_large_error_of_many_cases_is_shown():
    rng = np.random.default_rng(6)
    probabilities = rng.beta(1.5, 1.5, 400)
    low, high = calibration_error_interval(rng.random(400) < probabilities * 0.5, probabilities, seed=1)
    assert 0.1 < low < 0.25 < high < 0.4
    assert calibration_error_interval([], [], seed=1) is None


@given(cases=some_cases, seed=st.integers(0, 5))
def test_the_interval_surrounds_the_error_that_was_seen(cases, seed):
    labels, probabilities = [label for label, _ in cases], [score / 12 for _, score in cases]
    for binning in BINNINGS:
        low, high = calibration_error_interval(labels, probabilities, binning, seed=seed)
        seen = float(calibration_error(labels, probabilities, binning))
        assert 0 <= low <= seen + 1e-9
        assert seen - 1e-9 <= high <= 1
