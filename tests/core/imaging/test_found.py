import gzip
import io
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom import uid

from core.errors import DataError, DicomError, FLError, NotACaseError
from core.imaging import found as found_module
from core.imaging.dicom import Planes
from core.imaging.found import Found, found_as_json, found_from_json, look_through
from core.imaging.reading import read_case, read_chosen
from core.imaging.thumbnails import thumbnail
from core.imaging.volume import SEQUENCES
from tests.core.imaging.factories_dicom import SAGITTAL, a_case, a_series, a_slice, an_enhanced_series, pixels_of

T1, T2 = {"SeriesDescription": "t1_se"}, {"SeriesDescription": "t2_tse"}


def nifti(path: Path, voxels: Any, direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)) -> Path:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 1.0, 3.0))
    image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def keys_by_sequence(found: Found) -> dict[str | None, str]:
    return {one.sequence: one.key for one in found.series}


def shown(png: bytes) -> Any:
    picture = Image.open(io.BytesIO(png))
    assert (picture.format, picture.mode) == ("PNG", "L")
    return np.asarray(picture)


def test_a_case_is_one_study_of_one_patient_with_four_series(tmp_path: Path) -> None:
    found = look_through(a_case(tmp_path, StudyDate="20240229"))
    (study,) = found.studies
    assert (study.date, study.patient_id, study.patient_name) == ("20240229", "canary-patient", "Canary^Name")
    assert [one.sequence for one in found.series if one.study == study.key] == [one.sequence for one in found.series]
    assert found.choice() == found.choice(study.key) == {s: keys_by_sequence(found)[s] for s in SEQUENCES}
    assert (found.several, found.missing()) == (False, ())
    first = found.series[0]
    assert (first.slices, first.kind, first.confidence, first.wrong) == (5, "original", 0.95, "")
    assert first.because == (f"its folder or file is named {first.sequence}",)


def test_keys_do_not_hang_on_file_names_or_their_order_but_on_the_images(tmp_path: Path) -> None:
    folder = a_case(tmp_path / "one")
    names = [f"{n}" for n in range(5)]
    random.Random(3).shuffle(names)
    for sequence in SEQUENCES:
        (tmp_path / "two" / "deeper" / sequence).mkdir(parents=True)
        for file, name in zip(sorted((folder / sequence).iterdir()), names, strict=True):
            shutil.copy(file, tmp_path / "two" / "deeper" / sequence / name)
    assert look_through(tmp_path / "two").choice() == look_through(folder).choice()
    (tmp_path / "two" / "deeper" / "T2w" / names[0]).unlink()
    one, two = (keys_by_sequence(look_through(tmp_path / name)) for name in ("one", "two"))
    assert one["T2w"] != two["T2w"]
    assert one["T1w"] == two["T1w"]
    assert len(set(one.values())) == 4


def test_images_without_identifiers_have_a_key_from_their_places(tmp_path: Path) -> None:
    a_series(tmp_path / "one", SOPInstanceUID=None, SeriesInstanceUID="1.2")
    (tmp_path / "two").mkdir()
    for number, file in enumerate(sorted((tmp_path / "one").iterdir())):
        shutil.copy(file, tmp_path / "two" / f"{9 - number}")
    one, two = (look_through(tmp_path / name).series[0] for name in ("one", "two"))
    assert one.key == two.key


def test_a_damaged_functional_group_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "one.dcm"
    an_enhanced_series(file, pixels_of(3), order=(0, 1, 2))
    file.write_bytes(file.read_bytes().replace(b"\x28\0\x10\x91SQ", b"\x28\0\x10\x91S\xfe"))
    (series,) = look_through(tmp_path).series
    assert "damaged" in series.wrong


def test_one_series_in_two_sequences_folders_has_two_keys(tmp_path: Path) -> None:
    a_series(tmp_path / "T1w")
    shutil.copytree(tmp_path / "T1w", tmp_path / "T2w")
    found = look_through(tmp_path)
    assert len({one.key for one in found.series}) == 2
    assert found.missing() == ("T1wCE", "FLAIR")


