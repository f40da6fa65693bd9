from pathlib import Path

import pydicom
import pytest

from core.errors import DicomError
from core.imaging.traits import Traits, age_band, read_traits
from simulations.acquisition import acquire
from simulations.dicom_files import write_series
from simulations.patients import make_patient, sex_and_age
from simulations.scanners import scanner_of
from tests.simulations.factories_patients import a_head, a_plan

PLAN = a_plan()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, scanner, head = tmp_path_factory.mktemp("patient"), scanner_of(1, coarse=True), a_head()
    volume = acquire(make_patient(PLAN, head), head, "T1w", scanner).volume
    write_series(volume, folder / "all", PLAN.identity, PLAN.seed, "T1w", scanner)
    return folder / "all"


def with_header(series: Path, folder: Path, **changed: str) -> Path:
    header = pydicom.dcmread(series / "Image-1.dcm")
    for name, value in changed.items():
        with pydicom.config.disable_value_validation():
            setattr(header, name, value)
    folder.mkdir(exist_ok=True)
    header.save_as(folder / "image.dcm", enforce_file_format=True)
    return folder


def test_a_synthetic_patient_has_the_sex_age_and_scanner_that_were_drawn(series: Path) -> None:
    sex, age = sex_and_age(PLAN.seed)
    assert read_traits(series) == Traits(
        {"F": "female", "M": "male"}[sex], age_band(age), "GE MEDICAL SYSTEMS SIGNA HDxt"
    )


@pytest.mark.parametrize(
    ("written", "band"),
    [
        ("047Y", "40 to 49"), ("060Y", "60 to 69"), ("079Y", "70 to 79"), ("080Y", "80 and over"),
        ("103Y", "80 and over"), ("018M", "0 to 9"), ("", ""), ("47", ""), ("47 years", ""),
    ],
)  # fmt: skip
def test_ages_become_bands_and_the_oldest_are_one(series: Path, tmp_path: Path, written: str, band: str) -> None:
    assert read_traits(with_header(series, tmp_path / "p", PatientAge=written)).age_band == band


def test_what_headers_do_not_tell_stays_empty(series: Path, tmp_path: Path) -> None:
    bare = dict.fromkeys(("PatientAge", "PatientSex", "Manufacturer", "ManufacturerModelName"), "")
    assert read_traits(with_header(series, tmp_path / "bare", **bare)) == Traits()
    only = bare | {"ManufacturerModelName": " Skyra ", "PatientSex": "Mary Smith"}
    assert read_traits(with_header(series, tmp_path / "bare", **only)) == Traits("", "", "Skyra")
    (tmp_path / "empty").mkdir()
    assert read_traits(tmp_path / "empty") == Traits()


def test_a_damaged_image_is_an_error(series: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.dcm").write_bytes((series / "Image-1.dcm").read_bytes()[:400])
    with pytest.raises(DicomError):
        read_traits(tmp_path)
