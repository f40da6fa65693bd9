import errno
import gzip
import os
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from core.errors import DataError, DicomError, FLError, NotACaseError
from core.imaging import archives, nifti
from core.imaging.archives import unpacked
from core.imaging.dicom import find_series
from core.imaging.nifti import read_mask
from core.imaging.reading import content_digest, folders_of_cases, read_case, read_labels
from core.imaging.volume import SEQUENCES
from tests.core.imaging.factories_dicom import SAGITTAL, a_case, a_series, pixels_of


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*")):
            opened.write(file, file.relative_to(folder.parent))
    return archive


def nifti_case(folder: Path, suffix: str = ".nii.gz", prefix: str = "") -> Path:
    """Four oblique NIfTI files, whose voxels tell them apart."""
    folder.mkdir(parents=True)
    for seed, sequence in enumerate(SEQUENCES):
        image = sitk.GetImageFromArray(pixels_of(5, seed=seed))
        image.SetSpacing((1.5, 2.0, 3.0))
        image.SetOrigin((-10.0, 20.0, 30.0))
        image.SetDirection((1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
        sitk.WriteImage(image, str(folder / f"{prefix}{sequence}{suffix}"))
    return folder


def refusal(path: Path) -> FLError:
    with pytest.raises(FLError) as refused:
        read_case(path)
    assert "canary" not in refused.value.problem + refused.value.fix
    assert str(path) not in refused.value.problem + refused.value.fix
    assert refused.value.fix
    return refused.value


def test_a_case_in_the_rsna_layout_is_four_volumes_in_order(tmp_path: Path) -> None:
    case = read_case(a_case(tmp_path / "00000"))
    assert tuple(case.volumes) == tuple(case.sources) == SEQUENCES
    for seed, (sequence, volume) in enumerate(case.volumes.items()):
        np.testing.assert_array_equal(volume.voxels, pixels_of(5, seed=seed))
        source = case.sources[sequence]
        assert (source.format, source.slices, source.confidence, source.notes) == ("DICOM", 5, 0.95, ())


def test_a_hospital_s_export_is_read_by_its_headers(tmp_path: Path) -> None:
    names = {"T1w": "sT1W_SE", "T1wCE": "T1 SE GD", "T2w": "t2_tse_tra", "FLAIR": "t2_tirm_dark-fluid"}
    for number, (sequence, description) in enumerate(names.items()):
        a_series(tmp_path / "PA0" / f"SE{number}", pixels=pixels_of(5, seed=number), SeriesDescription=description)
        assert sequence in SEQUENCES
    a_series(tmp_path / "PA0" / "SE9", orientation=SAGITTAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    case = read_case(tmp_path)
    for seed, sequence in enumerate(SEQUENCES):
        np.testing.assert_array_equal(case.volumes[sequence].voxels, pixels_of(5, seed=seed))


def test_a_zip_is_read_like_its_folder_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_case(tmp_path / "00000")
    archive = zipped(folder, tmp_path / "upload.zip")
    shutil.copytree(folder, tmp_path / "00000" / "__MACOSX")
    private = tmp_path / "temporary"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    case, plain = read_case(archive), read_case(folder)
    assert content_digest(archive) == content_digest(folder)
    for sequence in SEQUENCES:
        np.testing.assert_array_equal(case.volumes[sequence].voxels, plain.volumes[sequence].voxels)
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(("suffix", "prefix"), [(".nii.gz", ""), (".nii", "BraTS2021_00001_")])
def test_four_nifti_files_are_known_by_name_and_keep_their_place(tmp_path: Path, suffix: str, prefix: str) -> None:
    folder = nifti_case(tmp_path / "case", suffix, prefix)
    shutil.copy(folder / f"{prefix}FLAIR{suffix}", folder / f"{prefix}seg{suffix}")
    case = read_case(folder)
    assert tuple(case.volumes) == SEQUENCES
    for seed, (sequence, volume) in enumerate(case.volumes.items()):
        np.testing.assert_array_equal(volume.voxels, pixels_of(5, seed=seed))
        np.testing.assert_allclose(volume.spacing, (1.5, 2.0, 3.0), atol=1e-6)
        np.testing.assert_allclose(volume.origin, (-10.0, 20.0, 30.0), atol=1e-5)
        np.testing.assert_allclose(volume.direction, [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]], atol=1e-6)
        assert case.sources[sequence].format == "NIfTI"


def test_the_digest_ignores_file_names_but_not_bytes_or_sequences(tmp_path: Path) -> None:
    folder = a_case(tmp_path / "a")
    key = content_digest(folder)
    for number, file in enumerate(sorted(folder.rglob("*.dcm"), reverse=True)):
        file.rename(file.parent / f"{number:03d}")
    folder.rename(tmp_path / "b")
    assert content_digest(tmp_path / "b") == key
    swapped = shutil.copytree(tmp_path / "b", tmp_path / "swapped")
    (swapped / "T2w").rename(swapped / "x")
    (swapped / "FLAIR").rename(swapped / "T2w")
    (swapped / "x").rename(swapped / "FLAIR")
    assert content_digest(swapped) != key
    changed = next((tmp_path / "b").rglob("0*"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x07")
    assert content_digest(tmp_path / "b") != key


def test_the_digest_of_nifti_hangs_on_the_names_that_tell_the_sequences(tmp_path: Path) -> None:
    folder = nifti_case(tmp_path / "a")
    key = content_digest(folder)
    (folder / "T1w.nii.gz").rename(folder / "sub_t1.nii.gz")
    assert content_digest(folder) == key
    (folder / "T2w.nii.gz").rename(folder / "x.nii.gz")
    (folder / "FLAIR.nii.gz").rename(folder / "T2w.nii.gz")
    (folder / "x.nii.gz").rename(folder / "FLAIR.nii.gz")
    assert content_digest(folder) != key


def an_empty_folder(at: Path) -> Path:
    (at / "case").mkdir()
    return at / "case"


def a_text_file_named_dcm(at: Path) -> Path:
    (at / "case" / "T1w").mkdir(parents=True)
    (at / "case" / "T1w" / "Image-1.dcm").write_text("this is no image")
    return at / "case"


def a_plain_file(at: Path) -> Path:
    (at / "case.txt").write_text("hello")
    return at / "case.txt"


def a_single_nifti(at: Path) -> Path:
    return nifti_case(at / "case") / "T1w.nii.gz"


def a_text_file_named_zip(at: Path) -> Path:
    (at / "case.zip").write_text("hello")
    return at / "case.zip"


def an_empty_zip(at: Path) -> Path:
    (at / "empty").mkdir()
    return zipped(at / "empty", at / "case.zip")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (an_empty_folder, "The folder is empty"),
        (a_text_file_named_dcm, "None of the 1 files is a DICOM image or NIfTI"),
        (a_plain_file, "A single file is not a case"),
        (a_single_nifti, "A single file is not a case"),
        (lambda at: at / "absent", "There is no such folder or file"),
        (a_text_file_named_zip, "The archive is damaged or no zip (BadZipFile)"),
        (an_empty_zip, "The folder is empty"),
    ],
)
def test_what_is_no_case_at_all_is_refused(tmp_path: Path, make: Callable[[Path], Path], problem: str) -> None:
    error = refusal(make(tmp_path))
    assert isinstance(error, NotACaseError)
    assert error.problem == problem


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_missing_sequence_is_named(tmp_path: Path, sequence: str) -> None:
    folder = a_case(tmp_path / "case")
    shutil.rmtree(folder / sequence)
    error = refusal(folder)
    assert isinstance(error, DicomError)
    assert error.problem == f"The case has no {sequence}"
    assert f"{SEQUENCES[sequence == 'T1w']} (5 images)" in error.fix


def test_a_refusal_of_a_series_names_its_sequence(tmp_path: Path) -> None:
    folder = a_case(tmp_path / "case")
    (folder / "T2w" / "Image-3.dcm").unlink()
    assert refusal(folder).problem == (
        "T2w: The slices are unevenly spaced: a step of 6.0 mm among steps of 3.0 mm, at 1 of 3 places"
    )


def test_two_patients_or_two_studies_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = a_case(tmp_path / "patients")
    a_series(folder / "more" / "T1w", PatientID="canary-other")
    assert refusal(folder).problem == "The folder holds scans of 2 patients"
    folder = a_case(tmp_path / "studies")
    a_series(folder / "more" / "T1w", StudyInstanceUID="1.2.9")
    assert refusal(folder).problem == "The folder holds 2 studies of the patient"
    folder = a_case(tmp_path / "dates", StudyDate="20200101")
    shutil.rmtree(folder / "T2w")
    a_series(folder / "T2w", StudyDate="20220202", StudyInstanceUID="1.2.9")
    assert refusal(folder).problem == "The folder holds 2 studies of the patient"


def test_an_anonymized_case_with_a_study_of_its_own_for_each_series_is_one_study(tmp_path: Path) -> None:
    for seed, sequence in enumerate(SEQUENCES):
        a_series(tmp_path / sequence, pixels=pixels_of(5, seed=seed), StudyInstanceUID=f"1.2.{seed}", PatientID="")
    assert tuple(read_case(tmp_path).volumes) == SEQUENCES


def test_one_scan_under_two_names_is_refused_and_two_blank_ones_are_not(tmp_path: Path) -> None:
    folder = a_case(tmp_path / "case")
    shutil.rmtree(folder / "T1w")
    shutil.copytree(folder / "T1wCE", folder / "T1w")
    assert refusal(folder).problem == "T1w and T1wCE are the same images"
    blank = np.zeros((5, 8, 6), np.uint16)
    for sequence in SEQUENCES:
        a_series(tmp_path / "blank" / sequence, pixels=blank)
    assert tuple(read_case(tmp_path / "blank").volumes) == SEQUENCES


def an_archive(at: Path, name: str, mode: int = stat.S_IFREG | 0o600) -> Path:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(at / "case.zip", "w") as opened:
        opened.writestr(entry, b"content")
    return at / "case.zip"


@pytest.mark.parametrize(
    ("name", "mode", "problem"),
    [
        ("../evil.dcm", stat.S_IFREG, "The archive holds names that lead out of its own folder"),
        ("T1w/../../evil.dcm", stat.S_IFREG, "The archive holds names that lead out of its own folder"),
        ("..\\evil.dcm", stat.S_IFREG, "The archive holds names that lead out of its own folder"),
        ("/etc/evil", stat.S_IFREG, "The archive holds names that lead out of its own folder"),
        ("C:\\evil", stat.S_IFREG, "The archive holds names that lead out of its own folder"),
        ("T1w/link", stat.S_IFLNK, "The archive holds a link or a device"),
        ("T1w/pipe", stat.S_IFIFO, "The archive holds a link or a device"),
        ("n" * 300, stat.S_IFREG, "The archive cannot be unpacked (File name too long)"),
    ],
)
def test_an_archive_that_reaches_out_is_refused(tmp_path: Path, name: str, mode: int, problem: str) -> None:
    error = refusal(an_archive(tmp_path, name, mode))
    assert isinstance(error, NotACaseError)
    assert error.problem == problem
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["case.zip"]


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, "Image-1.dcm")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert refusal(archive).problem == "The archive is encrypted"


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 2**20)
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bomb", bytes(2**21))
    assert refusal(archive).problem == "The archive unpacks to more than 1 MiB"
    # An entry that claims to be small is cut off by its checksum or by the count of its true bytes.
    content = archive.read_bytes().replace(struct.pack("<L", 2**21), struct.pack("<L", 100))
    archive.write_bytes(content)
    assert isinstance(refusal(archive), NotACaseError)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 0)
    assert refusal(archive).problem == "The archive holds more than 0 files"


