"""The reference brain that the node ships: a 2 mm T1-weighted template in MNI space and which of it is brain."""

from functools import lru_cache
from pathlib import Path

import SimpleITK as sitk

DATA = Path(__file__).parent / "data"


@lru_cache(maxsize=1)
def atlas() -> tuple[sitk.Image, sitk.Image]:
    """Return the atlas's T1-weighted template and its brain.

    Returns: float32 template in [0, 1], already stripped of its skull, and uint8 brain (0 or 1); both on one 2 mm grid
        whose x, y and z axes run to left, posterior and superior (LPS, mm).
    Source: ICBM 152 nonlinear symmetric 2009a (data/MNI152_LICENSE.txt); written by `simulations.atlas`.
    """
    template = sitk.ReadImage(str(DATA / "atlas_2mm.nii.gz"), sitk.sitkFloat32) / 255.0
    brain = sitk.ReadImage(str(DATA / "atlas_2mm_brain.nii.gz"), sitk.sitkUInt8)
    return template, brain
