"""What a model is worth if it may keep silent: the error among the cases that it is most sure of.

Sources: El-Yaniv and Wiener 2010, JMLR 11 (risk and coverage); Geifman 2019, arXiv:1805.08206 (area under the
risk-coverage curve).
"""

from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.learning.metrics import THRESHOLD
from core.learning.small_cells import FLOOR

Vector = NDArray[np.float64]

# A coarse curve's points.
STEPS = 10


def risk_coverage(losses: ArrayLike, confidences: ArrayLike) -> tuple[Vector, Vector]:
    """Return the curve: the mean loss of the most confident cases, for one case, two, and so on to all.

    Cases of equal confidence come in no order: the curve is the mean over all of their orders.

    Args:
        losses: float [cases], such as 1 for a wrong answer and 0 for a right one.
        confidences: float [cases], higher for surer.
    Returns: coverages, 1 / cases to 1, and risks, float [cases] each.
    """
    loss, confidence = np.asarray(losses, np.float64), np.asarray(confidences, np.float64)
    if loss.ndim != 1 or loss.shape != confidence.shape:
        raise ValueError("losses and confidences must be one a case")
    _, group = np.unique(-confidence, return_inverse=True)
    sizes = np.bincount(group)
    # In the order of confidence, each case stands for the mean of those that are as sure.
    ordered = np.repeat(np.bincount(group, loss) / sizes, sizes) if len(loss) else loss
    taken = np.arange(1, len(loss) + 1)
    return taken / max(1, len(loss)), np.cumsum(ordered) / taken


def aurc(losses: ArrayLike, confidences: ArrayLike) -> float | None:
    """Return the area under the risk-coverage curve: the mean of its risks, lower for better, None without cases.

    Args: as of `risk_coverage`.
    Source: Geifman 2019.
    """
    _, risks = risk_coverage(losses, confidences)
    return float(risks.mean()) if len(risks) else None


def errors_and_confidences(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD
) -> tuple[Vector, Vector]:
    """Return, of each case, 1 for a wrong answer or 0, and how sure the model was of the answer it gave.

    Sureness is the distance from the threshold as a share of what its side allows, so that 0 and 1 are equally sure
    wherever the threshold lies.

    Args:
        labels: [cases], 0 or 1.
        probabilities: float [cases], 0 to 1.
        threshold: above 0 and below 1; from it on the answer is positive.
    Returns: float [cases] each, 0 to 1.
    """
    truth, chance = np.asarray(labels, np.float64) > 0.5, np.asarray(probabilities, np.float64)
    yes = chance >= threshold
    sure = np.where(yes, (chance - threshold) / (1 - threshold), (threshold - chance) / threshold)
    return (yes != truth).astype(np.float64), sure


def selective_accuracy(
    labels: ArrayLike, probabilities: ArrayLike, coverage: float, threshold: float = THRESHOLD
) -> float | None:
    """Return the accuracy among the surest share of cases.

    Args:
        labels, probabilities, threshold: as of `errors_and_confidences`.
        coverage: above 0, at most 1; rounded up to whole cases.
    Returns: 0 to 1, where ties at the edge count by their mean; None without cases.
    """
    if not 0 < coverage <= 1:
        raise ValueError("coverage must be above 0 and at most 1")
    _, risks = risk_coverage(*errors_and_confidences(labels, probabilities, threshold))
    if not len(risks):
        return None
    # A share such as 0.07 of 100 is seven cases, whatever rounding makes of it.
    return 1 - float(risks[ceil(round(coverage * len(risks), 9)) - 1])


def binned_risks(
    positive: ArrayLike, negative: ArrayLike, probabilities: ArrayLike, threshold: float
) -> tuple[tuple[float, float], ...]:
    """Return the risk-coverage curve of histograms, so coarse that no step rests on fewer than FLOOR cases.

    Args:
        positive, negative: cases of each class by score bin, whole numbers [bins].
        probabilities: of each bin's cases, float [bins].
        threshold: as of `errors_and_confidences`.
    Returns: coverage and risk, at ten coverages at most, the last one 1; none with fewer than FLOOR cases.
    """
    counts = [np.asarray(counted, np.int64) for counted in (positive, negative)]
    labels = np.repeat([1, 0], [int(counted.sum()) for counted in counts])
    chance = np.concatenate([np.repeat(np.asarray(probabilities, np.float64), counted) for counted in counts])
    coverages, risks = risk_coverage(*errors_and_confidences(labels, chance, threshold))
    steps = min(STEPS, len(labels) // FLOOR)
    ends = [len(labels) * step // steps - 1 for step in range(1, steps + 1)]
    return tuple((float(coverages[end]), float(risks[end])) for end in ends)
