"""Tumor masks of public cohorts, with the labels that the project reads: 1 necrosis, 2 edema, 4 enhancing."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from core.errors import DataError
from core.files import atomic, write_atomically
from core.imaging.nifti import is_nifti, nifti_name, read_mask
from core.imaging.nifti_bytes import nifti_bytes
from core.imaging.volume import Volume
from simulations.public_scans import Scan
from simulations.site_folders import link


def write_mask(scan: Scan, target: Path) -> tuple[bool, str]:
    """Bring a patient's tumor mask, with the labels that the project reads; one that is in doubt is left out.

    Returns: whether there is one now, and why not.
    """
    if scan.mask is None:
        target.unlink(missing_ok=True)
        return False, ""
    try:
        mask = read_mask(scan.mask)
        _check(mask, scan)
    except DataError as error:
        target.unlink(missing_ok=True)
        return False, f"{error.problem}, and was left out"
    if 3 in mask.voxels or not scan.mask.name.endswith(".gz"):
        # BraTS since 2023 writes 3 for what every cohort of before, and the project, calls 4.
        voxels = np.where(mask.voxels == 3, 4, mask.voxels).astype(np.uint8)
        write_atomically(target, nifti_bytes(voxels, mask.image()))
    elif not (target.exists() and target.samefile(scan.mask)):
        with atomic(target) as temporary:
            link(scan.mask, temporary)
    return True, ""


def _check(mask: Volume, scan: Scan) -> None:
    """Refuse a mask that may mean something else, lies elsewhere, or shows a healthy person.

    Raises: DataError: says what.
    """
    labels = {float(value) for value in np.unique(mask.voxels)}
    fix = "look at the mask"
    if strange := sorted(labels - {0, 1, 2, 3, 4}):
        raise DataError(f"The tumor mask holds {strange[0]:g}, which is no label of BraTS", fix=fix)
    if {3, 4} <= labels:
        # 4 is then the cavity of an operation (BraTS 2024), or 3 the solid core of BraTS 2013.
        raise DataError("The tumor mask holds both 3 and 4, and which is enhancing is not known", fix=fix)
    if 4 in labels and scan.mask and nifti_name(scan.mask).endswith("-seg"):
        raise DataError("The tumor mask holds 4, which since BraTS 2023 is not enhancing tumor", fix=fix)
    if labels == {0}:
        raise DataError("The tumor mask is empty, which stands for a healthy person", fix=fix)
    part = scan.parts["T1wCE"]
    if is_nifti(part) and not _same_grid(mask, part):
        raise DataError("The tumor mask is not on the grid of T1wCE", fix=fix)


def _same_grid(mask: Volume, scan: Path) -> bool:
    """Return whether a mask and a scan are of one size and lie in one place (within 0.1 mm)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(scan))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise DataError("The tumor mask has no readable T1wCE", fix="download the scan again") from None
    return reader.GetSize() == mask.voxels.shape[::-1] and all(
        np.allclose(one, other, atol=tolerance)
        for one, other, tolerance in (
            (reader.GetSpacing(), mask.spacing, 1e-3),
            (reader.GetOrigin(), mask.origin, 0.1),
            (reader.GetDirection(), mask.direction.ravel(), 1e-3),
        )
    )
