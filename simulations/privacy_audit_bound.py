"""From two clouds of scores to an epsilon that a mechanism cannot be below.

Where a patient is in every step, all the steps together are one Gaussian mechanism: what becomes known of the patient
is one number, which being in shifts by so many standard deviations. That distance decides the whole trade-off between
epsilon and delta, and two clouds of scores bound it from below.

Sources: Balle and Wang 2018, theorem 8 (the exact trade-off); Dong 2022 (distance as the measure of privacy); Johnson
and Welch 1940 (limits of a standardized difference by the noncentral t).
"""

from math import erfc, exp, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, nctdtr

# Clouds further apart do not overlap in any number of canaries that can be afforded, so no larger distance is claimed.
MOST_DISTANCE = 10.0


def delta_of(epsilon: float, distance: float) -> float:
    """Return the least delta of a Gaussian mechanism at an epsilon.

    Args:
        epsilon: at least 0.
        distance: that a patient shifts the outcome, in standard deviations; above 0.
    """
    middle = epsilon / distance
    # The second term as one exponential: its factors alone leave the range of floating point.
    beyond = exp(epsilon + float(log_ndtr(-middle - distance / 2)))
    return erfc((middle - distance / 2) / sqrt(2)) / 2 - beyond


def epsilon_at(delta: float, distance: float) -> float:
    """Return the least epsilon of a Gaussian mechanism at a delta, the inverse of `delta_of`.

    Args:
        delta: above 0.
        distance: in standard deviations, from 0 to `MOST_DISTANCE`.
    """
    if distance <= 0 or delta_of(0.0, distance) <= delta:
        return 0.0
    # At most the distance's square and 20 standard deviations of the privacy loss: beyond it delta is below 1e-80.
    return float(brentq(lambda epsilon: delta_of(epsilon, distance) - delta, 0.0, distance * (distance + 20)))


def least_distance(included: NDArray[np.float64], left_out: NDArray[np.float64], error: float) -> float:
    """Return what the distance of two clouds is at least, in standard deviations; 0 to `MOST_DISTANCE`.

    Exact for Gaussian clouds of the same spread. What else spreads both alike only makes the limit smaller.

    Args:
        included, left_out: scores, each by itself: float64 [n], at least 2 in each.
        error: the chance that the limit is above the truth, below one half.
    """
    among = included.size + left_out.size - 2
    spread = sqrt((included.var() * included.size + left_out.var() * left_out.size) / among)
    apart = float(included.mean() - left_out.mean())
    if apart <= 0:
        return 0.0
    if spread == 0:
        return MOST_DISTANCE
    seen = apart / spread
    per_distance = 1 / sqrt(1 / included.size + 1 / left_out.size)

    def surprise(distance: float) -> float:
        """How likely clouds at this distance lie as far apart as was seen, less how unlikely that may be."""
        return 1 - float(nctdtr(among, distance * per_distance, seen * per_distance)) - error

    # At the distance that was seen, half of all clouds lie further apart: the limit is below it.
    most = min(seen, MOST_DISTANCE)
    if surprise(0.0) >= 0:
        return 0.0
    if surprise(most) <= 0:
        return most
    return float(brentq(surprise, 0.0, most))
