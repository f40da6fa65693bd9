"""Rigid co-registration of a patient's sequences, and the affine way to the atlas.

Everything here only finds transforms, on coarse copies; no voxel of a result is interpolated from them. The sums run on
one thread and the samples are drawn with a fixed seed, so that a transform has the same bits on any machine load.

Source: Mattes 2003, doi:10.1109/TMI.2003.809072 (mutual information); docs/decisions (levels and starts were measured).
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from core.imaging.atlas import atlas

SAMPLING_SEED = 1
# Of a step's length at each reversal. At the usual 0.5 the search froze millimeters short after a 30 degree motion.
RELAXATION = 0.65
# Percentiles of a copy's intensities beyond which they are clipped: a few hot voxels would take all histogram bins.
CLIP = (0.5, 99.5)


@dataclass(frozen=True)
class Level:
    """One stage of the search.

    Attributes:
        spacing: mm between the voxels of the copies.
        iterations: at most so many steps.
        step: mm the fastest voxel moves in the first step.
        smallest_step: mm below which the search ends.
        sampling: fraction of the fixed image's voxels that the metric looks at.
        bins: of each intensity in the joint histogram.
    """

    spacing: float
    iterations: int
    step: float
    smallest_step: float
    sampling: float = 1.0
    bins: int = 32


START = Level(spacing=8, iterations=25, step=6, smallest_step=0.3, sampling=0.3, bins=24)
RIGID = (
    Level(spacing=6, iterations=60, step=3, smallest_step=0.05),
    Level(spacing=3, iterations=60, step=1, smallest_step=0.002, sampling=0.1),
)
# How far the affine search may stretch a brain along any direction beyond its one scale; further, it has run away.
PLAUSIBLE = (0.75, 1.33)
SIMILARITY = Level(spacing=4, iterations=60, step=2, smallest_step=0.03)
AFFINE = Level(spacing=4, iterations=50, step=1, smallest_step=0.02)
# Starts: the head turned by -20, 0 or 20 degrees about each axis; only the most promising are searched from.
START_TURNS = tuple(itertools.product((0.0, -20.0, 20.0), repeat=3))
SEARCHED_STARTS = 3


@dataclass(frozen=True)
class Alignment:
    """How one image lies on another.

    Attributes:
        transform: maps points of the fixed image (mm, LPS) to points of the moving one.
        metric: negative mutual information in nats; 0 where the two share nothing.
        record: the levels and the transform's parameters, JSON only.
    """

    transform: sitk.Transform
    metric: float
    record: dict[str, Any]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let ITK add up in one order: with more threads the last bits of its sums depend on their number."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def shrunk(image: sitk.Image, spacing: float) -> sitk.Image:
    """Average whole voxels until they are about `spacing` mm, so that sampling so coarsely does not alias."""
    factors = [max(1, int(spacing / own + 0.25)) for own in image.GetSpacing()]
    factors = [min(factor, size) for factor, size in zip(factors, image.GetSize(), strict=True)]
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


@one_thread()
def working_copy(image: sitk.Image, spacing: float) -> sitk.Image:
    """Make a coarse isotropic copy in the image's own frame.

    Args:
        image: a 3D scalar image.
        spacing: mm between the copy's voxels.
    Returns: float32, anti-aliased, intensities clipped at their 0.5 and 99.5 %.
    """
    coarse = shrunk(sitk.Cast(image, sitk.sitkFloat32), spacing)
    own = np.array(coarse.GetSpacing())
    # No sample may lie beyond the last voxel's border, where there is nothing to interpolate.
    size = [max(1, math.floor(n * s / spacing + 0.5)) for n, s in zip(coarse.GetSize(), own, strict=True)]
    direction = np.array(coarse.GetDirection()).reshape(3, 3)
    origin = np.array(coarse.GetOrigin()) + direction @ ((spacing - own) / 2)
    copy = sitk.Resample(
        coarse, size, sitk.Transform(), sitk.sitkLinear, origin.tolist(), [spacing] * 3, coarse.GetDirection()
    )
    low, high = np.percentile(sitk.GetArrayViewFromImage(copy), CLIP)
    clipped: sitk.Image = sitk.Clamp(copy, sitk.sitkFloat32, float(low), float(high))
    return clipped


@one_thread()
def rigid(fixed: sitk.Image, moving: sitk.Image) -> Alignment:
    """Find the rigid motion between two sequences of one patient.

    Looks from the scanner's own coordinates, and from the heads' centers laid on each other with the head turned each
    way; the best start by its metric is refined at 6 and 3 mm.

    Args:
        fixed: the sequence the others are brought to; any resolution, a 3 mm copy is enough.
        moving: another sequence of the same patient.
    Returns: the alignment; the scanner's coordinates and metric 0 where the two have nothing to compare.
    """
    fine = RIGID[-1].spacing
    fixed, moving = working_copy(fixed, fine), working_copy(moving, fine)
    transform = _best_start(working_copy(fixed, START.spacing), working_copy(moving, START.spacing))
    metric = 0.0
    for level in RIGID:
        coarse, other = working_copy(fixed, level.spacing), working_copy(moving, level.spacing)
        metric = _refine(coarse, other, transform, level, _head(coarse))
    record = {
        "levels": [asdict(level) for level in (START, *RIGID)],
        "seed": SAMPLING_SEED,
        "relaxation": RELAXATION,
        "center_mm": list(transform.GetCenter()),
        "angles_rad": [transform.GetAngleX(), transform.GetAngleY(), transform.GetAngleZ()],
        "translation_mm": list(transform.GetTranslation()),
        "metric": metric,
    }
    return Alignment(transform, metric, record)


def recorded(record: Mapping[str, Any]) -> sitk.Transform:
    """Return the transform that an alignment's record tells: the same to the last bit."""
    if record.get("identity"):
        return sitk.Transform(3, sitk.sitkIdentity)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(record["center_mm"])
    transform.SetRotation(*record["angles_rad"])
    transform.SetTranslation(record["translation_mm"])
    return transform


