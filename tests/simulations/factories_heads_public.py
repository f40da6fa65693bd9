"""Downloads in miniature whose scans show heads, each in a pose of its own, so that they can be prepared."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from simulations.dicom_files import write_series
from simulations.public_scans import find_scans
from simulations.scanners import scanner_of
from tests.core.imaging.factories_heads import a_case, a_pose, lesion_labels, scanned


def with_heads(kind: str, source: Path) -> Path:
    """Put heads in the place of what factories_public wrote: whole ones as DICOM, skull-stripped ones as NIfTI."""
    for scan in find_scans(kind, source).scans:
        rng = np.random.default_rng(list(scan.patient.encode()))
        pose = a_pose(tuple(rng.uniform(-4, 4, 3)), tuple(rng.uniform(-4, 4, 3)))
        for sequence, volume in a_case(pose, stripped=kind != "rsna").items():
            part = scan.parts[sequence]
            if part.is_dir():
                for image in part.iterdir():
                    image.unlink()
                seed = tuple(scan.patient.encode())
                write_series(volume, part, scan.patient, seed, sequence, scanner_of(0, coarse=True))
            else:
                sitk.WriteImage(volume.image(), str(part))
        if scan.mask:
            mask = scanned(lesion_labels(), pose, interpolator=sitk.sitkNearestNeighbor)
            sitk.WriteImage(mask, str(scan.mask))
    return source