def test_a_series_that_cannot_be_a_volume_says_why_and_is_not_chosen(tmp_path: Path) -> None:
    a_case(tmp_path)
    shutil.rmtree(tmp_path / "T2w")
    a_series(tmp_path / "T2w", skip=[2])
    found = look_through(tmp_path)
    (broken,) = [one for one in found.series if one.sequence == "T2w"]
    assert "unevenly spaced" in broken.wrong
    assert broken.fix
    assert found.missing() == ("T2w",)
    a_series(tmp_path / "whole", **T2)
    assert look_through(tmp_path).missing() == ()


def test_what_is_no_sequence_is_found_and_not_chosen(tmp_path: Path) -> None:
    a_case(tmp_path)
    a_series(
        tmp_path / "x", orientation=SAGITTAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesDescription="s"
    )
    (localizer,) = [one for one in look_through(tmp_path).series if one.sequence is None]
    assert (localizer.kind, localizer.description, localizer.slices) == ("localizer", "s", 5)


@pytest.mark.parametrize(
    ("first", "second", "patients"),
    [
        ({"PatientID": "a"}, {"PatientID": "b"}, 2),
        ({"PatientID": "a"}, {"PatientID": ""}, 1),
        ({"PatientID": "a", "PatientName": "X^Y"}, {"PatientID": "a", "PatientName": "Z"}, 1),
        ({"PatientID": None, "PatientName": "Doe^Jane^"}, {"PatientID": "", "PatientName": "DOE^JANE"}, 1),
        ({"PatientID": None, "PatientName": "Doe^Jane"}, {"PatientID": "", "PatientName": "Doe^John"}, 2),
        ({"PatientID": "a", "PatientName": "Doe^Jane"}, {"PatientID": "", "PatientName": "Doe^John"}, 2),
        ({"PatientID": "", "PatientName": ""}, {"PatientID": "", "PatientName": ""}, 1),
    ],
)
def test_scans_of_several_patients_are_refused(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], patients: int
) -> None:
    a_series(tmp_path / "T1w", **first)
    a_series(tmp_path / "anything", SeriesDescription="no sequence", **second)
    if patients == 1:
        assert len(look_through(tmp_path).series) == 2
    else:
        with pytest.raises(DicomError, match="scans of 2 patients") as refused:
            look_through(tmp_path)
        assert "Doe" not in str(refused.value)


def test_of_two_dates_the_user_must_say_which(tmp_path: Path) -> None:
    a_case(tmp_path / "before", StudyDate="20240101", StudyInstanceUID="1.1")
    a_case(tmp_path / "after", StudyDate="20240601", StudyInstanceUID="1.2")
    found = look_through(tmp_path)
    assert found.several
    assert [study.date for study in found.studies] == ["20240101", "20240601"]
    assert (found.choice(), found.missing()) == ({}, SEQUENCES)
    before, after = (found.choice(study.key) for study in found.studies)
    assert tuple(before) == tuple(after) == SEQUENCES
    assert not set(before.values()) & set(after.values())
    np.testing.assert_array_equal(read_chosen(found, after).volumes["T2w"].voxels, pixels_of(5, seed=2))
    with pytest.raises(DicomError, match="2 studies"):
        read_chosen(found, {**after, "T2w": before["T2w"]})


def test_two_studies_of_one_day_are_two_where_they_compete(tmp_path: Path) -> None:
    a_case(tmp_path / "first", StudyDate="20240101", StudyInstanceUID="1.1")
    a_series(tmp_path / "second" / "T2w", StudyDate="20240101", StudyInstanceUID="1.2")
    found = look_through(tmp_path)
    assert (found.several, len(found.studies)) == (True, 2)
    whole = next(study for study in found.studies if len(found.choice(study.key)) == 4)
    assert read_chosen(found, found.choice(whole.key)).volumes["T2w"].voxels.shape == (5, 8, 6)


