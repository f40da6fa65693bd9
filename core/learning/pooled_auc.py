"""How far an area under the curve from added histograms can be from the one that pooled single scores would give."""

import numpy as np
from numpy.typing import ArrayLike


def auc_bounds(positive_hist: ArrayLike, negative_hist: ArrayLike) -> tuple[float, float] | None:
    """Return the lowest and the highest area that any placement of scores within their bins allows.

    Only pairs that share a bin are in doubt: lowest, each such negative outscores its positive; highest, the other way
    round; ties count one half and lie between, and with all of them tied the area is the middle, `metrics.Binary.auc`.
    Both ends can occur, so the histograms alone allow no better bound.

    The bound: with p and n the shares of positives and of negatives by bin, the ends lie sum(p n) apart, twice
    `metrics.Binary.auc_error`, which is at most max(p) and at most max(n). Splitting bins never widens it. Of scores
    whose density in one class is at most f, it is at most f / bins in expectation.

    Args:
        positive_hist, negative_hist: cases of each class by score bin, in rising order, [bins]; those of several
            hospitals added up, whose pooled area is then bounded.
    Returns: low and high, 0 to 1, or None without both classes.
    """
    positive, negative = np.asarray(positive_hist, np.float64), np.asarray(negative_hist, np.float64)
    if positive.ndim != 1 or positive.shape != negative.shape:
        raise ValueError("both histograms must have the same bins")
    if not ((positive >= 0).all() and (negative >= 0).all()):
        raise ValueError("a histogram counts cases: none can be below 0")
    pairs = float(positive.sum() * negative.sum())
    if not pairs:
        return None
    up_to = np.cumsum(negative)
    return float(positive @ (up_to - negative)) / pairs, float(positive @ up_to) / pairs
