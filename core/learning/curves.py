"""The receiver operating characteristic of raw scores: its curve, its area and the area's interval.

Sources: DeLong 1988, doi:10.2307/2531595 (variance from the data); Pepe 2003 (interval on the logit scale, which stays
within 0 and 1); Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747 (variance from the area alone); Newcombe
2006, doi:10.1002/sim.2324 (its score interval).
"""

from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

# 97.5 % point of the normal distribution: intervals are 95 %.
Z = 1.959963984540054

Vector = NDArray[np.float64]


def auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the probability that a positive outscores a negative, ties counted one half.

    Args:
        labels: [cases], 0 or 1.
        scores: float [cases], higher for positive.
    Returns: 0 to 1, or None without both classes.
    """
    positive, negative = _by_class(labels, scores)
    if not len(positive) or not len(negative):
        return None
    return float(_placements(positive, negative).mean())


def auc_interval(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float] | None:
    """Return the area's 95 % interval, or None with fewer than two of either class.

    Perfect separation has no variance in the data; there the variance is the one that the interval's own far end would
    have (Hanley and McNeil), so that ten cases cannot claim certainty.
    """
    if min(map(len, _by_class(labels, scores))) < 2:
        return None
    positives, negatives = placements(labels, scores)
    area = float(positives.mean())
    if area in (0.0, 1.0):
        return interval_from_area(area, len(positives), len(negatives))
    variance = float(positives.var(ddof=1) / len(positives) + negatives.var(ddof=1) / len(negatives))
    return _around(area, variance)


def placements(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return what each case adds to the area; both classes must be present.

    Args:
        labels: [cases], 0 or 1.
        scores: float [cases], higher for positive.
    Returns: for each positive the share of negatives below it, and for each negative the share of positives above it,
        ties counted one half; float [positives] and [negatives]. The mean of either is the area.
    Source: DeLong 1988, the structural components V10 and V01.
    """
    positive, negative = _by_class(labels, scores)
    return _placements(positive, negative), 1 - _placements(negative, positive)


def interval_from_area(area: float, positives: int, negatives: int) -> tuple[float, float] | None:
    """Return a 95 % interval where only the area and the numbers of cases are known, as with counts of many sites.

    It holds every area of which this sample is no surprise. One around the sample's own area, on the logit scale, would
    reach below chance where a single tie keeps many cases from perfect separation.

    Returns: low and high, 0 to 1, or None with fewer than two of either class.
    """
    if positives < 2 or negatives < 2:
        return None
    # Which class is called positive is a matter of words.
    return _lowest(area, positives, negatives), 1 - _lowest(1 - area, negatives, positives)


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return the curve's corners, from (0, 0) to (1, 1): false and true positive rates, one for each distinct score.

    Both classes must be present.
    """
    positive, negative = _by_class(labels, scores)
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    hits = [0.0, *((positive >= threshold).mean() for threshold in thresholds)]
    alarms = [0.0, *((negative >= threshold).mean() for threshold in thresholds)]
    return np.array(alarms), np.array(hits)


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    """Return recall and precision, one for each distinct score, from the highest down; there must be a positive."""
    positive, negative = _by_class(labels, scores)
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    hits = np.array([(positive >= threshold).sum() for threshold in thresholds])
    alarms = np.array([(negative >= threshold).sum() for threshold in thresholds])
    return hits / len(positive), hits / (hits + alarms)


def _around(area: float, variance: float) -> tuple[float, float]:
    """Return the interval that is symmetric on the logit scale."""
    middle, half = log(area / (1 - area)), Z * sqrt(variance) / (area * (1 - area))
    return _expit(middle - half), _expit(middle + half)


def _by_class(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    truth, score = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    return score[truth > 0.5], score[truth <= 0.5]


def _placements(ours: Vector, others: Vector) -> Vector:
    """Return for each of ours the share of the others below it, ties counted one half."""
    ranked = np.sort(others)
    below, up_to = np.searchsorted(ranked, ours, "left"), np.searchsorted(ranked, ours, "right")
    return (below + up_to) / 2 / len(others)


def _lowest(area: float, positives: int, negatives: int) -> float:
    """Return the lowest true area that may have led to this one: solves area - A = Z sd(A)."""
    low, high = 0.0, area
    for _ in range(60):
        middle = (low + high) / 2
        if area - middle > Z * sqrt(_hanley_variance(middle, positives, negatives)):
            low = middle
        else:
            high = middle
    return low


def _hanley_variance(area: float, positives: int, negatives: int) -> float:
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    squared = area**2
    total = (
        area * (1 - area) + (positives - 1) * (two_positives - squared) + (negatives - 1) * (two_negatives - squared)
    )
    return total / (positives * negatives)


def _expit(value: float) -> float:
    return 1 / (1 + exp(-value)) if value > -700 else 0.0
