"""A tumor mask on the model's grid."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.imaging.registration import shrunk
from core.imaging.volume import Volume

# BraTS's labels: necrosis, edema, enhancing tumor. Since 2023 BraTS writes 3 for what was 4.
LABELS = (1, 2, 4)


def tumor_on_grid(mask: sitk.Image | Volume, grid: sitk.Image) -> NDArray[np.uint8]:
    """Bring a tumor mask to the model's grid.

    Each label is averaged and interpolated as a share of the voxel; a voxel that is at least half tumor takes the label
    with the largest share.

    Args:
        mask: labels 0, 1, 2, 4 on any grid in the T1wCE frame (mm, LPS).
        grid: the model's grid in the same frame.
    Returns: uint8 [D, H, W] with 0, 1, 2, 4; a tumor smaller than half a voxel keeps the voxel that holds most of it.
    """
    image = mask.image() if isinstance(mask, Volume) else mask
    spacing = grid.GetSpacing()[0]
    shares = np.zeros((len(LABELS), *grid.GetSize()[::-1]), np.float32)
    for share, label in zip(shares, LABELS, strict=True):
        wanted = (image == label) + (image == 3) if label == 4 else image == label
        coarse = shrunk(sitk.Cast(wanted, sitk.sitkFloat32), spacing)
        share[:] = sitk.GetArrayFromImage(sitk.Resample(coarse, grid, sitk.Transform(), sitk.sitkLinear))
    whole = shares.sum(0)
    tumor = whole >= min(0.5, whole.max()) if whole.max() > 0 else np.zeros(whole.shape, bool)
    return np.where(tumor, np.array(LABELS, np.uint8)[shares.argmax(0)], np.uint8(0)).astype(np.uint8)


def is_empty(mask: sitk.Image | Volume | None) -> bool:
    """Return whether a mask shows no tumor: a healthy control's does not."""
    if mask is None:
        return True
    return not (mask.voxels if isinstance(mask, Volume) else sitk.GetArrayViewFromImage(mask)).any()
