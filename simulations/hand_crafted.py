"""Features that a radiologist could name, and a linear model on them: what a network must be better than.

Volumes, brightness by region, enhancement, and the texture of the tumor's core. Where the regions are from decides what
the model is worth: experts' masks are an upper end that no clinic has, a trained network's tumor map is what it has.
The texture is a few lines here: pip found no PyRadiomics to install, and scikit-image's co-occurrence matrix knows
neither three dimensions nor a region.

Sources: Haralick 1973, doi:10.1109/TSMC.1973.4309314 (contrast of neighboring pixels); Zwanenburg 2020,
doi:10.1148/radiol.2020191145 (first-order features, bins of a fixed width); Hoerl and Kennard 1970 (L2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from core.errors import DataError
from core.imaging.volume import SEQUENCES
from core.learning.cases import TrainingCase
from core.learning.metrics import REGIONS
from core.learning.prediction import BATCH, predict_scores

Image = NDArray[np.float32]
Vector = NDArray[np.float64]

# A smaller share of a voxel is nothing: a network is never quite sure of that.
LEAST_SHARE = 0.05
# Of the histogram that entropy is of: bins of a quarter of a standard deviation.
BIN_RANGE, BINS = (-6.0, 10.0), 64
# Strengths of the penalty to choose from (scikit-learn's C, its inverse), and in how many parts of the training cases.
STRENGTHS = tuple(float(strength) for strength in np.logspace(-4, 1, 6))
FOLDS = 5


@dataclass(frozen=True)
class HandCrafted:
    """A linear model on hand-crafted features.

    Attributes:
        names: of the features.
        center, scale: float64 [features], mean and standard deviation among the training cases.
        weights: float64 [features], of the scaled features.
        intercept: beside them.
        strength: the penalty that was chosen (C).
    """

    names: tuple[str, ...]
    center: Vector
    scale: Vector
    weights: Vector
    intercept: float
    strength: float

    def methylation(self, images: Sequence[Image], maps: Sequence[Image]) -> list[float]:
        """Return the methylation probability of prepared images, with a tumor map each, as `features_of` takes them."""
        rows = [list(features_of(image, found).values()) for image, found in zip(images, maps, strict=True)]
        return [float(expit((row - self.center) / self.scale @ self.weights + self.intercept)) for row in rows]


def train_hand_crafted(cases: Sequence[TrainingCase], maps: Sequence[Image], seed: int) -> HandCrafted:
    """Fit the linear model, its penalty chosen by cross-validation within these cases.

    Args:
        cases: a cohort's training side; those without a methylation label are left out.
        maps: where each case's tumor is, float32 [3, n, n, n] each.
        seed: of the inner folds.
    Raises: DataError: fewer than two cases of either class.
    """
    labeled = [(case, found) for case, found in zip(cases, maps, strict=True) if case.mgmt is not None]
    labels = [int(case.mgmt or 0) for case, _ in labeled]
    smallest = min(labels.count(0), labels.count(1))
    if smallest < 2:
        raise DataError(
            f"{labels.count(1)} methylated and {labels.count(0)} unmethylated cases cannot train a linear model",
            fix="at least two of either are needed",
        )
    names, table = feature_table([case for case, _ in labeled], [found for _, found in labeled])
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000)),
        {"logisticregression__C": STRENGTHS},
        scoring="neg_log_loss",
        cv=StratifiedKFold(min(FOLDS, smallest), shuffle=True, random_state=seed % 2**32),
    )
    search.fit(table, labels)
    scaler, linear = (step for _, step in search.best_estimator_.steps)
    return HandCrafted(
        names, scaler.mean_, scaler.scale_, linear.coef_[0], float(linear.intercept_[0]), float(linear.C)
    )


def true_maps(cases: Sequence[TrainingCase]) -> list[Image]:
    """Return where experts say that each case's tumor is.

    Raises: DataError: a case has no mask.
    """
    found = [case.tumor_map.numpy() for case in cases if case.tumor_map is not None]
    if len(found) < len(cases):
        raise DataError(
            f"{len(cases) - len(found)} of {len(cases)} cases have no tumor mask", fix="use a network's tumor maps"
        )
    return found


def found_maps(model: nn.Module, images: Sequence[Image]) -> list[Image]:
    """Return where a trained network says that each prepared image's tumor is."""
    batches = [torch.from_numpy(np.stack(images[start : start + BATCH])) for start in range(0, len(images), BATCH)]
    return [one for batch in batches for one in predict_scores(model, batch).tumor_map]