def test_an_anonymized_case_with_a_study_of_its_own_for_each_series_is_one_study(tmp_path: Path) -> None:
    for number, sequence in enumerate(SEQUENCES):
        a_series(tmp_path / sequence, pixels=pixels_of(5, seed=number), StudyInstanceUID=f"1.{number}")
    found = look_through(tmp_path)
    assert (len(found.studies), found.several, found.missing()) == (1, False, ())


def test_a_series_of_no_sequence_on_another_day_does_not_make_the_case_ambiguous(tmp_path: Path) -> None:
    a_case(tmp_path, StudyDate="20240101")
    a_series(tmp_path / "x", StudyDate="20230101", StudyInstanceUID="1.9", SeriesDescription="ep2d_diff")
    found = look_through(tmp_path)
    assert (len(found.studies), found.several, found.missing()) == (2, False, ())


def test_by_default_the_choice_is_the_one_that_read_case_makes(tmp_path: Path) -> None:
    a_case(tmp_path)
    a_series(tmp_path / "thick", slices=3, spacing=9.0, SliceThickness=9, **T1)
    found = look_through(tmp_path)
    case, chosen = read_case(tmp_path), read_chosen(found, found.choice())
    for sequence in SEQUENCES:
        np.testing.assert_array_equal(case.volumes[sequence].voxels, chosen.volumes[sequence].voxels)
        assert case.sources[sequence] == chosen.sources[sequence]


def test_the_user_s_choice_goes_before_the_guess(tmp_path: Path) -> None:
    found = look_through(a_case(tmp_path))
    choice = found.choice()
    swapped = {**choice, "T1w": choice["T1wCE"], "T1wCE": choice["T1w"]}
    case = read_chosen(found, swapped)
    assert tuple(case.volumes) == SEQUENCES
    np.testing.assert_array_equal(case.volumes["T1w"].voxels, pixels_of(5, seed=1))
    assert case.sources["T1w"].because == ("somebody chose it, against a guess of T1wCE",)
    assert case.sources["T1w"].confidence == 1


def test_a_choice_that_makes_no_case_is_refused(tmp_path: Path) -> None:
    found = look_through(a_case(tmp_path))
    choice = found.choice()
    with pytest.raises(NotACaseError, match="No series was chosen for T2w"):
        read_chosen(found, {name: key for name, key in choice.items() if name != "T2w"})
    with pytest.raises(NotACaseError, match="for two sequences"):
        read_chosen(found, {**choice, "T2w": choice["T1w"]})
    with pytest.raises(NotACaseError, match="not there"):
        read_chosen(found, {**choice, "T2w": "0" * 32})


def test_nifti_files_are_found_chosen_and_read(tmp_path: Path) -> None:
    for seed, sequence in enumerate(SEQUENCES):
        nifti(tmp_path / f"{sequence.lower()}.nii.gz", pixels_of(5, seed=seed))
    found = look_through(tmp_path)
    assert (found.studies, found.several, found.missing()) == ((), False, ())
    assert [(one.sequence, one.slices, one.kind, one.study) for one in found.series] == [
        (sequence, 5, "nifti", "") for sequence in SEQUENCES
    ]
    case = read_chosen(found, found.choice())
    for seed, sequence in enumerate(SEQUENCES):
        np.testing.assert_array_equal(case.volumes[sequence].voxels, pixels_of(5, seed=seed))
    (tmp_path / "t2w.nii.gz").rename(tmp_path / "patient-t2w.nii.gz")
    assert look_through(tmp_path).choice() == found.choice()


