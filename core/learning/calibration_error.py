"""How far probabilities are from what happens: the expected calibration error, in bins of equal width or equal mass.

The error counted from cases is too large: within a bin the share of positives differs from its expectation by chance,
and the absolute value counts each such difference as an error. A perfectly calibrated model of n cases in b bins shows
about 0.4 sqrt(b / n) where probabilities lie around one half: 0.13 for 100 cases in ten bins.
`debiased_calibration_error` takes away what chance is expected to have added, though only part of it
where a model is calibrated well, since no error is counted below 0. Whether there is an error at all is for
`calibration_error_interval` to say; resampling patients would add the same bias once more and seldom reach 0.

Sources: Naeini 2015, AAAI, and Guo 2017, arXiv:1706.04599 (equal width); Nixon 2019, arXiv:1904.01685 (equal mass);
Kumar 2019, arXiv:1909.10155 (debiasing; there chance is sampled as normal, here its mean is written out).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from core.learning.intervals import RESAMPLES, Interval

Vector = NDArray[np.float64]
Places = NDArray[np.int64]
# Takes probabilities [..., cases] and a number of bins; returns the bin of each.
Binning = Callable[[Vector, int], Places]

BINS = 10


def equal_width(probabilities: Vector, bins: int) -> Places:
    """Return the bin of each probability, 0 to 1, where each bin spans the same range: int [..., cases]."""
    return np.clip((probabilities * bins).astype(np.int64), 0, bins - 1)


def equal_mass(probabilities: Vector, bins: int) -> Places:
    """Return the bin of each probability where bins hold about as many cases each: int [..., cases].

    Equal probabilities stay together, so that the order of cases does not matter; a bin may then be empty.
    """
    cases = probabilities.shape[-1]
    order = np.argsort(probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    rises = np.ones(ranked.shape, bool)
    rises[..., 1:] = ranked[..., 1:] > ranked[..., :-1]
    below = np.maximum.accumulate(np.where(rises, np.arange(cases), 0), axis=-1)
    places = np.empty(ranked.shape, np.int64)
    np.put_along_axis(places, order, below * bins // cases, axis=-1)
    return places


def calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, binning: Binning = equal_width, bins: int = BINS
) -> Vector:
    """Return the mean over cases of how far their bin's mean probability is from its share of positives.

    It is biased upwards; see the module.

    Args:
        labels: [cases], 0 or 1.
        probabilities: float [..., cases], 0 to 1; at least one case.
        binning, bins: how cases are put together.
    Returns: float [...], 0 to 1.
    """
    chance, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.float64)
    return np.asarray(np.abs(_summed(chance - truth, binning(chance, bins), bins)).sum(-1) / chance.shape[-1])


def debiased_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, binning: Binning = equal_width, bins: int = BINS
) -> float:
    """Return the calibration error less what chance is expected to have added, at least 0.

    A bin's share of positives is taken as normal around the one that was seen; the mean of its absolute distance from
    the bin's probability (a folded normal) exceeds the one seen by the bias. Bins whose cases are all alike, single
    cases among them, show no variance and keep their error.

    Args: as of `calibration_error`, with probabilities [cases].
    """
    cases, share, gap = _held(labels, probabilities, binning, bins)
    expected = _folded_mean(np.abs(gap), np.sqrt(share * (1 - share) / cases))
    return max(0.0, float((cases * (2 * np.abs(gap) - expected)).sum() / cases.sum()))


def calibration_error_interval(
    labels: ArrayLike, probabilities: ArrayLike, binning: Binning = equal_width, bins: int = BINS, *, seed: int
) -> Interval | None:
    """Return a 95 % interval of the calibration error that these probabilities would have without chance.

    Labels are drawn anew within each bin, from its share of positives with one case of either kind added, so that a bin
    of a few like cases is not taken for certain. Chance moves the error by at most the mean of the bins' deviations:
    the low end is the error seen less what these seldom exceed, the high end what the drawn labels' errors seldom
    exceed. The truth lies within more often than in 95 %, since the low end is a bound and the high end keeps the bias.

    Args: as of `calibration_error`, with probabilities [cases].
        seed: of the drawing; the same one gives the same interval.
    Returns: low and high, 0 to 1, around the error seen; None without cases.
    """
    if not np.size(labels):
        return None
    cases, share, gap = _held(labels, probabilities, binning, bins)
    expected = (cases * share + 1) / (cases + 2)
    drawn = np.random.default_rng(seed).binomial(cases.astype(np.int64), expected, (RESAMPLES, len(cases)))
    deviation, weight = drawn / cases - expected, cases / cases.sum()
    seen = float(np.abs(gap) @ weight)
    off, high = (float(np.percentile(np.abs(each) @ weight, 97.5)) for each in (deviation, gap + deviation))
    return max(0.0, seen - off), min(1.0, max(seen, high))


def _held(labels: ArrayLike, probabilities: ArrayLike, binning: Binning, bins: int) -> tuple[Vector, Vector, Vector]:
    """Return of each bin with cases: how many, their share of positives, and how far it is below their probability."""
    chance, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.float64)
    places = binning(chance, bins)
    cases = _summed(np.ones_like(chance), places, bins)
    held = cases > 0
    share = _summed(truth, places, bins)[held] / cases[held]
    return cases[held], share, _summed(chance, places, bins)[held] / cases[held] - share


def _folded_mean(mean: Vector, deviation: Vector) -> Vector:
    """Return the expected absolute value of normal variables."""
    ratio = np.divide(mean, deviation, out=np.full_like(mean, np.inf), where=deviation > 0)
    density = np.exp(-(ratio**2) / 2)
    return np.asarray(deviation * np.sqrt(2 / np.pi) * density + mean * (1 - 2 * ndtr(-ratio)))


def _summed(values: Vector, places: Places, bins: int) -> Vector:
    """Return the sum of values in each bin: float [..., bins]."""
    shape = values.shape[:-1]
    rows = np.arange(int(np.prod(shape)))[:, None] * bins
    places = rows + places.reshape(len(rows), -1)
    sums = np.bincount(places.ravel(), values.ravel(), minlength=len(rows) * bins)
    return sums.astype(np.float64).reshape(*shape, bins)
