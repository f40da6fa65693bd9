"""A grid of numbers with its place in the patient -> the bytes of a NIfTI file, without touching a disk.

Source: NIfTI-1.1 (nifti1.h): header layout, "3D image (volume) orientation", methods 2 and 3.
"""

import gzip
import struct
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

# NIfTI's code for each type written here.
_TYPES = {"uint8": 2, "int16": 4}
_HEADER, _DATA = 348, 352
_SCANNER, _MILLIMETERS = 1, 2
# The fastest: a picture of a head is half noise, which no level makes smaller.
_LEVEL = 1


def nifti_bytes(voxels: NDArray[Any], grid: sitk.Image, slope: float = 1.0) -> bytes:
    """Write voxels as .nii.gz; equal input gives equal bytes.

    Args:
        voxels: uint8 or int16 [slices, rows, columns].
        grid: an image of the same size whose spacing, origin and direction (mm, LPS) are theirs.
        slope: what a stored value is multiplied by to give an intensity.
    Returns: gzip-compressed NIfTI-1 whose qform and sform both say the place in the scanner (mm, RAS).
    """
    # LPS to RAS: x and y run the other way.
    turn = np.diag([-1.0, -1.0, 1.0])
    axes = turn @ np.array(grid.GetDirection()).reshape(3, 3)
    place = turn @ np.array(grid.GetOrigin())
    spacing = np.array(grid.GetSpacing())
    mirrored = -1.0 if np.linalg.det(axes) < 0 else 1.0
    b, c, d = _quaternion(axes * [1, 1, mirrored])
    sides = voxels.shape[::-1]
    header = bytearray(_DATA)
    struct.pack_into("<i", header, 0, _HEADER)
    struct.pack_into("<8h", header, 40, 3, *sides, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _TYPES[voxels.dtype.name], 8 * voxels.dtype.itemsize)
    struct.pack_into("<8f", header, 76, mirrored, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, _DATA, slope, 0)
    struct.pack_into("<B", header, 123, _MILLIMETERS)
    struct.pack_into("<2h", header, 252, _SCANNER, _SCANNER)
    struct.pack_into("<6f", header, 256, b, c, d, *place)
    struct.pack_into("<12f", header, 280, *np.column_stack([axes * spacing, place]).ravel())
    struct.pack_into("<4s", header, 344, b"n+1")
    little = np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<"))
    return gzip.compress(bytes(header) + little.tobytes(), _LEVEL, mtime=0)


def _quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a rotation's quaternion but for its first part, which is the one that is not negative, [3, 3] -> 3.

    Source: Bar-Itzhack 2000, doi:10.2514/2.4654: the eigenvector of the largest eigenvalue, sound for every angle.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    a, b, c, d = np.linalg.eigh(symmetric)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return sign * b, sign * c, sign * d
