"""Whether one model is better than another on the same patients, and whether one way to train is better than another.

The two questions differ. Patients are a sample of those to come: DeLong's test says whether two given models would
differ on more of them. Trainings are a sample too: `recipe_difference` asks whether the recipe would be better with
other seeds, on other patients.

Sources: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; Sun and Xu 2014, doi:10.1109/LSP.2014.2337313 (the
same variance from ranks, in n log n); Obuchowski and Rockette 1995, doi:10.1080/03610919508813243 (readers and cases as
two samples: here the readers are trainings); Holm 1979, jstor.org/stable/4615733.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from core.learning.curves import Z, placements
from core.learning.intervals import Interval

# A standard error below this is rounding: areas are of the order of one.
_NOTHING = 1e-12


@dataclass(frozen=True)
class AucDifference:
    """How two models' areas under the curve differ on the same patients.

    Attributes:
        first, second: the areas.
        difference: first less second.
        standard_error: of the difference, pairing taken into account.
        z, p: the difference in standard errors, and its two-sided p; None where the patients show no variance (both
            models perfect, or ranking alike), since that is no proof of equality.
        interval: 95 %, of the difference, within -1 and 1; None as z is.
    """

    first: float
    second: float
    difference: float
    standard_error: float
    z: float | None
    p: float | None
    interval: Interval | None


@dataclass(frozen=True)
class RecipeDifference:
    """How two recipes' areas under the curve differ, over the seeds of their trainings and over patients.

    Attributes:
        first, second: mean areas over seeds.
        difference: first less second.
        by_seed: the difference of each seed.
        standard_error: of the difference, seeds and patients taken together.
        interval: 95 %, of the difference, within -1 and 1; None where neither shows any variance.
    """

    first: float
    second: float
    difference: float
    by_seed: tuple[float, ...]
    standard_error: float
    interval: Interval | None


def delong_test(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> AucDifference | None:
    """Compare two models' areas on the same patients.

    Each patient's placement under one model less that under the other is one paired observation: the variance of their
    mean is DeLong's, covariance included.

    Args:
        labels: [cases], 0 or 1.
        first, second: each model's scores, float [cases], in the labels' order.
    Returns: the comparison, or None with fewer than two of either class.
    Source: DeLong 1988; Sun and Xu 2014.
    """
    truth = np.asarray(labels, np.float64)
    if not truth.shape == np.shape(first) == np.shape(second):
        raise ValueError("labels and both models' scores must be of the same patients")
    if min((truth > 0.5).sum(), (truth <= 0.5).sum()) < 2:
        return None
    one, other = placements(truth, first), placements(truth, second)
    apart = [ours - theirs for ours, theirs in zip(one, other, strict=True)]
    difference = float(apart[0].mean())
    error = sqrt(sum(float(each.var(ddof=1)) / len(each) for each in apart))
    areas = float(one[0].mean()), float(other[0].mean())
    if error < _NOTHING:
        return AucDifference(*areas, difference, 0.0, None, None, None)
    z = difference / error
    interval = max(-1.0, difference - Z * error), min(1.0, difference + Z * error)
    return AucDifference(*areas, difference, error, z, erfc(abs(z) / sqrt(2)), interval)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values of several comparisons, each raised so that one below 5 % is seldom among them by chance alone.

    Args:
        p_values: one a comparison, in any order; the answer is in the same.
    Source: Holm 1979.
    """
    raised, highest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        raised[place] = highest
    return raised


def recipe_difference(
    labels: ArrayLike, first: Sequence[ArrayLike], second: Sequence[ArrayLike]
) -> RecipeDifference | None:
    """Compare two recipes by models trained with the same seeds and judged on the same patients.

    The variance is the sum of two: of the mean over seeds, from how the differences vary by seed, and DeLong's over
    patients, from each patient's placements averaged over seeds. What seeds and patients do together is in both, so the
    interval is rather too wide. Its degrees of freedom are Satterthwaite's, patients counting as endlessly many.

    Args:
        labels: [cases], 0 or 1.
        first, second: each recipe's scores, one model a seed, in the same order of seeds: [seeds] of float [cases].
    Returns: the comparison, or None with fewer than two of either class or fewer than two seeds.
    Source: Obuchowski and Rockette 1995; Satterthwaite 1946.
    """
    truth = np.asarray(labels, np.float64)
    if len(first) != len(second):
        raise ValueError("both recipes must have the same seeds")
    if min((truth > 0.5).sum(), (truth <= 0.5).sum(), len(first)) < 2:
        return None
    ours, theirs = ([placements(truth, scores) for scores in each] for each in (first, second))
    # By class: float [seeds, cases].
    apart = [np.array([one[side] - other[side] for one, other in zip(ours, theirs, strict=True)]) for side in (0, 1)]
    by_seed = apart[0].mean(axis=1)
    seeds = float(by_seed.var(ddof=1)) / len(by_seed)
    patients = sum(float(each.mean(axis=0).var(ddof=1)) / each.shape[1] for each in apart)
    areas = [float(np.mean([positives.mean() for positives, _ in each])) for each in (ours, theirs)]
    told = areas[0], areas[1], float(by_seed.mean()), tuple(by_seed.tolist())
    error = sqrt(seeds + patients)
    if error < _NOTHING:
        return RecipeDifference(*told, 0.0, None)
    # Where seeds hardly differ, the degrees are as good as endless.
    degrees = error**4 / (seeds**2 / (len(by_seed) - 1)) if seeds > _NOTHING**2 else np.inf
    half = float(student.ppf(0.975, degrees)) * error
    return RecipeDifference(*told, error, (max(-1.0, told[2] - half), min(1.0, told[2] + half)))


def holm_of(differences: Sequence[AucDifference | None]) -> list[float | None]:
    """Return Holm's p of several comparisons, None where there is none to compare.

    Models that rank all patients alike have no p of their own: nothing speaks against their being equal.
    """
    there = [one for one in differences if one is not None]
    raised = iter(holm([1.0 if one.p is None else one.p for one in there]))
    return [None if one is None else next(raised) for one in differences]
