"""Scores of tumor maps by lesion: which were found, how many were made up, and the overlap in each case.

`metrics.Scores.dice` adds up all voxels of all cases, where one large tumor outweighs many small ones; here each lesion
and each case count the same.

Sources: Dice 1945, doi:10.2307/1932409; Maier-Hein 2024, doi:10.1038/s41592-023-02151-z (Metrics Reloaded; objects are
matched by any overlap here, its least strict criterion).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from core.learning.metrics import overlap_of

# Voxels that share a face, an edge or a corner are of one lesion.
NEIGHBORS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of some cases' maps of one region; they add across cases and hospitals.

    Attributes:
        cases: how many maps.
        lesions: connected components of the reference.
        found: those of them that share a voxel with the prediction.
        predicted: connected components of the prediction.
        false_positives: those of them that share no voxel with the reference.
    """

    cases: int = 0
    lesions: int = 0
    found: int = 0
    predicted: int = 0
    false_positives: int = 0

    def __add__(self, other: "LesionCounts") -> "LesionCounts":
        return LesionCounts(
            self.cases + other.cases,
            self.lesions + other.lesions,
            self.found + other.found,
            self.predicted + other.predicted,
            self.false_positives + other.false_positives,
        )

    @property
    def sensitivity(self) -> float | None:
        """The share of lesions that were found, None without lesions."""
        return self.found / self.lesions if self.lesions else None

    @property
    def false_positives_a_case(self) -> float | None:
        """How many predicted lesions a case are none, None without cases."""
        return self.false_positives / self.cases if self.cases else None


@dataclass(frozen=True)
class RegionScores:
    """Scores of one region of the maps.

    Attributes:
        counts: its lesions in all cases.
        dice: of each case, 0 to 1, None where neither the prediction nor the reference has a voxel.
    """

    counts: LesionCounts
    dice: tuple[float | None, ...]

    @property
    def mean_dice(self) -> float | None:
        """The mean over cases that have one, None without such cases."""
        known = [value for value in self.dice if value is not None]
        return sum(known) / len(known) if known else None


def lesions_of(mask: ArrayLike, least: int = 1) -> tuple[NDArray[np.int32], int]:
    """Number the connected components of a mask.

    Args:
        mask: bool [x, y, z].
        least: voxels; smaller components are left out.
    Returns: int32 [x, y, z], 0 outside of components and their numbers from 1 on, and how many there are.
    """
    numbered, count = label(np.asarray(mask, bool), NEIGHBORS)
    kept = np.bincount(numbered.ravel(), minlength=count + 1) >= least
    kept[0] = False
    return np.where(kept, kept.cumsum(), 0).astype(np.int32)[numbered], int(kept.sum())


def count_lesions(predicted: ArrayLike, reference: ArrayLike, least: int = 1) -> LesionCounts:
    """Match one case's predicted components with those of its reference, by any shared voxel.

    Args:
        predicted, reference: bool [x, y, z].
        least: voxels; smaller components of either are left out, so that specks count neither way.
    """
    ours, made = lesions_of(predicted, least)
    theirs, lesions = lesions_of(reference, least)
    # A speck finds nothing; but a prediction that touches a reference's speck is not made up.
    touched, right = theirs[ours > 0], ours[np.asarray(reference, bool)]
    return LesionCounts(1, lesions, len(set(touched.tolist()) - {0}), made, made - len(set(right.tolist()) - {0}))


def region_scores(predicted: ArrayLike, reference: ArrayLike, least: int = 1) -> tuple[RegionScores, ...]:
    """Score the maps of some cases, region by region.

    Args:
        predicted, reference: bool [cases, regions, x, y, z], regions as in `metrics.REGIONS`.
        least: voxels; smaller components are no lesions. Dice counts all voxels.
    Returns: one for each region, in order.
    """
    ours, theirs = np.asarray(predicted, bool), np.asarray(reference, bool)
    if ours.ndim != 5 or ours.shape != theirs.shape:
        raise ValueError("maps must be [cases, regions, x, y, z], alike of prediction and reference")
    return tuple(
        RegionScores(
            sum((count_lesions(*maps, least) for maps in zip(mine, yours, strict=True)), LesionCounts()),
            tuple(dice(*maps) for maps in zip(mine, yours, strict=True)),
        )
        for mine, yours in zip(np.moveaxis(ours, 1, 0), np.moveaxis(theirs, 1, 0), strict=True)
    )


def dice(predicted: ArrayLike, reference: ArrayLike) -> float | None:
    """Return the overlap of two masks, bool [x, y, z]: 0 to 1, None where both are empty."""
    (shared,), (ours,), (theirs,) = overlap_of(
        np.asarray(predicted, bool)[None, None], np.asarray(reference, bool)[None, None]
    )
    return 2 * shared / (ours + theirs) if ours + theirs else None