def feature_table(cases: Sequence[TrainingCase], maps: Sequence[Image]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the features' names and their values, float64 [cases, features].

    Args:
        cases: at least one.
        maps: where each one's tumor is, float32 [3, n, n, n].
    """
    found = [features_of(case.image.numpy(), region) for case, region in zip(cases, maps, strict=True)]
    return tuple(found[0]), np.array([list(features.values()) for features in found], np.float64)


def features_of(image: Image, tumor_map: Image) -> dict[str, float]:
    """Return one patient's features.

    Brightness is in standard deviations of the brain's, 0 being its mean: what a region that is not there is given.

    Args:
        image: float32 [4, N, N, N], as prepared.
        tumor_map: float32 [3, n, n, n], shares of necrosis, edema, enhancing tumor; n divides N.
    """
    brain = (image != 0).any(0)
    shares = _at_voxels(tumor_map, image.shape[1]) * brain
    by_region = dict(zip(REGIONS, shares, strict=True))
    core = np.minimum(by_region["necrosis"] + by_region["enhancing"], 1)
    sizes = {region: float(share.sum()) / max(1, int(brain.sum())) for region, share in by_region.items()}
    features = {f"{region} volume": size for region, size in sizes.items()}
    features["necrosis in core"] = _ratio(sizes["necrosis"], sizes["necrosis"] + sizes["enhancing"])
    features["edema in tumor"] = _ratio(sizes["edema"], sum(sizes.values()))
    for region, share in by_region.items():
        for sequence, values in zip(SEQUENCES, image, strict=True):
            features[f"{sequence} in {region}"] = _mean(values, share)
    features["enhancement over edema"] = _enhancement(features, "enhancing") - _enhancement(features, "edema")
    for sequence, values in zip(SEQUENCES, image, strict=True):
        features[f"{sequence} entropy of core"] = entropy(values, core)
        features[f"{sequence} kurtosis of core"] = kurtosis(values, core)
        features[f"{sequence} contrast of core"] = contrast(values, core)
    return features


def entropy(values: Image, share: Image) -> float:
    """Return the entropy of a region's brightness, in bits, 0 without a region: [N, N, N] each."""
    counts, _ = np.histogram(np.clip(values, *BIN_RANGE), BINS, BIN_RANGE, weights=share)
    parts = counts[counts > 0] / max(float(counts.sum()), 1e-12)
    return float(-(parts * np.log2(parts)).sum()) + 0.0


def kurtosis(values: Image, share: Image) -> float:
    """Return the excess kurtosis of a region's brightness, 0 for a normal one and where nothing varies."""
    away = values - _mean(values, share)
    variance = _mean(away**2, share)
    return _mean(away**4, share) / variance**2 - 3 if variance > 1e-9 else 0.0


def contrast(values: Image, share: Image) -> float:
    """Return the mean squared difference of neighbors within a region along the three axes, 0 without any.

    Source: Haralick 1973: the contrast of a co-occurrence matrix, without the rounding to gray levels.
    """
    squares = pairs = 0.0
    for axis in range(3):
        bright, inside = np.moveaxis(values, axis, 0), np.moveaxis(share, axis, 0)
        both = inside[1:] * inside[:-1]
        squares += float((both * np.diff(bright, axis=0) ** 2).sum())
        pairs += float(both.sum())
    return _ratio(squares, pairs)


def _at_voxels(tumor_map: Image, size: int) -> Image:
    """Return the shares at the image's own voxels: float32 [3, N, N, N]."""
    times = size // tumor_map.shape[1]
    kept: Image = np.where(tumor_map >= LEAST_SHARE, tumor_map, 0)
    return kept.repeat(times, 1).repeat(times, 2).repeat(times, 3)


def _enhancement(features: dict[str, float], region: str) -> float:
    return features[f"T1wCE in {region}"] - features[f"T1w in {region}"]


def _mean(values: Image, share: Image) -> float:
    return _ratio(float((values * share).sum(dtype=np.float64)), float(share.sum(dtype=np.float64)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