def test_an_archive_whose_entries_share_bytes_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", bytes(2**20))
        opened.writestr("b", bytes(2**20))
        opened.filelist[1].header_offset = opened.filelist[0].header_offset
    assert refusal(archive).problem == "The archive's entries overlap"


def test_an_archive_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a", b"1")
        opened.writestr("b", b"2")
    archive.write_bytes(archive.read_bytes().replace(b"b", b"a"))
    assert refusal(archive).problem == "The archive holds one name twice"


@pytest.mark.parametrize("left", [0.2, 0.9])
def test_an_archive_cut_short_is_refused(tmp_path: Path, left: float) -> None:
    archive = zipped(a_case(tmp_path / "case", slices=2), tmp_path / "case.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(left * len(content))])
    assert isinstance(refusal(archive), NotACaseError)


def test_unpacked_files_are_removed_when_the_reader_fails(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, "a/b.txt")
    with pytest.raises(ZeroDivisionError), unpacked(archive) as folder:
        assert (folder / "a" / "b.txt").read_bytes() == b"content"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        raise ZeroDivisionError
    assert not folder.exists()


def a_missing_nifti(folder: Path) -> None:
    (folder / "T2w.nii.gz").unlink()


def a_nifti_twice(folder: Path) -> None:
    shutil.copy(folder / "T2w.nii.gz", folder / "again_t2.nii.gz")


def a_4d_nifti(folder: Path) -> None:
    image = sitk.GetImageFromArray(np.ones((3, 4, 4, 4), np.float32), isVector=False)
    sitk.WriteImage(image, str(folder / "T2w.nii.gz"))


def a_flat_nifti(folder: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((1, 4, 4), np.float32)), str(folder / "T2w.nii.gz"))