@one_thread()
def affine_to_atlas(reference: sitk.Image, mask: sitk.Image) -> sitk.AffineTransform:
    """Lay the atlas on a patient's brain, first with one scale, then affinely.

    Args:
        reference: a 3 mm copy of the sequence the others were brought to.
        mask: uint8 on the same grid, 1 in the brain.
    Returns: the transform from the atlas's points to the reference's points (mm, LPS).
    """
    template, brain = atlas()
    fixed = working_copy(template, AFFINE.spacing)
    within = sitk.BinaryDilate(sitk.Resample(brain, fixed, sitk.Transform(), sitk.sitkNearestNeighbor), [2] * 3)
    moving = working_copy(sitk.Mask(reference, sitk.BinaryDilate(mask, [1] * 3)), AFFINE.spacing)
    center, target = _center(brain), _center(mask)
    similarity = sitk.Similarity3DTransform()
    similarity.SetCenter(center.tolist())
    similarity.SetTranslation((target - center).tolist())
    _refine(fixed, moving, similarity, SIMILARITY, within)
    affine = _as_affine(similarity)
    _refine(fixed, moving, affine, AFFINE, within)
    scales = np.linalg.svd(np.array(affine.GetMatrix()).reshape(3, 3), compute_uv=False) / similarity.GetScale()
    return affine if PLAUSIBLE[0] <= scales.min() and scales.max() <= PLAUSIBLE[1] else _as_affine(similarity)


def _as_affine(similarity: sitk.Similarity3DTransform) -> sitk.AffineTransform:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(similarity.GetCenter())
    affine.SetMatrix(similarity.GetMatrix())
    affine.SetTranslation(similarity.GetTranslation())
    return affine


def _head(image: sitk.Image) -> sitk.Image:
    """Return where the head is and some air around it: the air beyond tells the metric nothing and costs as much."""
    head: sitk.Image = sitk.BinaryDilate(sitk.OtsuThreshold(image, 0, 1), [2] * 3)
    return head


def _center(mask: sitk.Image) -> NDArray[np.float64]:
    """Return the center of a mask's voxels in mm, LPS; the image's own center where the mask is empty."""
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask))
    index = inside.mean(0)[::-1] if len(inside) else (np.array(mask.GetSize()) - 1) / 2
    return np.array(mask.TransformContinuousIndexToPhysicalPoint(index.tolist()))


def _best_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    """Return the start from which a short search got furthest, moved so far; the scanner's coordinates if none did."""
    center, target = (_center(sitk.OtsuThreshold(image, 0, 1)) for image in (fixed, moving))
    head = _head(fixed)
    scanner = _euler(center, (0, 0, 0), (0, 0, 0))
    turned = [_euler(center, degrees, target - center) for degrees in START_TURNS]
    values = [_value(fixed, moving, start, head) for start in turned]
    promising = sorted(range(len(turned)), key=values.__getitem__)[:SEARCHED_STARTS]
    best, best_metric = scanner, 0.0
    for start in (scanner, *(turned[i] for i in promising)):
        metric = _refine(fixed, moving, start, START, head)
        if metric < best_metric:
            best, best_metric = start, metric
    return best


def _euler(center: ArrayLike, degrees: ArrayLike, shift: ArrayLike) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(np.asarray(center, float).tolist())
    transform.SetRotation(*np.deg2rad(degrees).tolist())
    transform.SetTranslation(np.asarray(shift, float).tolist())
    return transform


def _method(transform: sitk.Transform, level: Level, within: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(level.bins)
    if level.sampling < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(level.sampling, SAMPLING_SEED)
    method.SetMetricFixedMask(within)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform, True)
    return method


def _value(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, within: sitk.Image) -> float:
    """Return the metric of a start as it is; 0, the worst, where too few points lie on both images."""
    try:
        return float(_method(transform, START, within).MetricEvaluate(fixed, moving))
    except RuntimeError:
        return 0.0


def _refine(
    fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, level: Level, within: sitk.Image
) -> float:
    """Improve a transform in place; the metric it reached, or 0 where too few points lie on both images."""
    method = _method(transform, level, within)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetOptimizerAsRegularStepGradientDescent(
        level.step, level.smallest_step, level.iterations, RELAXATION, gradientMagnitudeTolerance=1e-6
    )
    try:
        method.Execute(fixed, moving)
    except RuntimeError:
        return 0.0
    return float(method.GetMetricValue())
