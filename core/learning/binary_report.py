"""Every score of one yes-or-no task on single patients, each with its interval, as a paper's table asks for them.

Where only added counts are at hand, `core.learning.metrics` makes its scores; these need each patient's probability and
so are for one hospital's own patients, or for public and synthetic ones.

Sources: Davis and Goadrich 2006, doi:10.1145/1143844.1143874, and Boyd 2013, ECML (average precision,
without interpolation); Brier 1950; Hand 2021, doi:10.1007/s10994-021-05964-1 (F1 as a proportion).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.learning.calibration_error import (
    BINS,
    Binning,
    calibration_error,
    calibration_error_interval,
    debiased_calibration_error,
    equal_mass,
    equal_width,
)
from core.learning.curves import auc, auc_interval
from core.learning.intervals import Interval, bootstrap_interval, wilson_interval

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval; None where the cases cannot say."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class BinaryReport:
    """Scores of one yes-or-no task; `dataclasses.asdict` of it is JSON.

    Attributes:
        cases, positives: how many had a label, and how many of them the label 1.
        threshold: from which probability on a case is called positive.
        bins: of the calibration errors.
        auc: its interval is DeLong's.
        average_precision, brier: their intervals are of stratified resamples, and may leave out a score of a few cases.
        accuracy, precision, recall, specificity, f1: at the threshold, with Wilson's intervals.
        ece_equal_width, ece_equal_mass: expected calibration errors as counted, which chance makes too large; where an
            interval begins at 0, no error is shown.
        ece_equal_width_debiased, ece_equal_mass_debiased: less what chance is expected to have added.
    """

    cases: int
    positives: int
    threshold: float
    bins: int
    auc: Estimate
    average_precision: Estimate
    brier: Estimate
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    ece_equal_width: Estimate
    ece_equal_width_debiased: float | None
    ece_equal_mass: Estimate
    ece_equal_mass_debiased: float | None


def report_of(labels: ArrayLike, probabilities: ArrayLike, threshold: float, *, seed: int = 0) -> BinaryReport:
    """Score a model's probabilities.

    Args:
        labels: [cases], 0 or 1, NaN where unknown: such cases are left out.
        probabilities: float [cases], 0 to 1, in the same order.
        threshold: from it on a case is called positive.
        seed: of the resampling; the same one gives the same report.
    Raises: ValueError for labels or probabilities that are none.
    """
    truth, chance = _known(labels, probabilities)
    yes, positive = chance >= threshold, truth > 0.5
    hits, alarms = int((yes & positive).sum()), int((yes & ~positive).sum())
    misses, rests = int((~yes & positive).sum()), int((~yes & ~positive).sum())
    both = 0 < positive.sum() < len(truth)
    return BinaryReport(
        cases=len(truth),
        positives=hits + misses,
        threshold=float(threshold),
        bins=BINS,
        auc=_estimate(auc(truth, chance), auc_interval(truth, chance)),
        average_precision=_estimate(
            float(average_precision(truth, chance)) if both else None,
            bootstrap_interval(truth, chance, average_precision, seed=seed) if both else None,
        ),
        brier=_estimate(
            float(brier(truth, chance)) if len(truth) else None, bootstrap_interval(truth, chance, brier, seed=seed)
        ),
        accuracy=_proportion(hits + rests, len(truth)),
        precision=_proportion(hits, hits + alarms),
        recall=_proportion(hits, hits + misses),
        specificity=_proportion(rests, rests + alarms),
        f1=_f1(hits, alarms + misses),
        ece_equal_width=_calibration(truth, chance, equal_width, seed),
        ece_equal_width_debiased=debiased_calibration_error(truth, chance, equal_width) if len(truth) else None,
        ece_equal_mass=_calibration(truth, chance, equal_mass, seed),
        ece_equal_mass_debiased=debiased_calibration_error(truth, chance, equal_mass) if len(truth) else None,
    )


def average_precision(labels: Vector, scores: Vector) -> Vector:
    """Return the mean over positives of the precision at their score: the area under the precision-recall steps.

    Args:
        labels: [cases], 0 or 1, at least one of them 1.
        scores: float [..., cases], higher for positive; equal scores are called positive together.
    Returns: float [...].
    """
    cases = scores.shape[-1]
    order = np.argsort(-scores, axis=-1, kind="stable")
    ranked, positive = np.take_along_axis(scores, order, axis=-1), np.asarray(labels, np.float64)[order]
    ends = np.ones(ranked.shape, bool)
    ends[..., :-1] = ranked[..., :-1] > ranked[..., 1:]
    # For each case the last one of the same score.
    last = np.where(ends, np.arange(cases), cases)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    precision = np.take_along_axis(positive.cumsum(-1), last, axis=-1) / (last + 1)
    return np.asarray((positive * precision).sum(-1) / positive.sum(-1))


def brier(labels: Vector, probabilities: Vector) -> Vector:
    """Return the mean squared distance of probabilities, float [..., cases], from labels [cases]: float [...]."""
    return np.asarray(((probabilities - labels) ** 2).mean(-1))


def _known(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Vector, Vector]:
    truth, chance = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    if truth.ndim != 1 or truth.shape != chance.shape:
        raise ValueError("labels and probabilities must be one a case")
    known = ~np.isnan(truth)
    truth, chance = truth[known], chance[known]
    if not np.isin(truth, (0, 1)).all() or not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError("labels must be 0, 1 or NaN, and probabilities 0 to 1")
    return truth, chance


def _estimate(value: float | None, interval: Interval | None) -> Estimate:
    return Estimate(value, *(interval or (None, None)))


def _proportion(part: int, whole: int) -> Estimate:
    return _estimate(part / whole if whole else None, wilson_interval(part, whole))


def _f1(hits: int, errors: int) -> Estimate:
    """Return F1: 2 F / (1 + F) rises with F, the share of hits among hits and errors, which is a proportion."""
    share = _proportion(hits, hits + errors)
    return Estimate(*(None if f is None else 2 * f / (1 + f) for f in (share.value, share.low, share.high)))


def _calibration(labels: Vector, probabilities: Vector, binning: Binning, seed: int) -> Estimate:
    if not len(labels):
        return Estimate(None, None, None)

    value = float(calibration_error(labels, probabilities, binning))
    return _estimate(value, calibration_error_interval(labels, probabilities, binning, seed=seed))