def a_text_nifti(folder: Path) -> None:
    (folder / "T2w.nii.gz").write_text("hello")


def a_cut_nifti(folder: Path) -> None:
    content = gzip.decompress((folder / "T2w.nii.gz").read_bytes())
    (folder / "T2w.nii.gz").write_bytes(gzip.compress(content[: len(content) // 2]))


def a_slightly_cut_nifti(folder: Path) -> None:
    content = gzip.decompress((folder / "T2w.nii.gz").read_bytes())
    (folder / "T2w.nii.gz").write_bytes(gzip.compress(content[:-1]))


def a_cut_stream(folder: Path) -> None:
    content = (folder / "T2w.nii.gz").read_bytes()
    (folder / "T2w.nii.gz").write_bytes(content[: len(content) // 2])


def a_huge_nifti(folder: Path) -> None:
    content = bytearray(gzip.decompress((folder / "T2w.nii.gz").read_bytes()))
    content[42:48] = struct.pack("<3h", 30000, 30000, 30000)
    (folder / "T2w.nii.gz").write_bytes(gzip.compress(content))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (a_missing_nifti, "The case has no T2w"),
        (a_nifti_twice, "2 NIfTI files are named like a T2w"),
        (a_4d_nifti, "T2w: A NIfTI file holds several volumes (4D)"),
        (a_flat_nifti, "T2w: A NIfTI file holds a single slice, which is no volume"),
        (a_text_nifti, "T2w: A NIfTI file is damaged, cut short or no NIfTI"),
        (a_slightly_cut_nifti, "T2w: A NIfTI file is damaged, cut short or no NIfTI"),
        (a_cut_stream, "T2w: A NIfTI file is damaged, cut short or no NIfTI"),
        (a_cut_nifti, "T2w: A NIfTI file is damaged, cut short or no NIfTI"),
        (a_huge_nifti, "T2w: A NIfTI file holds more than 268435456 voxels"),
    ],
)
def test_nifti_files_that_are_no_volume_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = nifti_case(tmp_path / "case")
    spoil(folder)
    assert refusal(folder).problem == problem
    assert capfd.readouterr().out == ""
    assert nifti.is_nifti(Path("x.NII.GZ"))


@pytest.mark.parametrize("read", [read_case, content_digest, lambda folder: find_series(folder / "T2w")])
@pytest.mark.parametrize("make", [a_case, nifti_case])
def test_a_file_that_the_disk_withholds_is_refused_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], read: Callable[[Path], object]
) -> None:
    folder = make(tmp_path / "canary")
    (folder / "T2w").mkdir(exist_ok=True)
    (folder / "T2w" / "canary.dcm").write_bytes(b"")
    opened = Path.open

    def withheld(path: Path, *rest: Any) -> Any:
        if path.name == "canary.dcm":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *rest)

    monkeypatch.setattr(Path, "open", withheld)
    with pytest.raises(DataError) as refused:
        read(folder)
    assert refused.value.problem == "A file or folder of the case cannot be read (Permission denied)"
    assert "canary" not in refused.value.fix


