"""The picture of synthetic patients in the README: `python -m simulations.montage docs/pictures/montage.png`.

Each row is one patient of one hospital, each column a sequence, all cut by the same axial plane through the tumor.
"""

import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from core.files import atomic
from core.imaging.volume import SEQUENCES
from simulations.acquisition import ENHANCING, NECROSIS, Scan, acquire
from simulations.atlas import load_head
from simulations.hospitals import plan_hospital, site_names
from simulations.patients import make_patient
from simulations.scanners import scanner_of

SEED = 7
# Hospital, its patient's place, and whether the scan is coarse.
ROWS = ((0, 1, False), (3, 1, False), (2, 1, False), (0, 0, True))
SIZE = (200, 236)  # mm shown: across, from front to back
PIXEL = 1.0  # mm


def draw_montage(path: Path) -> None:
    """Write the montage as PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shape = (len(ROWS), len(SEQUENCES))
    figure, axes = plt.subplots(*shape, figsize=(2 * shape[1], 2.4 * shape[0] + 0.3), facecolor="black")
    for axis, sequence in zip(axes[0], SEQUENCES, strict=True):
        axis.set_title(sequence, color="white", fontsize=11, pad=4)
    for row, (hospital, number, coarse) in zip(axes, ROWS, strict=True):
        scanner = scanner_of(hospital, coarse)
        head = load_head(2 if coarse else 1)
        patient = make_patient(plan_hospital(SEED, hospital, number + 1, 0, 0.9)[number], head)
        scans = {sequence: acquire(patient, head, sequence, scanner) for sequence in SEQUENCES}
        plane = _plane_through_tumor(scans["T1wCE"])
        for axis, scan in zip(row, scans.values(), strict=True):
            _show(axis, _cut(scan, plane))
        label = f"{site_names(hospital + 1)[-1]}, {scanner.tesla:g} T" + (", coarse" if coarse else "")
        row[0].text(4, 230, label, color="white", fontsize=8)
    figure.subplots_adjust(0, 0, 1, 0.96, 0.01, 0.01)
    pixels = io.BytesIO()
    figure.savefig(pixels, dpi=110, facecolor="black")
    plt.close(figure)
    with atomic(path) as temporary:
        Image.open(pixels).convert("L").save(temporary, optimize=True)


def _plane_through_tumor(scan: Scan) -> float:
    """Return the height (mm, LPS z) of the axial plane with most of the tumor's core."""
    core = np.argwhere(np.isin(scan.tumor, (NECROSIS, ENHANCING)))
    z = (scan.volume.direction @ (core[:, ::-1] * scan.volume.spacing).T)[2] + scan.volume.origin[2]
    return float(np.median(z))


def _cut(scan: Scan, z: float) -> NDArray[np.float32]:
    """Return an axial cut through a scan at a height (mm, LPS)."""
    width, height = (round(mm / PIXEL) for mm in SIZE)
    plane = sitk.Image([width, height, 1], sitk.sitkFloat32)
    plane.SetSpacing((PIXEL, PIXEL, 1))
    plane.SetOrigin((-SIZE[0] / 2, 12 - SIZE[1] / 2, z))
    cut: NDArray[np.float32] = sitk.GetArrayFromImage(
        sitk.Resample(scan.volume.image(), plane, sitk.Transform(), sitk.sitkLinear)
    )[0]
    return cut


def _show(axis: Axes, cut: NDArray[np.float32]) -> None:
    axis.imshow(cut, cmap="gray", vmin=0, vmax=float(np.percentile(cut, 99.7)), interpolation="bilinear")
    axis.set_axis_off()


if __name__ == "__main__":
    draw_montage(Path(sys.argv[1]))
