"""A scalar image with its place in the patient: what reading makes and every later step takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import DataError

# No head scan reaches this far along any of its axes; coarse copies of what does would fill the memory.
MAX_EXTENT_MM = 1000.0

# The order of channels in a prepared case and in the model's input.
SEQUENCES = ("T1w", "T1wCE", "T2w", "FLAIR")


@dataclass(frozen=True)
class Volume:
    """Voxels and their geometry in DICOM's patient frame (LPS, PS3.3 C.7.6.2.1.1).

    Attributes:
        voxels: float32 [slices, rows, columns], in the scanner's units.
        spacing: mm between voxel centers along (columns, rows, slices): SimpleITK's x, y, z.
        origin: mm, LPS position of voxel [0, 0, 0]'s center.
        direction: float64 [3, 3], whose columns are the LPS unit vectors of the x, y and z axes.
    """

    voxels: NDArray[np.float32]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: NDArray[np.float64]

    def image(self) -> sitk.Image:
        """Return the same volume as a SimpleITK image (float32)."""
        image = sitk.GetImageFromArray(self.voxels)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction.ravel().tolist())
        return image


def finite_image(volume: Volume) -> sitk.Image:
    """Return a volume as an image in which a damaged voxel (NaN, infinite) is 0."""
    image = volume.image()
    if np.isfinite(volume.voxels).all():
        return image
    mended = sitk.GetImageFromArray(np.nan_to_num(volume.voxels, nan=0, posinf=0, neginf=0))
    mended.CopyInformation(image)
    return mended


def check_extent(size: Sequence[int], spacing: Sequence[float], error: type[DataError] = DataError) -> None:
    """Refuse a volume that is larger than a head scan can be, or has no size.

    Args:
        size, spacing: voxels, and mm between their centers, along the volume's axes in the same order.
        error: what to raise.
    """
    extents = [count * step for count, step in zip(size, spacing, strict=True)]
    # Written so that a NaN fails too.
    if not all(0 < extent <= MAX_EXTENT_MM for extent in extents):
        raise error(
            f"The volume is {' x '.join(f'{extent:.4g}' for extent in extents)} mm large, which no head scan is "
            f"(at most {MAX_EXTENT_MM:.0f} mm along each axis)",
            fix="export the series again from the scanner or archive: its voxel spacing is wrong",
        )


def volume_of(image: sitk.Image) -> Volume:
    """Return a SimpleITK image as a Volume."""
    return Volume(
        voxels=sitk.GetArrayFromImage(sitk.Cast(image, sitk.sitkFloat32)),
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=np.array(image.GetDirection()).reshape(3, 3),
    )
