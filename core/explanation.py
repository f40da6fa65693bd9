"""The pictures that explain an answer, in the patient's own space: scans, tumor map and Grad-CAM as NIfTI files."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import PreparationError
from core.imaging.case import PreparedCase
from core.imaging.model_grid import grid_image
from core.imaging.nifti_bytes import nifti_bytes
from core.imaging.preprocessing import REFERENCE, alignments_of
from core.imaging.volume import SEQUENCES, Volume, finite_image
from core.learning.metrics import REGIONS

# Gray levels from 0 to a scan's brightest voxels; a screen shows 256, and finer ones are noise that does not compress.
GRAY_LEVELS = 511
BRIGHTEST = 99.9  # percent


@dataclass(frozen=True)
class Explanation:
    """What a viewer shows.

    Attributes:
        files: .nii.gz, all on the T1wCE's grid as it was scanned: T1w, T1wCE, T2w, FLAIR (int16, in the scanner's units
            by their slope), `tumor` (uint8 in BraTS's labels) and `gradcam` (uint8, 255 at the strongest place).
        volumes_ml: `necrosis`, `edema`, `enhancing` and `whole`, of the tumor as drawn in `tumor`.
    """

    files: dict[str, bytes]
    volumes_ml: dict[str, float]


def explain(
    volumes: Mapping[str, Volume],
    case: PreparedCase,
    tumor_map: NDArray[np.float32] | None,
    cam: NDArray[np.float32] | None,
) -> Explanation:
    """Lay everything that explains an answer on the patient's T1wCE.

    Args:
        volumes: the four sequences as read.
        case: what was prepared from them.
        tumor_map: float32 [3, n, n, n], necrosis, edema and enhancing tumor, as `Prediction.tumor_map`; None where the
            model said nothing: then there is no `tumor`, and no volumes.
        cam: float32 [N, N, N] on the case's grid, 0 to 1, as `grad_cam` returns; None: no `gradcam`.
    Raises: PreparationError: the case's record does not say how its sequences were laid on each other.
    """
    try:
        alignments, grid = alignments_of(case.record), grid_image(case.record)
    except (KeyError, TypeError, ValueError) as error:
        raise PreparationError(
            f"A prepared case does not say how it was prepared ({type(error).__name__})", fix="prepare it again"
        ) from None
    patient = finite_image(volumes[REFERENCE])
    files = {
        name: _scan(patient if name == REFERENCE else finite_image(volumes[name]), alignments[name], patient)
        for name in SEQUENCES
    }
    milliliters = {}
    if tumor_map is not None:
        labels = tumor_labels(tumor_map, grid, patient)
        files["tumor"] = nifti_bytes(labels, patient)
        milliliters = volumes_ml(labels, volumes[REFERENCE].spacing)
    if cam is not None:
        shown = _on_patient(cam, grid, patient)
        files["gradcam"] = nifti_bytes(np.round(255 * np.clip(shown, 0, 1)).astype(np.uint8), patient)
    return Explanation(files, milliliters)


def tumor_labels(tumor_map: NDArray[np.float32], grid: sitk.Image, patient: sitk.Image) -> NDArray[np.uint8]:
    """Draw the tumor on a patient's grid: the map is interpolated first and then cut at one half, for smooth edges.

    Args:
        tumor_map: as for `explain`.
        grid: the model's, in the patient's frame.
        patient: the grid to draw on.
    Returns: uint8 [slices, rows, columns]; a voxel that is at least half tumor takes its likeliest region, as
        `core.imaging.tumor_mask` has it for masks.
    """
    shares = _on_patient(tumor_map, grid, patient)
    labels = np.zeros(shares.shape[:3], np.uint8)
    tumor = shares.sum(-1) >= 0.5
    labels[tumor] = np.array(list(REGIONS.values()), np.uint8)[shares[tumor].argmax(-1)]
    return labels


def volumes_ml(labels: NDArray[np.uint8], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return how large each region is, and all of them together, in milliliters.

    Args:
        labels: uint8 in BraTS's labels, any shape.
        spacing: mm between voxels along each axis.
    """
    one = float(np.prod(spacing)) / 1000
    volumes = {name: int(np.count_nonzero(labels == label)) * one for name, label in REGIONS.items()}
    return {**volumes, "whole": sum(volumes.values())}


def _on_patient(values: NDArray[np.float32], grid: sitk.Image, patient: sitk.Image) -> NDArray[np.float32]:
    """Interpolate values on the model's grid, or on a coarse copy of it, at a patient's voxels; 0 outside.

    Args:
        values: float32 [n, n, n], or [channels, n, n, n].
    Returns: float32 [slices, rows, columns], or [slices, rows, columns, channels].
    """
    channels = values.ndim == 4
    image = sitk.GetImageFromArray(np.moveaxis(values, 0, -1) if channels else values, isVector=channels)
    coarser = grid.GetSize()[0] / image.GetSize()[0]
    image.SetDirection(grid.GetDirection())
    image.SetSpacing([coarser * step for step in grid.GetSpacing()])
    # A coarse voxel's center is in the middle of the voxels that it stands for.
    image.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([(coarser - 1) / 2] * 3))
    laid: NDArray[np.float32] = sitk.GetArrayFromImage(sitk.Resample(image, patient, sitk.Transform(), sitk.sitkLinear))
    return laid


def _scan(scan: sitk.Image, alignment: sitk.Transform, patient: sitk.Image) -> bytes:
    """Write a sequence on the patient's grid; `alignment` leads from the patient's points to the scan's."""
    if scan is not patient:
        scan = sitk.Resample(scan, patient, alignment, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    values = sitk.GetArrayViewFromImage(scan)
    bright = np.abs(values[values != 0])
    step = float(np.percentile(bright, BRIGHTEST)) / GRAY_LEVELS if bright.size else 1.0
    limits = np.iinfo(np.int16)
    levels = np.clip(np.round(values / step), limits.min, limits.max).astype(np.int16)
    return nifti_bytes(levels, patient, step)