@pytest.mark.parametrize("read", [read_case, content_digest])
def test_a_folder_that_the_disk_withholds_is_refused_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    folder = a_case(tmp_path / "canary")
    listed = os.scandir

    def withheld(path: Any) -> Any:
        if str(path).endswith("T2w"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", withheld)
    with pytest.raises(DataError) as refused:
        read(folder)
    assert refused.value.problem == "A file or folder of the case cannot be read (Input/output error)"


def nifti_of(path: Path, voxels: NDArray[Any], spacing: Sequence[float]) -> Path:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def test_a_volume_larger_than_a_head_scan_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    folder = nifti_case(tmp_path / "nifti")
    voxels = np.ones((5, 4, 2), np.float32)
    nifti_of(folder / "T2w.nii.gz", voxels, (500, 250, 200))
    assert read_case(folder).volumes["T2w"].spacing == (500, 250, 200)
    nifti_of(folder / "T2w.nii.gz", voxels, (500, 251, 200))
    large = "T2w: The volume is 1000 x 1004 x 1000 mm large, which no head scan is (at most 1000 mm along each axis)"
    error = refusal(folder)
    assert (type(error), error.problem) == (DataError, large)
    # 6 columns of 1.5 mm, 8 rows of 2 mm, 5 slices of 900 mm; the pixels lack.
    folder = a_case(tmp_path / "dicom")
    shutil.rmtree(folder / "T2w")
    a_series(folder / "T2w", spacing=900, PixelData=None)
    error = refusal(folder)
    assert (type(error), error.problem) == (DicomError, large.replace("1000 x 1004 x 1000", "9 x 16 x 4500"))


def test_a_mask_reads_as_a_volume_and_its_refusal_says_that_it_is_the_mask(tmp_path: Path) -> None:
    labels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    mask = nifti_of(tmp_path / "canary.nii.gz", labels, (1, 2, 3))
    np.testing.assert_array_equal(read_mask(mask).voxels, labels)
    mask.write_text("hello")
    with pytest.raises(DataError) as refused:
        read_mask(mask)
    assert refused.value.problem == "The tumor mask: A NIfTI file is damaged, cut short or no NIfTI"
    assert refused.value.fix


def test_values_that_are_not_numbers_become_background(tmp_path: Path) -> None:
    folder = nifti_case(tmp_path / "case")
    voxels = np.full((4, 4, 4), 5, np.float32)
    voxels[0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / "T2w.nii.gz"))
    np.testing.assert_array_equal(read_case(folder).volumes["T2w"].voxels, np.nan_to_num(voxels))


