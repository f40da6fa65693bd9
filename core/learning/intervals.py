"""How sure a score is: intervals of proportions, of means over a few runs, and of any score by resampling patients.

All are 95 %. Sources: Wilson 1927, doi:10.1080/01621459.1927.10502953 (proportions); Student 1908 (means); Nadeau and
Bengio 2003, doi:10.1023/A:1024068626366 (means over folds); Efron and Tibshirani 1993, chapter 13 (the percentile
bootstrap).
"""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from core.learning.curves import Z

Vector = NDArray[np.float64]
Interval = tuple[float, float]
# Takes labels [cases] and scores [..., cases]; returns float [...].
Score = Callable[[Vector, Vector], Vector]

RESAMPLES = 2000
# How many resampled scores are held at once: 8 MB.
_HELD = 1_000_000


def wilson_interval(part: float, whole: float) -> Interval | None:
    """Return the interval of a proportion, which stays within 0 and 1 and has a width even where none or all are part.

    Args:
        part, whole: numbers of cases, part of whole.
    Returns: low and high, or None of no cases.
    Source: Wilson 1927.
    """
    if not 0 <= part <= whole:
        raise ValueError(f"{part} cannot be a part of {whole}")
    if not whole:
        return None
    share, squared = part / whole, Z**2
    middle = (share + squared / (2 * whole)) / (1 + squared / whole)
    half = Z * sqrt(share * (1 - share) / whole + squared / (4 * whole**2)) / (1 + squared / whole)
    # At the ends the bound is exactly 0 or 1, which rounding must not miss.
    return (max(0.0, middle - half) if part else 0.0), (min(1.0, middle + half) if part < whole else 1.0)


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return Student's interval of the mean of a few independent runs, such as one difference for each seed.

    Args:
        values: one a run.
    Returns: low and high, or None with fewer than two runs.
    """
    runs = np.asarray(values, np.float64)
    if len(runs) < 2:
        return None
    half = float(student.ppf(0.975, len(runs) - 1)) * float(runs.std(ddof=1)) / sqrt(len(runs))
    return float(runs.mean()) - half, float(runs.mean()) + half


def folds_interval(values: Sequence[float], tested_per_trained: float) -> Interval | None:
    """Return the interval of the mean of a score over the folds of a cross-validation, repeated or not.

    Any two folds train on mostly the same patients, so their scores rise and fall together, and `mean_interval`, which
    takes them for independent, is too narrow; with more repeats it would even shrink to nothing. Here the variance of
    the mean keeps a part that no number of folds removes.

    Args:
        values: one a fold.
        tested_per_trained: patients of a fold who are tested, for each who is trained on.
    Returns: low and high, or None with fewer than two folds.
    Source: Nadeau and Bengio 2003, the corrected resampled t-test; Bouckaert and Frank 2004,
        doi:10.1007/978-3-540-24775-3_3, for repeated folds.
    """
    plain = mean_interval(values)
    if plain is None:
        return None
    middle = (plain[0] + plain[1]) / 2
    half = (plain[1] - middle) * sqrt(1 + len(values) * tested_per_trained)
    return middle - half, middle + half


def bootstrap_interval(
    labels: ArrayLike, scores: ArrayLike, score_of: Score, *, seed: int, resamples: int = RESAMPLES
) -> Interval | None:
    """Return the percentile interval of a score over resampled patients, each class resampled to its own size.

    Because classes keep their sizes, the interval says nothing of how common they are. It is too narrow for a handful
    of patients; for an area under the curve `curves.auc_interval` is the better one.

    Args:
        labels: [cases], the classes.
        scores: float [cases], finite.
        score_of: the score of labels [cases] and scores [..., cases]; `rowwise` makes one of a function of one row.
        seed: of the resampling; the same one gives the same interval.
        resamples: how many.
    Returns: low and high; None with fewer than two of a class, where the score of a resample is not defined (NaN), and
        where the interval would have no width: ten cases in perfect order cannot claim certainty.
    """
    truth, score = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    if truth.shape != score.shape or truth.ndim != 1:
        raise ValueError("labels and scores must be one a case")
    groups = [score[truth == label] for label in np.unique(truth)]
    if not groups or min(map(len, groups)) < 2:
        return None
    drawn = _resampled(np.sort(truth), groups, score_of, np.random.default_rng(seed), resamples)
    if np.isnan(drawn).any():
        return None
    low, high = np.percentile(drawn, [2.5, 97.5])
    return (float(low), float(high)) if low < high else None


def rowwise(score_of: Callable[[Vector, Vector], float | None]) -> Score:
    """Make a score of many rows from one of a single row, such as `curves.auc`; None becomes NaN."""

    def of_rows(labels: Vector, scores: Vector) -> Vector:
        rows = scores.reshape(-1, scores.shape[-1])
        values = [score_of(labels, row) for row in rows]
        return np.array([np.nan if v is None else v for v in values]).reshape(scores.shape[:-1])

    return of_rows


def _resampled(
    labels: Vector, groups: Sequence[Vector], score_of: Score, rng: np.random.Generator, resamples: int
) -> Vector:
    """Return the score of each resample: float [resamples]; `labels` are in the groups' order."""
    at_once = max(1, _HELD // len(labels))
    values = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        chosen = [group[rng.integers(0, len(group), (rows, len(group)))] for group in groups]
        values.append(np.asarray(score_of(labels, np.concatenate(chosen, axis=1)), np.float64))
    return np.concatenate(values)
