from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from simulations.acquisition import Scan, acquire
from simulations.dicom_files import file_numbers, write_series
from simulations.patients import make_patient
from simulations.scanners import Scanner, scanner_of
from tests.simulations.factories_patients import a_head, a_plan

HEAD = a_head()
PLAN = a_plan()
PATIENT = make_patient(PLAN, HEAD)


def write_and_scan(folder: Path, scanner: Scanner, sequence: str) -> Scan:
    scan = acquire(PATIENT, HEAD, sequence, scanner)
    write_series(scan.volume, folder, PLAN.identity, PLAN.seed, sequence, scanner)
    return scan


# Every syntax, plane and numbering that a hospital has.
CASES = [(0, "FLAIR"), (1, "T1w"), (2, "FLAIR"), (3, "T2w")]


@pytest.mark.parametrize(("hospital", "sequence"), CASES)
def test_a_reader_of_another_make_finds_the_scanned_values_and_geometry(tmp_path: Path, hospital: int, sequence: str):
    volume = write_and_scan(tmp_path, scanner_of(hospital, coarse=True), sequence).volume
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()

    assert (sitk.GetArrayFromImage(image) == volume.voxels).all()
    assert image.GetSpacing() == pytest.approx(volume.spacing, abs=1e-6)
    assert image.GetOrigin() == pytest.approx(volume.origin, abs=1e-6)
    assert image.GetDirection() == pytest.approx(volume.direction.ravel(), abs=1e-7)


@pytest.mark.parametrize(("hospital", "sequence"), CASES)
def test_each_file_holds_the_slice_at_its_position(tmp_path: Path, hospital: int, sequence: str):
    scanner = scanner_of(hospital, coarse=True)
    volume = write_and_scan(tmp_path, scanner, sequence).volume
    for path in sorted(tmp_path.iterdir())[::7]:
        file = pydicom.dcmread(path)
        offset = np.array(file.ImagePositionPatient, float) - volume.origin
        index = round(offset @ volume.direction[:, 2] / volume.spacing[2])
        pixels = file.pixel_array * float(file.get("RescaleSlope", 1)) + float(file.get("RescaleIntercept", 0))
        assert (pixels == volume.voxels[index]).all()
        assert path.name == f"Image-{file.InstanceNumber}.dcm"


def test_each_numbering_names_every_slice_once_and_only_one_follows_the_geometry():
    numbers = {hospital: file_numbers(9, scanner_of(hospital), PLAN.seed) for hospital in range(4)}

    assert numbers[1] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert numbers[2] == [1, 6, 2, 7, 3, 8, 4, 9, 5]
    for hospital in range(4):
        assert sorted(numbers[hospital]) == list(range(1, 10))
        assert numbers[hospital] != list(range(1, 10))


def test_all_files_of_a_series_share_its_identity_and_each_has_its_own(tmp_path: Path):
    write_and_scan(tmp_path, scanner_of(0, coarse=True), "T1wCE")
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in tmp_path.iterdir()]

    assert len({file.SeriesInstanceUID for file in files}) == 1
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    assert {file.PatientID for file in files} == {"00001"}
    assert all(file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID for file in files)
    assert all(len(file.SOPInstanceUID) <= 64 for file in files)


def test_sequences_are_series_of_one_study_in_one_frame_and_patients_are_not(tmp_path: Path):
    scanner = scanner_of(0, coarse=True)
    volume = acquire(PATIENT, HEAD, "T1w", scanner).volume
    other = a_plan(2)
    write_series(volume, tmp_path / "a", PLAN.identity, PLAN.seed, "T1w", scanner)
    write_series(volume, tmp_path / "b", PLAN.identity, PLAN.seed, "T2w", scanner)
    write_series(volume, tmp_path / "c", other.identity, other.seed, "T1w", scanner)
    a, b, c = (pydicom.dcmread(tmp_path / name / "Image-1.dcm") for name in "abc")

    assert a.StudyInstanceUID == b.StudyInstanceUID != c.StudyInstanceUID
    assert a.FrameOfReferenceUID == b.FrameOfReferenceUID != c.FrameOfReferenceUID
    assert len({a.SeriesInstanceUID, b.SeriesInstanceUID, c.SeriesInstanceUID}) == 3


@pytest.mark.parametrize(
    ("hospital", "syntax"),
    [(0, "1.2.840.10008.1.2.1"), (1, "1.2.840.10008.1.2"), (2, "1.2.840.10008.1.2.5"), (3, "1.2.840.10008.1.2.4.90")],
)
def test_hospitals_write_their_own_headers(tmp_path: Path, hospital: int, syntax: str):
    scanner = scanner_of(hospital, coarse=True)
    write_and_scan(tmp_path, scanner, "T1wCE")
    file = pydicom.dcmread(tmp_path / "Image-1.dcm")

    assert file.file_meta.TransferSyntaxUID == syntax
    assert (file.Manufacturer, file.ManufacturerModelName) == (scanner.manufacturer, scanner.model)
    assert file.SeriesDescription == scanner.protocol("T1wCE").description
    assert ("RescaleSlope" in file) == (hospital == 2)
    assert ("SliceLocation" in file) == (hospital != 3)


def test_run_lengths_survive_rows_wider_than_a_run_and_constant_rows(tmp_path: Path):
    scanner = scanner_of(2, coarse=True)
    volume = acquire(PATIENT, HEAD, "T1w", scanner).volume
    stored = np.random.default_rng(1).integers(0, 4000, (3, 301, 301)).astype(np.float32)
    stored[1] = 0
    stored[2, :, ::2] = 513
    odd = type(volume)(stored * np.float32(2.5), volume.spacing, volume.origin, volume.direction)
    write_series(odd, tmp_path, PLAN.identity, PLAN.seed, "T1w", scanner)
    read = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    read.sort(key=lambda file: float(file.SliceLocation))

    assert (np.stack([file.pixel_array for file in read]) == stored).all()
