import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from core.learning.curves import auc, auc_interval
from core.learning.intervals import bootstrap_interval, folds_interval, mean_interval, rowwise, wilson_interval


def mean_of_positives(labels, scores):
    return scores[..., labels > 0.5].mean(-1)


def test_wilsons_interval_by_hand():
    # 1 of 2: middle one half, half-width z / 2 / sqrt(2 + z^2).
    z = 1.959963984540054
    half = z / 2 / np.sqrt(2 + z**2)
    assert wilson_interval(1, 2) == pytest.approx((0.5 - half, 0.5 + half))
    # None of n: from 0 to z^2 / (n + z^2); all of n is its mirror.
    assert wilson_interval(0, 8) == (0, pytest.approx(z**2 / (8 + z**2)))
    assert wilson_interval(8, 8) == (pytest.approx(8 / (8 + z**2)), 1)


@given(st.integers(1, 500).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_wilsons_interval_is_scipys(counts):
    part, whole = counts
    expected = binomtest(part, whole).proportion_ci(method="wilson")
    assert wilson_interval(part, whole) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_none_and_all_of_any_number_end_at_exactly_0_and_1():
    for whole in range(1, 300):
        assert wilson_interval(0, whole)[0] == 0
        assert wilson_interval(whole, whole)[1] == 1


def test_no_cases_have_no_interval_and_more_than_all_is_a_mistake():
    assert wilson_interval(0, 0) is None
    with pytest.raises(ValueError, match="part of"):
        wilson_interval(3, 2)


def test_the_interval_of_a_mean_by_hand():
    # Two runs, 0 and 2: standard error 1, and t with one degree of freedom is 12.706.
    assert mean_interval([0, 2]) == pytest.approx((1 - 12.706205, 1 + 12.706205))
    assert mean_interval([0.5]) is mean_interval([]) is None


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12).filter(lambda runs: len(set(runs)) > 1))
def test_the_interval_of_a_mean_is_scipys(runs):
    expected = ttest_1samp(runs, 0).confidence_interval()
    assert mean_interval(runs) == pytest.approx((expected.low, expected.high))


def test_resampling_is_that_of_a_naive_twin():
    """Two positives, 0 and 1, resampled give 0, 1/2 or 1 as mean; negatives are resampled among themselves."""
    labels, scores = [0, 1, 0, 1, 0], [5.0, 0.0, 6.0, 1.0, 7.0]
    seen = []

    def noted(truth, rows):
        assert truth.tolist() == [0, 0, 0, 1, 1]
        assert np.isin(rows[:, :3], (5, 6, 7)).all()
        assert np.isin(rows[:, 3:], (0, 1)).all()
        seen.extend(mean_of_positives(truth, rows))
        return mean_of_positives(truth, rows)

    interval = bootstrap_interval(labels, scores, noted, seed=3, resamples=4000)
    assert len(seen) == 4000
    assert interval == tuple(np.percentile(seen, [2.5, 97.5])) == (0, 1)
    shares = [np.mean(np.array(seen) == value) for value in (0, 0.5, 1)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)


def test_resampling_in_several_blocks_draws_all_of_them(monkeypatch):
    sizes = []

    def noted(labels, scores):
        sizes.append(len(scores))
        return scores.mean(-1)

    monkeypatch.setattr("core.learning.intervals._HELD", 100)
    assert bootstrap_interval([0, 0, 1, 1], [1, 2, 3, 4], noted, seed=1, resamples=60) is not None
    assert sizes == [25, 25, 10]


def test_the_same_seed_gives_the_same_interval_and_another_another():
    rng = np.random.default_rng(0)
    labels, scores = np.repeat([0, 1], 20), rng.random(40)
    first, again, other = (bootstrap_interval(labels, scores, mean_of_positives, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first == pytest.approx(other, abs=0.03)


def test_a_score_of_one_row_can_be_resampled_and_the_areas_interval_is_about_delongs():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 150)
    scores = rng.standard_normal(300) + 1.2 * labels
    interval = bootstrap_interval(labels, scores, rowwise(auc), seed=1, resamples=600)
    np.testing.assert_allclose(interval, auc_interval(labels, scores), atol=0.015)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    labels, held = np.repeat([0, 1], 40), 0
    for seed in range(300):
        low, high = bootstrap_interval(labels, rng.standard_normal(80), mean_of_positives, seed=seed, resamples=400)
        held += low <= 0 <= high
    assert 0.90 <= held / 300 <= 0.98


def test_what_cannot_be_said_is_none():
    assert bootstrap_interval([], [], mean_of_positives, seed=1) is None
    assert bootstrap_interval([0, 0, 1], [1, 2, 3], lambda _, rows: rows.mean(-1), seed=1) is None
    assert bootstrap_interval([0, 0, 1, 1], [1, 2, 3, 3], mean_of_positives, seed=1) is None  # no width
    sometimes = rowwise(lambda labels, scores: None if scores[0] == scores[1] else 1.0)
    assert bootstrap_interval([0, 0, 1, 1], [1, 2, 3, 4], sometimes, seed=1) is None
    with pytest.raises(ValueError, match="one a case"):
        bootstrap_interval([0, 1], [1, 2, 3], mean_of_positives, seed=1)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-5, 5)), min_size=1, max_size=20), st.integers(0, 9))
def test_the_interval_of_a_mean_stays_within_the_scores(cases, seed):
    labels, scores = [label for label, _ in cases], [score for _, score in cases]
    interval = bootstrap_interval(labels, scores, lambda _, rows: rows.mean(-1), seed=seed, resamples=50)
    if interval is not None:
        assert min(scores) - 1e-9 <= interval[0] < interval[1] <= max(scores) + 1e-9


def test_the_interval_over_folds_by_hand():
    # Folds 0 and 2, one tested for each two trained on: variance 2 of a fold, (1/2 + 1/2) times that of the mean.
    half = 12.706205 * np.sqrt(2 * (1 / 2 + 1 / 2))
    assert folds_interval([0, 2], 0.5) == pytest.approx((1 - half, 1 + half))
    assert folds_interval([0.5], 0.5) is None


def test_more_repeats_of_the_same_folds_never_make_a_mean_certain():
    widths = []
    for repeats in (1, 100):
        low, high = folds_interval([0.6, 0.7, 0.8] * repeats, 0.5)
        widths.append(high - low)
    # What is left at last: the standard deviation of a fold times the root of tested per trained.
    folds = np.array([0.6, 0.7, 0.8] * 100)
    assert widths[1] == pytest.approx(2 * 1.968 * folds.std(ddof=1) * np.sqrt(0.5 + 1 / 300), rel=1e-3)
    assert widths[1] > 0.2


def test_intervals_over_folds_hold_the_mean_as_often_as_they_say_and_plain_ones_do_not():
    """Scores that share a part, correlated as the correction supposes: tested / (tested + trained)."""
    rng = np.random.default_rng(3)
    share, folds, held = 0.25, 10, {folds_interval: 0, mean_interval: 0}
    for _ in range(2000):
        together = np.sqrt(share / (1 + share)) * rng.standard_normal()
        scores = together + np.sqrt(1 / (1 + share)) * rng.standard_normal(folds)
        for name, (low, high) in {
            folds_interval: folds_interval(scores, share),
            mean_interval: mean_interval(scores),
        }.items():
            held[name] += low <= 0 <= high
    assert 0.935 < held[folds_interval] / 2000 < 0.965
    assert held[mean_interval] / 2000 < 0.8
