"""Conformal sets of labels from histograms that add across hospitals; of patients they tell no more than intervals do.

Split conformal prediction asks for the rank of a new score among the calibration cases', and bins keep the order: the
bin of the case at a rank is known. A label is excluded only where the whole bin is, so a set holds the one that single
scores would give, and with it the promised coverage.

That bin would be one patient's, in a file that every hospital gets. Limits are therefore moved outwards to the ends of
the isotonic fit's blocks: blocks and their cases follow from a calibration's `low` and `high`, so that the sets tell
nothing which those do not. The price is wider sets: at an alpha of 0.1, 5 to 11 patients in 100 get both labels
instead of one (20 to 250 calibration patients a class, normal scores, AUC 0.6 to 0.9).

Sources: as of `core.learning.conformal`; Vovk and Petej 2012, arXiv:1211.0025 (the blocks).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import isotonic_regression

from core.config import Section
from core.learning.conformal import Sets, fit_conformal, label_sets
from core.learning.metrics import BINS, MIDDLES

Bin = NDArray[np.int64]

# How often the true label may be missed, in each class.
ALPHAS = (0.05, 0.1, 0.2)
# Values of isotonic blocks closer than this are equal but for rounding.
_NOTHING = 1e-12


class SetLimits(Section):
    """Which labels a score bin excludes, where the true one may be missed with probability alpha in each class."""

    alpha: float = Field(gt=0, lt=1)
    lower_to: int = Field(ge=0, lt=BINS, description="the last score bin that may be of the lower class")
    upper_from: int = Field(ge=0, lt=BINS, description="the first score bin that may be of the upper class")

    def sets(self, places: Bin | int) -> Sets:
        """Return whether the lower and the upper class can be: bool [..., 2], of score bins."""
        return np.stack([np.asarray(places) <= self.lower_to, np.asarray(places) >= self.upper_from], axis=-1)


def fit_sets(positive: Sequence[float], negative: Sequence[float], alpha: float) -> SetLimits:
    """Fit both classes' limits.

    Args:
        positive, negative: cases of each class by score bin, BINS whole numbers.
        alpha: how often the true label may be missed.
    """
    ones, zeros = np.asarray(positive, np.int64), np.asarray(negative, np.int64)
    labels = np.repeat([1, 0], [ones.sum(), zeros.sum()])
    scores = np.concatenate([np.repeat(MIDDLES, ones), np.repeat(MIDDLES, zeros)])
    lower, upper = label_sets(fit_conformal(labels, scores, alpha), MIDDLES).T
    first, last = _blocks(ones, zeros)
    return SetLimits(
        alpha=alpha,
        lower_to=int(last[np.flatnonzero(lower)[-1]]),
        upper_from=int(first[np.flatnonzero(upper)[0]]),
    )


def _blocks(ones: Bin, zeros: Bin) -> tuple[Bin, Bin]:
    """Return for each bin the first and the last one with cases of its isotonic block; a bin without cases is alone."""
    first, last = np.arange(BINS), np.arange(BINS)
    held = np.flatnonzero(ones + zeros)
    if not len(held):
        return first, last
    cases = (ones + zeros)[held]
    fit = isotonic_regression(ones[held] / cases, weights=cases).x
    for block in np.split(held, np.flatnonzero(np.diff(fit) > _NOTHING) + 1):
        first[block], last[block] = block[0], block[-1]
    return first, last
