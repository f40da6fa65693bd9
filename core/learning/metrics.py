"""Counts that add across hospitals, and the scores made from them.

A hospital sends sums and histograms; with only a few validation patients a histogram comes close to their single
scores, though never to who they are. An area under the curve from histograms is exact but
for pairs that share a bin, which count one half: `Binary.auc_error` bounds what that can amount to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.messages import Counts

BINS = 256
THRESHOLD = 0.5
TASKS = ("mgmt", "tumor")
# The tumor map's channels, in their order, with the label that BraTS's masks give each.
REGIONS = {"necrosis": 1, "edema": 2, "enhancing": 4}

Vector = NDArray[np.float64]

# Of each histogram bin, the score in its middle.
MIDDLES: Vector = (np.arange(BINS) + 0.5) / BINS


@dataclass(frozen=True)
class Binary:
    """Scores of one yes-or-no task; None where the cases cannot say.

    Attributes:
        cases: how many had a label.
        auc: area under the receiver operating characteristic, None without both classes.
        auc_error: how far the exact area can be from `auc`, because scores were counted in bins.
        accuracy, precision, recall, specificity, f1: at a probability of one half.
        brier: mean squared distance of the probability from the label.
    """

    cases: int
    auc: float | None
    auc_error: float | None
    accuracy: float | None
    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None
    brier: float | None


@dataclass(frozen=True)
class Scores:
    """What counts amount to.

    Attributes:
        loss: mean over cases, None without cases.
        mgmt, tumor: the two yes-or-no tasks.
        dice: overlap of tumor map and masks for each region, over all voxels of all cases; None without such voxels.
    """

    loss: float | None
    mgmt: Binary
    tumor: Binary
    dice: tuple[float | None, ...]


def counts_of(
    probabilities: Mapping[str, ArrayLike],
    labels: Mapping[str, ArrayLike],
    overlap: Sequence[Sequence[float]],
    losses: ArrayLike,
) -> Counts:
    """Count a batch of predictions.

    Args:
        probabilities: for `mgmt` and `tumor`, float [cases], 0 to 1.
        labels: for each, float [cases], 0 or 1, NaN where unknown.
        overlap: as `overlap_of` returns: shared, predicted and reference voxels, each a number a region.
        losses: float [cases].
    Returns: sums and histograms, which `add` adds.
    """
    loss = np.asarray(losses, np.float64)
    counts: Counts = {"cases": float(len(loss)), "loss": float(loss.sum())}
    for task in TASKS:
        counts |= task_counts(task, probabilities[task], labels[task])
    for name, values in zip(("shared", "predicted", "reference"), overlap, strict=True):
        counts[f"map_{name}"] = [float(value) for value in values]
    return counts


def task_counts(task: str, probability: ArrayLike, label: ArrayLike) -> Counts:
    """Count one task's predictions, as `counts_of` does for both; cases whose label is NaN are left out."""
    score, truth = np.asarray(probability, np.float64), np.asarray(label, np.float64)
    known = ~np.isnan(truth)
    score, truth = score[known], truth[known]
    yes, positive = score >= THRESHOLD, truth > THRESHOLD
    bins = bin_of(score)
    counted: Counts = {
        "true_positives": float((yes & positive).sum()),
        "false_positives": float((yes & ~positive).sum()),
        "true_negatives": float((~yes & ~positive).sum()),
        "false_negatives": float((~yes & positive).sum()),
        "squared_errors": float(((score - truth) ** 2).sum()),
        "positive_scores": np.bincount(bins[positive], minlength=BINS).astype(float).tolist(),
        "negative_scores": np.bincount(bins[~positive], minlength=BINS).astype(float).tolist(),
    }
    return {f"{task}_{name}": value for name, value in counted.items()}


def bin_of(scores: ArrayLike) -> NDArray[np.int64]:
    """Return the histogram bin of each score, 0 to 1: an array of the scores' shape."""
    return np.clip((np.asarray(scores, np.float64) * BINS).astype(np.int64), 0, BINS - 1)


def histograms_of(counts: Counts, task: str) -> tuple[list[float], list[float]]:
    """Return how many positive and how many negative cases of a task fell into each score bin."""
    empty = [0.0] * BINS
    positive, negative = (_list(counts, f"{task}_{sign}_scores") or empty for sign in ("positive", "negative"))
    return positive, negative


def add(first: Counts, second: Counts) -> Counts:
    """Add two counts name by name; an empty one is the neutral element."""
    total = dict(first)
    for name, value in second.items():
        before = total.get(name)
        total[name] = value if before is None else _sum(before, value)
    return total


def _sum(first: float | list[float], second: float | list[float]) -> float | list[float]:
    if isinstance(first, list) and isinstance(second, list):
        return [a + b for a, b in zip(first, second, strict=True)]
    if isinstance(first, list) or isinstance(second, list):
        raise TypeError("a number and a histogram do not add")
    return first + second


def scores_of(counts: Counts) -> Scores:
    """Make scores of counts, wherever their cases came from."""
    shared, predicted, reference = (_list(counts, f"map_{name}") for name in ("shared", "predicted", "reference"))
    dice = tuple(_ratio(2 * both, one + other) for both, one, other in zip(shared, predicted, reference, strict=True))
    return Scores(
        _ratio(_number(counts, "loss"), _number(counts, "cases")),
        _binary(counts, "mgmt"),
        _binary(counts, "tumor"),
        dice,
    )


def _binary(counts: Counts, task: str) -> Binary:
    def of(name: str) -> float:
        return _number(counts, f"{task}_{name}")

    hits, alarms, rests, misses = (
        of(name) for name in ("true_positives", "false_positives", "true_negatives", "false_negatives")
    )
    cases = hits + alarms + rests + misses
    auc, auc_error = _binned_auc(*(np.array(histogram) for histogram in histograms_of(counts, task)))
    return Binary(
        cases=int(cases),
        auc=auc,
        auc_error=auc_error,
        accuracy=_ratio(hits + rests, cases),
        precision=_ratio(hits, hits + alarms),
        recall=_ratio(hits, hits + misses),
        specificity=_ratio(rests, rests + alarms),
        f1=_ratio(2 * hits, 2 * hits + alarms + misses),
        brier=_ratio(of("squared_errors"), cases),
    )


def _binned_auc(positive: Vector, negative: Vector) -> tuple[float | None, float | None]:
    pairs = float(positive.sum() * negative.sum())
    if not pairs:
        return None, None
    below = np.cumsum(negative) - negative
    tied = float((positive * negative).sum())
    return (float((positive * below).sum()) + tied / 2) / pairs, tied / 2 / pairs


def _number(counts: Counts, name: str) -> float:
    value = counts.get(name, 0.0)
    if isinstance(value, list):
        raise TypeError(f"{name} is a histogram, not a number")
    return value


def _list(counts: Counts, name: str) -> list[float]:
    value = counts.get(name, [])
    if not isinstance(value, list):
        raise TypeError(f"{name} is a number, not a histogram")
    return value


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def overlap_of(predicted: ArrayLike, reference: ArrayLike) -> list[list[float]]:
    """Count shared, predicted and reference voxels of maps, bool [cases, regions, ...]: three lists of one a region."""
    ours, theirs = np.asarray(predicted, bool), np.asarray(reference, bool)
    axes = (0, *range(2, ours.ndim))
    return [counted.sum(axis=axes).astype(float).tolist() for counted in (ours & theirs, ours, theirs)]
