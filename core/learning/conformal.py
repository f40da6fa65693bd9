"""Sets of labels that hold the true one as often as promised, for each class, whatever the model is like.

Split conformal prediction, each class calibrated by itself (Mondrian): among patients of one class who are drawn as the
calibration patients were, the set misses the true label with probability at most alpha, over the draw of both. Given
one calibration the rate of misses varies: with few patients it may well lie above alpha.

Sources: Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715 (Mondrian); Vovk 2012, arXiv:1209.2673
(training-conditional validity: the coverage of one calibration is beta distributed); Angelopoulos and Bates 2021,
arXiv:2107.07511.
"""

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Sets = NDArray[np.bool_]


@dataclass(frozen=True)
class ConformalFit:
    """How unlike a class a case may look and still be given its label.

    Attributes:
        alpha: how often the true label may be missed, in each class.
        limits: of the labels 0 and 1, how much probability may speak against them, 0 to 1; 1 excludes nothing.
        cases: how many calibration patients each was fitted to.
    """

    alpha: float
    limits: tuple[float, float]
    cases: tuple[int, int]


@dataclass(frozen=True)
class SetScores:
    """What sets of labels are worth; None where the cases cannot say.

    Attributes:
        coverage: of the labels 0 and 1, how often cases of that label had it in their set.
        single, both, neither: shares of cases by their sets.
    """

    coverage: tuple[float | None, float | None]
    single: float | None
    both: float | None
    neither: float | None


def fit_conformal(labels: ArrayLike, probabilities: ArrayLike, alpha: float) -> ConformalFit:
    """Fit each class's limit to calibration patients, whom the model was not trained on.

    The limit is the smallest one that, were the new case among them, all but a share alpha of its class would meet.
    With fewer than 1 / alpha - 1 patients of a class there is none and its label is never excluded.

    Args:
        labels: [cases], 0 or 1.
        probabilities: of the label 1, float [cases], 0 to 1.
        alpha: above 0, below 1.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha must be above 0 and below 1")
    against, truth = _against(probabilities), np.asarray(labels, np.float64) > 0.5
    if truth.shape != against.shape[:-1]:
        raise ValueError("labels and probabilities must be one a case")
    ours = [np.sort(against[truth == bool(label), label]) for label in (0, 1)]
    zero, one = (_limit(scores, alpha) for scores in ours)
    return ConformalFit(alpha, (zero, one), (len(ours[0]), len(ours[1])))


def label_sets(fit: ConformalFit, probabilities: ArrayLike) -> Sets:
    """Return the labels that cannot be excluded: bool [cases, 2], for the labels 0 and 1.

    A set may hold both (the model cannot tell) or neither (the case looks like neither class).

    Args:
        fit: as `fit_conformal` returns it.
        probabilities: of the label 1, float [cases], 0 to 1.
    """
    return np.asarray(_against(probabilities) <= np.array(fit.limits), np.bool_)


def set_scores(labels: ArrayLike, sets: Sets) -> SetScores:
    """Score sets of labels, bool [cases, 2], of cases whose labels, 0 or 1 [cases], are known."""
    truth, sizes = np.asarray(labels, np.float64) > 0.5, sets.sum(axis=1)
    zero, one = (_share(sets[truth == bool(label), label]) for label in (0, 1))
    return SetScores((zero, one), _share(sizes == 1), _share(sizes == 2), _share(sizes == 0))


def _against(probabilities: ArrayLike) -> Vector:
    """Return how much probability speaks against each label: float [cases, 2]."""
    chance = np.asarray(probabilities, np.float64)
    if chance.ndim != 1 or not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError("probabilities must be one a case, 0 to 1")
    return np.stack([chance, 1 - chance], axis=-1)


def _limit(ranked: Vector, alpha: float) -> float:
    # How many of these cases and the new one may be missed; rounding must not lose one.
    misses = floor(alpha * (len(ranked) + 1) + 1e-9)
    return float(ranked[len(ranked) - misses]) if misses else 1.0


def _share(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
