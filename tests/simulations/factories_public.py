"""Public cohorts in miniature: a few patients each, in the folders, files and tables that one downloads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from tests.core.imaging.factories_dicom import a_case, pixels_of

# BraTS's own grid, where SRI24's axes run to left and posterior in files (mm, LPS).
ORIGIN = (0.0, -239.0, 0.0)
TUMOR = (0, 1, 2, 4)


def a_nifti(path: Path, voxels: NDArray[np.generic], origin: Sequence[float] = ORIGIN) -> Path:
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin(origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def a_mask(labels: Sequence[float] = TUMOR) -> NDArray[np.generic]:
    """[5, 8, 6] with each label in a row of its own."""
    mask = np.zeros((5, 8, 6), np.float32 if any(label != int(label) for label in labels) else np.uint8)
    for row, label in enumerate(labels):
        mask[2, row] = label
    return mask


def scans(folder: Path, names: Mapping[str, str], seed: int = 0) -> Path:
    """Write four sequences of 5 slices as NIfTI; `names` says how each file is called."""
    for number, name in enumerate(names.values()):
        a_nifti(folder / f"{name}.nii.gz", pixels_of(5, seed=10 * seed + number).astype(np.int16))
    return folder


def rsna(at: Path, ids: Sequence[str], labels: str | None = None) -> Path:
    for id_ in ids:
        a_case(at / "train" / id_, StudyInstanceUID=f"1.2.{int(id_) + 1}", PatientID=id_)
    rows = [f"{id_},{index % 2}" for index, id_ in enumerate(ids)] if labels is None else labels.splitlines()
    (at / "train_labels.csv").write_text("\n".join(["BraTS21ID,MGMT_value", *rows]) + "\n")
    return at


def brats(at: Path, names: Sequence[str], labels: Sequence[float] = TUMOR) -> Path:
    for seed, name in enumerate(names):
        endings = ("-t1n", "-t1c", "-t2w", "-t2f") if "GLI" in name else ("_t1", "_t1ce", "_t2", "_flair")
        scans(at / name, {ending: name + ending for ending in endings}, seed)
        a_nifti(at / name / f"{name}{endings[0][0]}seg.nii.gz", a_mask(labels))
    return at


def upenn(at: Path, names: Sequence[str], rows: str, masks: Sequence[str] = ()) -> Path:
    for seed, name in enumerate(names):
        structural = at / "images_structural" / name
        scans(structural, {end: f"{name}_{end}" for end in ("T1", "T1GD", "T2", "FLAIR")}, seed)
        # What the download has besides, in folders of the same name.
        a_nifti(at / "images_DTI" / "images_DTI" / name / f"{name}_DTI_FA.nii.gz", a_mask())
        unstripped = at / "images_structural_unstripped" / name
        scans(unstripped, {end: f"{name}_{end}_unstripped" for end in ("T1", "T1GD", "T2", "FLAIR")}, seed)
        a_nifti(at / "automated_segm" / f"{name}_automated_approx_segm.nii.gz", a_mask((0, 2)))
    for name in masks:
        a_nifti(at / "images_segm" / f"{name}_segm.nii.gz", a_mask())
    table = at / "UPENN-GBM_clinical_info_v2.1.csv"
    table.write_text("ID,Gender,Age_at_scan_years,IDH1,MGMT,KPS\n" + rows)
    return at


def crosswalk(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    """Write TCIA's crosswalk of BraTS 2021, as saved from a spreadsheet: a name of TCIA and of BraTS a row."""
    path.write_text(
        "Data Collection (as on TCIA+additional),Site ID,PatientID on TCIA Radiology Portal,"
        "Study date (m/d/yyyy) per PatientID,BraTS2021 ID,Segmentation (Task 1) Cohort,MGMT (Task 2) Cohort,"
        "MGMT value\n"
        # A hospital's whom TCIA did not have, one of UCSF's, whose names there are numbers alone, and an empty row.
        "UPENN-GBM_Additional,1,new-not-previously-in-TCIA,,BraTS2021_00700,Training,,\n"
        "UCSF-PDGM,18,3,3/1/2015,BraTS2021_00701,Training,,\n"
        ",,,,,,,\n" + "".join(f"UPENN-GBM,1,{tcia},5/2/2009,{brats},Training,Training,1\n" for tcia, brats in pairs)
    )
    return path


def ucsf(at: Path, names: Sequence[str], rows: str) -> Path:
    for seed, name in enumerate(names):
        folder = at / "UCSF-PDGM-v5" / f"{name}_nifti"
        scans(folder, {end: f"{name}_{end}" for end in ("T1", "T1c", "T2", "FLAIR")}, seed)
        for other in ("T1c_bias", "FLAIR_bias", "brain_segmentation", "DTI_eddy_FA"):
            a_nifti(folder / f"{name}_{other}.nii.gz", a_mask((0, 1)))
        a_nifti(folder / f"{name}_tumor_segmentation.nii.gz", a_mask())
    (at / "UCSF-PDGM-metadata_v2.csv").write_text("ID,Sex,WHO CNS Grade,MGMT status,MGMT index,BraTS21 ID\n" + rows)
    return at
