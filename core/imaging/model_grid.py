"""The model's grid: a cube around the brain whose axes run to superior, posterior and left of the head itself."""

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.study import PreprocessingSettings

# Of a case's arrays [D, H, W]; x, y and z of the same grid as an image run the other way round (LPS).
GRID_AXES = ["superior", "posterior", "left"]


def model_grid(brain: sitk.Image, from_atlas: sitk.AffineTransform, settings: PreprocessingSettings) -> sitk.Image:
    """Lay the model's grid around a brain.

    Args:
        brain: uint8 mask in the patient's frame, not empty.
        from_atlas: from the atlas's points to the patient's (LPS, mm); its rotation says how the head is turned.
        settings: voxels along each axis, and the margin in mm.
    Returns: an empty float32 image of grid^3 isotropic voxels in the patient's frame.
    """
    axes = rotation_of(from_atlas)
    voxels = np.argwhere(sitk.GetArrayViewFromImage(brain))[:, ::-1]
    direction = np.array(brain.GetDirection()).reshape(3, 3) * np.array(brain.GetSpacing())
    along = (voxels @ direction.T + np.array(brain.GetOrigin())) @ axes
    half = max(brain.GetSpacing()) / 2
    return _cube(along.min(0) - half, along.max(0) + half, axes, settings)


def scan_grid(scan: sitk.Image, settings: PreprocessingSettings) -> sitk.Image:
    """Lay the model's grid around a whole scan, along the patient's axes: where no brain was found."""
    size = np.array(scan.GetSize())
    corners = [
        scan.TransformContinuousIndexToPhysicalPoint((np.array(corner) * (size - 1)).tolist())
        for corner in np.ndindex(2, 2, 2)
    ]
    return _cube(np.min(corners, axis=0), np.max(corners, axis=0), np.eye(3), settings)


def grid_image(record: dict[str, Any]) -> sitk.Image:
    """Return a case's grid as an empty float32 image in the patient's own T1wCE frame, from the case's record."""
    grid = record["grid"]
    image = sitk.Image(grid["size"], sitk.sitkFloat32)
    image.SetSpacing(grid["spacing"])
    image.SetOrigin(grid["origin"])
    image.SetDirection(grid["direction"])
    return image


def described(grid: sitk.Image) -> dict[str, Any]:
    """Return a grid as JSON: size, spacing and origin by x, y, z (mm, LPS), the direction's nine numbers by rows."""
    return {
        "size": list(grid.GetSize()),
        "spacing": list(grid.GetSpacing()),
        "origin": list(grid.GetOrigin()),
        "direction": list(grid.GetDirection()),
    }


def rotation_of(affine: sitk.AffineTransform) -> NDArray[np.float64]:
    """Return the rotation nearest to an affine transform (the orthogonal factor of its polar decomposition), [3, 3]."""
    left, _, right = np.linalg.svd(np.array(affine.GetMatrix()).reshape(3, 3))
    # A mirrored fit is no rotation; the nearest proper one turns the weakest axis back.
    left[:, 2] *= np.sign(np.linalg.det(left @ right))
    rotation: NDArray[np.float64] = left @ right
    return rotation


def stretch(affine: sitk.AffineTransform) -> tuple[float, float]:
    """Return the smallest and the largest factor by which an affine transform scales any direction."""
    scales = np.linalg.svd(np.array(affine.GetMatrix()).reshape(3, 3), compute_uv=False)
    return float(scales.min()), float(scales.max())


def _cube(
    low: NDArray[np.float64], high: NDArray[np.float64], axes: NDArray[np.float64], settings: PreprocessingSettings
) -> sitk.Image:
    """Return a cube around a box; `low` and `high` are its corners in mm along the columns of `axes`."""
    spacing = (float(max(high - low)) + 2 * settings.margin_mm) / settings.grid
    origin = axes @ ((low + high) / 2 - spacing * (settings.grid - 1) / 2)
    grid = sitk.Image([settings.grid] * 3, sitk.sitkFloat32)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin(origin.tolist())
    grid.SetDirection(axes.ravel().tolist())
    return grid