def test_a_nifti_whose_name_says_nothing_waits_for_the_user_and_so_do_two_of_one_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("t1", "t1ce", "flair", "third-scan", "a/t1")):
        nifti(tmp_path / f"{name}.nii", pixels_of(5, seed=seed))
    found = look_through(tmp_path)
    unknown = found.series[-1]
    assert (unknown.sequence, unknown.because) == (None, ("its name does not say what it is",))
    assert found.missing() == ("T1w", "T2w")
    first = next(one for one in found.series if one.sequence == "T1w")
    case = read_chosen(found, {**found.choice(), "T1w": first.key, "T2w": unknown.key})
    np.testing.assert_array_equal(case.volumes["T2w"].voxels, pixels_of(5, seed=3))
    assert case.sources["T2w"].because == ("somebody chose it",)


def test_a_nifti_that_cannot_be_a_volume_says_why(tmp_path: Path) -> None:
    (tmp_path / "t1.nii.gz").write_bytes(gzip.compress(b"no header"))
    nifti(tmp_path / "t2.nii", pixels_of(1))
    broken, flat = look_through(tmp_path).series
    assert "damaged" in broken.wrong
    assert "single slice" in flat.wrong


def test_more_series_than_a_study_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_module, "MAX_SERIES", 3)
    with pytest.raises(NotACaseError, match="more than 3 series"):
        look_through(a_case(tmp_path))


