import numpy as np
import pytest

from core.imaging.normalization import normalize


def a_brain(values):
    values = np.array(values, np.float32).reshape(-1, 1, 1)
    return values, np.ones(values.shape, bool)


def test_zscore_gives_the_clipped_brain_mean_zero_and_deviation_one():
    rng = np.random.default_rng(1)
    values, brain = rng.gamma(2, 50, (10, 11, 12)).astype(np.float32), rng.random((10, 11, 12)) < 0.5
    result, parameters = normalize(values, brain, "zscore")
    assert result[brain].mean() == pytest.approx(0, abs=1e-5)
    assert result[brain].std() == pytest.approx(1, abs=1e-5)
    assert not result[~brain].any()
    low, high = np.percentile(values[brain], [0.5, 99.5])
    assert parameters["low"] == pytest.approx(low)
    assert result.max() == pytest.approx((high - parameters["center"]) / parameters["scale"], rel=1e-5)


def test_robust_puts_the_median_at_zero_and_the_quartiles_one_apart():
    values, brain = a_brain(range(1001))
    result, parameters = normalize(values, brain, "robust")
    assert result[500, 0, 0] == 0
    assert result[750, 0, 0] - result[250, 0, 0] == pytest.approx(1)
    assert parameters == {"low": 5.0, "high": 995.0, "center": 500.0, "scale": 500.0}


def test_what_the_scanner_did_not_see_counts_for_nothing():
    seen, brain = a_brain([1, 2, 3, 4])
    partly, larger = a_brain([1, 2, 3, 4, np.nan, np.nan])
    expected, _ = normalize(seen, brain, "zscore")
    result, _ = normalize(partly, larger, "zscore")
    assert result[:4].tolist() == expected.tolist()
    assert result[4:].tolist() == [[[0]], [[0]]]


@pytest.mark.parametrize("method", ["zscore", "robust"])
@pytest.mark.parametrize("values", [[7, 7, 7], [np.nan, np.nan], [5] * 999 + [6]])
def test_a_brain_of_one_value_becomes_zeros_and_is_called_blank(method, values):
    result, parameters = normalize(*a_brain(values), method)
    assert not result.any()
    assert parameters == {"blank": True}
