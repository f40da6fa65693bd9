"""Two numbers that turn a head's raw scores into probabilities, fitted to counts that add across hospitals.

A head's logit is divided by a temperature, and a bias is added. The bias is not in Guo's scaling, which assumes that
1/2 is where the classes balance: our heads are trained with balanced classes, so that their logits lack the classes'
true odds, and a factor cannot give these back.

The negative log-likelihood is a sum over cases, and over score bins once every case stands at its bin's middle: the fit
to pooled histograms is the fit to all hospitals' cases but for the bins' width. Moving a case's logit by d moves its
loss by at most d / temperature, so the mean loss of all cases under the fitted numbers exceeds the lowest possible one
by at most D (1 / temperature + 1 / best temperature), where D is the mean over cases of how far their bin's edge is
from its middle in logits: 0.01 for scores around one half, 0.7 in the outermost bins, beyond whose middles scores are
cut off when fitting and when reading.

Sources: Guo 2017, arXiv:1706.04599 (temperature); Platt 1999 (slope and bias, fitted to shares a little within 0 and 1,
so that separable cases leave both finite); Lin, Lin and Weng 2007, doi:10.1007/s10994-007-5018-6.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from core.config import Section
from core.learning.metrics import MIDDLES

Vector = NDArray[np.float64]

COLDEST, HOTTEST = 0.05, 20.0
LARGEST_BIAS = 20.0


class Temperature(Section):
    """How a raw score's logit becomes a probability's."""

    temperature: float = Field(ge=COLDEST, le=HOTTEST, description="divides logits; above 1: scores were too sure")
    bias: float = Field(ge=-LARGEST_BIAS, le=LARGEST_BIAS, description="added to divided logits")

    def probabilities(self, scores: ArrayLike) -> Vector:
        """Return calibrated probabilities of raw scores, 0 to 1; beyond the outermost bins' middles they stay alike."""
        return np.asarray(expit(logit(np.clip(scores, MIDDLES[0], MIDDLES[-1])) / self.temperature + self.bias))


def fit_temperature(positive: Sequence[float], negative: Sequence[float]) -> Temperature:
    """Fit to histograms; scores that rank the wrong way round get the hottest temperature, never a negative one.

    Both numbers are rounded to three digits: more would tell nothing but one histogram from another.

    Args:
        positive, negative: cases of each class by score bin, BINS numbers; at least one case each.
    """
    ones, zeros = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    cases, logits = ones + zeros, logit(MIDDLES)
    # How many positives Platt takes each bin to hold.
    hits = ones * (ones.sum() + 1) / (ones.sum() + 2) + zeros / (zeros.sum() + 2)

    def loss(numbers: Vector) -> tuple[float, Vector]:
        slope, bias = numbers
        scaled = logits * slope + bias
        off = (cases * expit(scaled) - hits) / cases.sum()
        value = (cases * np.logaddexp(0, scaled) - hits * scaled).sum() / cases.sum()
        return float(value), np.array([off @ logits, off.sum()])

    bounds = [(1 / HOTTEST, 1 / COLDEST), (-LARGEST_BIAS, LARGEST_BIAS)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8})
    slope, bias = found.x
    return Temperature(temperature=float(f"{1 / slope:.3g}"), bias=float(f"{bias:.3g}"))