@pytest.mark.parametrize("name", ["nothing", "text"])
def test_what_holds_no_scan_is_refused(tmp_path: Path, name: str) -> None:
    if name == "text":
        (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(NotACaseError) as refused:
        look_through(tmp_path)
    assert refused.value.fix


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
def test_a_thumbnail_is_the_middle_slice_with_square_pixels(tmp_path: Path, syntax: str) -> None:
    """60 rows of 2 mm and 40 columns of 1.5 mm are 120 x 60 mm: 128 x 64 pixels."""
    pixels = np.full((5, 60, 40), 100, np.uint16)
    pixels[2, :30, :20] = 2000
    for index, plane in enumerate(pixels):
        a_slice(tmp_path / f"{9 - index}", plane, (0, 0, 3 * index), syntax, SOPInstanceUID=f"1.{index}")
    (series,) = look_through(tmp_path).series
    picture = shown(thumbnail(series))
    assert picture.shape == (128, 64)
    assert picture[:60, :30].min() == 255
    assert picture[68:].max() == picture[:, 34:].max() == 0


def test_a_thumbnail_of_a_multi_frame_file_is_its_middle_in_space(tmp_path: Path) -> None:
    pixels = np.zeros((5, 8, 6), np.uint16) + np.arange(5, dtype=np.uint16)[:, None, None] * 10
    pixels[:, 0, 0] = 200
    pixels[2, :, 3:] = 100
    an_enhanced_series(tmp_path / "one.dcm", pixels, order=(3, 0, 2, 4, 1))
    (series,) = look_through(tmp_path).series
    picture = shown(thumbnail(series))
    assert picture[64:, 50:].mean() > picture[64:, :30].mean() + 50


def test_a_few_hot_pixels_do_not_darken_a_thumbnail(tmp_path: Path) -> None:
    pixels = np.tile(np.linspace(100, 1000, 100).astype(np.uint16), (5, 100, 1))
    pixels[:, 0, 0] = 65000
    a_series(tmp_path, pixels=pixels)
    (series,) = look_through(tmp_path).series
    assert np.median(shown(thumbnail(series))) == pytest.approx(127, abs=6)


def test_a_blank_slice_has_a_black_thumbnail(tmp_path: Path) -> None:
    a_series(tmp_path, pixels=np.zeros((5, 8, 6), np.uint16))
    assert not shown(thumbnail(look_through(tmp_path).series[0])).any()


def test_a_thumbnail_of_a_nifti_is_axial_whichever_way_it_was_stored(tmp_path: Path) -> None:
    """A box at the patient's left front, in a head stored sagittally: the picture's right top."""
    voxels = np.zeros((40, 30, 20), np.float32)  # superior, posterior, left
    voxels[:, :10, 12:] = 1000
    voxels[:, 10:, :12] = 10
    nifti(tmp_path / "t1.nii", voxels)
    # x of the stack runs to posterior, y to superior, z to left.
    nifti(tmp_path / "t2.nii.gz", voxels.transpose(2, 0, 1).copy(), (0, 0, 1, 1, 0, 0, 0, 1, 0))
    for series in look_through(tmp_path).series:
        picture = shown(thumbnail(series))
        bright = np.argwhere(picture > 250) / picture.shape
        assert bright.mean(0) == pytest.approx([1 / 6, 0.8], abs=0.04), series.sequence


def test_a_thumbnail_of_a_cut_slice_is_refused_by_name(tmp_path: Path) -> None:
    a_series(tmp_path, pixels=pixels_of(1, 400, 400).repeat(3, 0))
    (series,) = look_through(tmp_path).series
    assert isinstance(series.voxels, Planes)
    for frame in series.voxels.frames:
        frame.path.write_bytes(frame.path.read_bytes()[:-1000])
    with pytest.raises(DicomError, match="cut short or damaged"):
        thumbnail(series)


def test_nothing_of_the_patient_is_in_a_refusal(tmp_path: Path) -> None:
    a_series(tmp_path / "canary" / "T1w", PatientID="canary-1")
    a_series(tmp_path / "canary" / "T2w", PatientID="canary-2")
    with pytest.raises(FLError) as refused:
        look_through(tmp_path)
    assert "canary" not in refused.value.problem + refused.value.fix


def test_what_was_found_is_read_from_a_copy_of_the_folder_without_its_headers_being_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = a_case(tmp_path / "there")
    a_series(tmp_path / "there" / "broken", skip=[2], SeriesDescription="t1")
    found = look_through(there)
    kept = found_as_json(found, there)
    assert str(tmp_path) not in kept.decode()
    expected = read_case(there)
    there.rename(tmp_path / "here")
    monkeypatch.setattr("core.imaging.dicom.image_headers", None)
    moved = found_from_json(kept, tmp_path / "here")
    assert found_from_json(kept, there) == found
    case = read_chosen(moved, moved.choice())
    for sequence in SEQUENCES:
        np.testing.assert_array_equal(case.volumes[sequence].voxels, expected.volumes[sequence].voxels)
        assert case.volumes[sequence].spacing == expected.volumes[sequence].spacing


def test_a_finder_that_was_taken_over_cannot_have_another_file_read(tmp_path: Path) -> None:
    """The process that looks through an upload may be the upload's; no path that it tells leads out of its folder."""
    nifti(tmp_path / "upload" / "t1.nii", pixels_of(5))
    found = look_through(tmp_path / "upload")
    for outside in (Path("/etc/passwd"), tmp_path / "upload" / ".." / "t1.nii", Path("t1.nii")):
        lying = replace(found, series=(replace(found.series[0], voxels=outside),))
        with pytest.raises(DataError, match="outside"):
            found_as_json(lying, tmp_path / "upload")


def test_scans_that_went_away_after_they_were_found_are_refused(tmp_path: Path) -> None:
    for make in (a_case, _niftis):
        found = look_through(make(tmp_path / make.__name__))
        shutil.rmtree(tmp_path / make.__name__)
        with pytest.raises(DataError) as refused:
            read_chosen(found, found.choice())
        assert refused.value.fix


def _niftis(folder: Path) -> Path:
    for seed, sequence in enumerate(SEQUENCES):
        nifti(folder / f"{sequence}.nii", pixels_of(5, seed=seed))
    return folder


def test_a_series_that_cannot_be_a_volume_is_refused_where_it_is_chosen(tmp_path: Path) -> None:
    a_case(tmp_path)
    a_series(tmp_path / "broken", skip=[2], SeriesDescription="t1")
    found = look_through(tmp_path)
    (broken,) = [one for one in found.series if one.wrong]
    with pytest.raises(DataError, match="T1w: The slices are unevenly"):
        read_chosen(found, {**found.choice(), "T1w": broken.key})
