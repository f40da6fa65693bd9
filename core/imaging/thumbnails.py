"""A small picture of a series, by which a person sees which one it is."""

import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import DataError, DicomError
from core.imaging.dicom import Planes, stack_in
from core.imaging.found import FoundSeries
from core.imaging.nifti import read_nifti
from core.imaging.pixels import stored_pixels
from core.imaging.registration import shrunk

# Pixels along the longer side.
LONGER_SIDE = 128
# Percentiles of the pixels that become black and white.
WINDOW = (1, 99)


def thumbnail(series: FoundSeries, *, apart: bool = True) -> bytes:
    """Draw a series' middle slice, its pixels square and its gray values spread over what is not background.

    Args:
        series: as found; a NIfTI file is cut axially.
        apart: as for `stored_pixels`.
    Returns: an 8 bit gray PNG, at most `LONGER_SIDE` pixels along its longer side.
    Raises: DicomError, DataError: the slice cannot be read.
    """
    if series.voxels is None:
        raise DataError(series.wrong, fix=series.fix)
    plane = _slice(series.voxels, apart) if isinstance(series.voxels, Planes) else _axial(series.voxels)
    width, height = (n * step for n, step in zip(plane.GetSize(), plane.GetSpacing(), strict=True))
    pitch = max(width, height) / LONGER_SIDE
    size = [max(1, round(edge / pitch)) for edge in (width, height)]
    coarse = shrunk(plane, pitch)
    first = [(pitch - step) / 2 for step in plane.GetSpacing()]
    start = [at + offset for at, offset in zip(plane.GetOrigin(), first, strict=True)]
    drawn = sitk.Resample(coarse, size, sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, start, [pitch] * 2)
    return png(_gray(sitk.GetArrayFromImage(drawn)))


def png(gray: NDArray[np.uint8]) -> bytes:
    """Return a gray picture, uint8 [rows, columns], as PNG.

    Source: ISO/IEC 15948 (PNG), 5 and 11.
    """
    rows, columns = gray.shape
    # Each line begins with its filter: none.
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), gray], axis=1).tobytes()
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(lines),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _slice(planes: Planes, apart: bool) -> sitk.Image:
    """Return the middle slice of a DICOM series, padding as its darkest pixel."""
    stack = stack_in(planes)
    middle = stack.positions[len(stack.positions) // 2][0]
    stored, padding = stored_pixels(middle.path, apart=apart)
    if middle.number >= len(stored):
        raise DicomError("A file holds fewer images than it announces", fix="send or export the series again")
    plane = stored[middle.number].astype(np.float32)
    if padding is not None:
        padded = padding[middle.number]
        plane[padded] = plane[~padded].min(initial=plane.max())
    image = sitk.GetImageFromArray(plane)
    image.SetSpacing(stack.spacing[:2])
    return image


def _axial(file: Path) -> sitk.Image:
    """Return the middle axial slice of a NIfTI file, the patient's right at its left."""
    upright = sitk.DICOMOrient(read_nifti(file)[0].image(), "LPS")
    plane: sitk.Image = upright[:, :, upright.GetSize()[2] // 2]
    plane.SetDirection((1, 0, 0, 1))
    return plane


def _gray(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Spread the values of all but the exactly black background over 0 to 255."""
    plane = np.nan_to_num(plane, nan=0, posinf=0, neginf=0)
    inside = plane[plane != 0]
    if not inside.size:
        return np.zeros(plane.shape, np.uint8)
    low, high = np.percentile(inside, WINDOW)
    spread = (plane - low) / max(float(high - low), 1e-6)
    gray: NDArray[np.uint8] = np.round(255 * np.clip(spread, 0, 1)).astype(np.uint8)
    return gray
