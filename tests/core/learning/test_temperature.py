"""A temperature and a bias from added histograms, beside a twin that fits single cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import expit, logit

from core.learning.metrics import BINS, MIDDLES, bin_of
from core.learning.temperature import COLDEST, HOTTEST, LARGEST_BIAS, Temperature, fit_temperature

some_scores = st.lists(st.floats(0, 1), min_size=1, max_size=25)


def histogram(scores):
    return np.bincount(bin_of(scores), minlength=BINS).astype(float).tolist()


def fit_of(positives, negatives):
    return fit_temperature(histogram(positives), histogram(negatives))


def clipped_logits(scores):
    return logit(np.clip(scores, 1 / 512, 511 / 512))


def loss_of_cases(slope, bias, positives, negatives):
    """Mean over single cases of the cross entropy with Platt's labels, case after case."""
    total = 0.0
    for scores, hit in (
        (positives, (len(positives) + 1) / (len(positives) + 2)),
        (negatives, 1 / (len(negatives) + 2)),
    ):
        for value in clipped_logits(scores) * slope + bias:
            total += hit * np.logaddexp(0, -value) + (1 - hit) * np.logaddexp(0, value)
    return total / (len(positives) + len(negatives))


def twin(positives, negatives):
    """The best slope and bias of single cases, found without a gradient of ours."""
    bounds = [(1 / HOTTEST, 1 / COLDEST), (-LARGEST_BIAS, LARGEST_BIAS)]
    return minimize(lambda x: loss_of_cases(*x, positives, negatives), [0.5, 0.0], bounds=bounds).x


def drawn(seed, cases, temperature, bias, spread=2.0):
    """Cases whose true log odds are their logit divided by the temperature, plus the bias."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, cases)
    label = rng.random(cases) < expit(logits / temperature + bias)
    return expit(logits[label]), expit(logits[~label])


@settings(max_examples=40, deadline=None)
@given(positives=some_scores, negatives=some_scores)
def test_bins_cost_no_more_than_their_width_allows(positives, negatives):
    """The bound that the module states, with what rounding to three digits may add."""
    fit, best = fit_of(positives, negatives), twin(positives, negatives)
    scores = np.array([*positives, *negatives])
    edges = clipped_logits(np.stack([bin_of(scores), bin_of(scores) + 1]) / BINS)
    off = np.abs(edges - logit(MIDDLES)[bin_of(scores)]).max(0).mean()
    rounding = 0.5e-2 * (abs(logit(MIDDLES[0])) / fit.temperature + abs(fit.bias))
    excess = loss_of_cases(1 / fit.temperature, fit.bias, positives, negatives) - loss_of_cases(
        *best, positives, negatives
    )
    assert excess <= off * (1 / fit.temperature + best[0]) + rounding


@pytest.mark.parametrize("cases", [40, 200])
def test_the_fit_to_bins_is_close_to_that_of_a_naive_twin_on_single_cases(cases):
    positives, negatives = drawn(1, cases, temperature=2.5, bias=-0.7)
    fit, (slope, bias) = fit_of(positives, negatives), twin(positives, negatives)
    assert (1 / fit.temperature, fit.bias) == pytest.approx((slope, bias), abs=0.02)


@pytest.mark.parametrize(("temperature", "bias"), [(3.0, -1.0), (0.5, 0.4), (1.0, 0.0)])
def test_a_known_temperature_and_bias_are_found_again(temperature, bias):
    spread = 1.0 if temperature < 1 else 2.0
    fit = fit_of(*drawn(2, 40_000, temperature, bias, spread))
    assert fit.temperature == pytest.approx(temperature, rel=0.05)
    assert fit.bias == pytest.approx(bias, abs=0.05)


def test_two_hospitals_histograms_added_are_fitted_as_their_cases_together():
    (yes, no), (more_yes, more_no) = drawn(3, 30, 2, 0), drawn(4, 50, 2, 0)
    added = fit_temperature(np.add(histogram(yes), histogram(more_yes)), np.add(histogram(no), histogram(more_no)))
    assert added == fit_of([*yes, *more_yes], [*no, *more_no])


def test_a_probability_by_hand():
    fit = Temperature(temperature=2, bias=0.5)
    assert fit.probabilities([0.9, 0.5]) == pytest.approx([expit(logit(0.9) / 2 + 0.5), expit(0.5)])
    assert fit.probabilities(0.0) == fit.probabilities(1 / 512) > 0
    assert fit.probabilities(1.0) == fit.probabilities(511 / 512) < 1


@pytest.mark.parametrize(
    ("positives", "negatives"),
    [
        ([1.0], [0.0]),
        ([1.0] * 500, [0.0] * 500),
        ([0.5], [0.5]),
        ([0.0] * 30, [1.0] * 30),
        ([0.999], [0.998] * 10_000),
        ([0.9] * 40, [0.1]),
    ],
)
def test_scores_that_say_all_or_nothing_leave_both_numbers_bounded(positives, negatives):
    fit = fit_of(positives, negatives)
    assert COLDEST <= fit.temperature <= HOTTEST
    assert abs(fit.bias) <= LARGEST_BIAS
    chances = fit.probabilities(np.linspace(0, 1, 11))
    assert ((chances > 0) & (chances < 1)).all()
    assert (np.diff(chances) >= 0).all()


def test_scores_the_wrong_way_round_end_as_the_share_of_positives_for_all():
    fit = fit_of([0.3] * 30, [0.7] * 10)
    assert fit.temperature == HOTTEST
    assert fit.probabilities([0.2, 0.8]) == pytest.approx([0.75, 0.75], abs=0.05)


def test_one_case_of_each_class_is_not_taken_for_certain():
    fit = fit_of([1.0], [0.0])
    assert fit.probabilities([0.0, 1.0]) == pytest.approx([1 / 3, 2 / 3], abs=0.01)  # Platt's labels


@pytest.mark.parametrize("numbers", [(0.0, 0.0), (21.0, 0.0), (1.0, 20.5), (float("nan"), 0.0)])
def test_what_is_no_temperature_is_refused(numbers):
    with pytest.raises(ValidationError):
        Temperature(temperature=numbers[0], bias=numbers[1])
