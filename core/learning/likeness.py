"""Whether a prepared image is like those that a model version was validated on, without a network and without a label.

Fifteen statistics of an image are counted on the validation cases, as histograms with agreed bins, which add across
hospitals. Of the pooled ones a version keeps, for each statistic, the limits within which a new case's value is
expected (a prediction interval of Student's t). A case outside of any of them is unlike the training data: what the
network says of it would be a guess. The statistics were chosen by what they find and how seldom they are wrong.
"""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import t as student

from core.config import Section
from core.messages import Counts

Vector = NDArray[np.float64]

# An image's channels, in their order.
SEQUENCES = ("T1w", "T1wCE", "T2w", "FLAIR")
PREFIX = "likeness_"
BINS = 64
# Of all statistics together: so seldom may a case that is like the others be called unlike them.
LEVEL = 0.001
PAIRS = tuple(combinations(range(len(SEQUENCES)), 2))
# A correlation of 1 has no finite Fisher z.
HIGHEST = 0.9999
# Of each kind of statistic: the range of its histograms, and what to say of a case below and above its limits.
KINDS = {
    "similarity": ((-3.0, 5.0), "{} look less alike than in", "{} look more alike than in"),
    "sharpness": ((-6.0, 2.0), "{} is more blurred than in", "{} is noisier or sharper than in"),
    "outwards": ((-2.0, 2.0), "{} is darker at the brain's rim than in", "{} is brighter at the brain's rim than in"),
    "share": ((0.0, 1.0), "{} fills less of the grid than in", "{} fills more of the grid than in"),
}  # fmt: skip
# Each statistic's name, with its kind and what it is of.
STATISTICS = {
    **{
        f"similarity_{SEQUENCES[one]}_{SEQUENCES[other]}": ("similarity", f"{SEQUENCES[one]} and {SEQUENCES[other]}")
        for one, other in PAIRS
    },
    **{f"sharpness_{sequence}": ("sharpness", sequence) for sequence in SEQUENCES},
    **{f"outwards_{sequence}": ("outwards", sequence) for sequence in SEQUENCES},
    "share": ("share", "the brain"),
}


class Likeness(Section):
    """Within which limits the statistics of a case like the validation cases lie."""

    cases: int = Field(ge=0, description="validation cases that the limits were fitted to")
    limits: dict[str, tuple[float, float]] = Field(description="by statistic; none with fewer than two cases")


def statistics_of(image: NDArray[np.float32]) -> dict[str, float]:
    """Return the statistics of one prepared image, each within the range of its histogram.

    Args:
        image: float32 [4, N, N, N], as prepared: 0 outside of the brain.
    """
    brain = (image != 0).any(0)
    if not brain.any():
        return {name: KINDS[kind][0][0] for name, (kind, _) in STATISTICS.items()}
    inside = image[:, brain]
    center, spread = inside.mean(1, keepdims=True), inside.std(1, keepdims=True)
    spread[spread == 0] = 1
    scaled = (inside - center) / spread
    alike = _fisher(scaled @ scaled.T / scaled.shape[1])
    found = [
        *(alike[pair] for pair in PAIRS),
        *(_log_gradients(image, brain) - 2 * np.log(spread[:, 0])),
        *_fisher(scaled @ _distances(brain) / scaled.shape[1]),
        brain.mean(),
    ]
    ranges = [KINDS[kind][0] for kind, _ in STATISTICS.values()]
    return {name: float(np.clip(value, *range_)) for name, value, range_ in zip(STATISTICS, found, ranges, strict=True)}


def likeness_counts(images: Iterable[NDArray[np.float32]]) -> Counts:
    """Count the statistics of images, float32 [4, N, N, N] each: a histogram each, which adds across hospitals."""
    counts = {f"{PREFIX}{name}": np.zeros(BINS) for name in STATISTICS}
    for image in images:
        for name, value in statistics_of(image).items():
            low, high = KINDS[STATISTICS[name][0]][0]
            counts[f"{PREFIX}{name}"][min(int((value - low) / (high - low) * BINS), BINS - 1)] += 1
    return {name: histogram.tolist() for name, histogram in counts.items()}


def fit_likeness(counts: Counts) -> Likeness:
    """Fit the limits to pooled validation counts.

    A histogram knows a value only as well as its bins are wide: that much is added to the variance.
    """
    limits, cases = {}, 0
    for name, (kind, _) in STATISTICS.items():
        histogram = np.asarray(counts.get(f"{PREFIX}{name}", [0.0] * BINS), np.float64)
        (low, high), cases = KINDS[kind][0], int(histogram.sum())
        if cases < 2:
            continue
        width = (high - low) / BINS
        middles = low + width * (np.arange(BINS) + 0.5)
        mean = float(histogram @ middles) / cases
        variance = float(histogram @ (middles - mean) ** 2) / (cases - 1) + width**2 / 12
        reach = student.ppf(1 - LEVEL / len(STATISTICS) / 2, cases - 1) * np.sqrt(variance * (1 + 1 / cases))
        limits[name] = (mean - float(reach), mean + float(reach))
    return Likeness(cases=cases, limits=limits)


def unlike(likeness: Likeness, image: NDArray[np.float32], validated_on: str) -> tuple[str, ...]:
    """Say in plain sentences in what a prepared image is unlike the cases that the limits were fitted to.

    Args:
        likeness: as fitted.
        image: float32 [4, N, N, N].
        validated_on: whose cases they were, such as `validation patients`.
    Returns: nothing where it is like them, or where there were too few of them to tell.
    """
    found = statistics_of(image)
    reasons = []
    for name, (low, high) in likeness.limits.items():
        if low <= found[name] <= high:
            continue
        kind, what = STATISTICS[name]
        _, below, above = KINDS[kind]
        told = (below if found[name] < low else above).format(what)
        reasons.append(f"unlike the training data: {told} its {validated_on}")
    return tuple(reasons)


def _distances(brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far each voxel of the brain is from its middle, with mean 0 and standard deviation 1."""
    places = np.argwhere(brain).astype(np.float32)
    away = np.sqrt(np.square(places - places.mean(0)).sum(1))
    scaled: NDArray[np.float32] = (away - away.mean()) / (away.std() or 1)
    return scaled


def _log_gradients(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> Vector:
    """Return for each channel the logarithm of the mean squared difference of neighbors that both lie in the brain."""
    squares, pairs = np.zeros(len(image)), 0
    for axis in range(3):
        inside = np.moveaxis(brain, axis, 0)
        both = inside[1:] & inside[:-1]
        pairs += int(both.sum())
        for number, channel in enumerate(image):
            steps = np.diff(np.moveaxis(channel, axis, 0), axis=0) * both
            squares[number] += float(np.vdot(steps, steps))
    gradients: Vector = np.log(np.maximum(squares / max(pairs, 1), 1e-12))
    return gradients


def _fisher(correlation: NDArray[np.float32]) -> Vector:
    """Return the Fisher z of correlations, on which they scatter alike wherever they lie."""
    z: Vector = np.arctanh(np.clip(correlation.astype(np.float64), -HIGHEST, HIGHEST))
    return z