def test_a_nifti_without_a_place_in_the_patient_is_noted(tmp_path: Path) -> None:
    folder = nifti_case(tmp_path / "case", ".nii")
    content = bytearray((folder / "T2w.nii").read_bytes())
    content[252:256] = bytes(4)
    (folder / "T2w.nii").write_bytes(content)
    sources = read_case(folder).sources
    assert sources["T1w"].notes == ()
    assert sources["T2w"].notes == ("the header gives no place in the patient; the axes are taken as they are",)


def test_a_cohort_s_cases_are_its_folders_under_train(tmp_path: Path) -> None:
    with pytest.raises(NotACaseError, match="no folder named train"):
        folders_of_cases(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(NotACaseError, match="empty"):
        folders_of_cases(tmp_path)
    for name in ("00010", "00002", ".cache"):
        (tmp_path / "train" / name).mkdir()
    (tmp_path / "train" / "notes.txt").touch()
    assert [path.name for path in folders_of_cases(tmp_path)] == ["00002", "00010"]


def test_labels_keep_their_zeros_and_may_be_blank(tmp_path: Path) -> None:
    path = tmp_path / "train_labels.csv"
    path.write_bytes(b"\xef\xbb\xbfBraTS21ID,MGMT_value\r\n00000,1\r\n00002, 0\r\n00003,\r\n\r\n00005,1.0\r\n")
    assert read_labels(path) == {"00000": 1, "00002": 0, "00003": None, "00005": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1 is not `BraTS21ID,MGMT_value`"),
        ("BraTS21ID;MGMT_value\n00000;1\n", "line 1 is not `BraTS21ID,MGMT_value`"),
        ("id,label\n00000,1\n", "line 1 is not `BraTS21ID,MGMT_value`"),
        ("BraTS21ID,MGMT_value\n00000,1\n00001,2\n", "line 3 has a value other than 0 and 1"),
        ("BraTS21ID,MGMT_value\n00000,yes\n", "line 2 has a value other than 0 and 1"),
        ("BraTS21ID,MGMT_value\n00000,nan\n", "line 2 has a value other than 0 and 1"),
        ("BraTS21ID,MGMT_value\n00000,1\n00001,0\n00000,1\n", "line 4 repeats an identifier"),
        ("BraTS21ID,MGMT_value\n00000,1,0\n", "line 2 has 3 cells"),
        ("BraTS21ID,MGMT_value\n00000\n", "line 2 has 1 cells"),
        ("BraTS21ID,MGMT_value\n,1\n", "line 2 has no usable identifier"),
        ("BraTS21ID,MGMT_value\n../x,1\n", "line 2 has no usable identifier"),
        ('BraTS21ID,MGMT_value\n"00000,1\n', "cannot be read (Error)"),
    ],
)
def test_labels_are_refused_with_the_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "train_labels.csv"
    path.write_text(text)
    with pytest.raises(DataError) as refused:
        read_labels(path)
    assert problem in refused.value.problem
    assert "00000" not in refused.value.problem


def test_labels_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_labels(tmp_path / "train_labels.csv")
    assert refused.value.problem == "There is no train_labels.csv beside the folder train"
    assert "`BraTS21ID,MGMT_value`" in refused.value.fix
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="IsADirectoryError"):
        read_labels(tmp_path / "folder.csv")
    (tmp_path / "utf16.csv").write_bytes("BraTS21ID,MGMT_value".encode("utf-16"))
    with pytest.raises(DataError, match="UnicodeDecodeError"):
        read_labels(tmp_path / "utf16.csv")
