import os
import struct
import zlib
from itertools import permutations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, uid
from scipy.spatial.transform import Rotation

from core.errors import DicomError, FLError, NotACaseError
from core.imaging import dicom, headers, pixels
from core.imaging.dicom import find_series, planes_of, read_volume
from core.imaging.stack import Frame, stack_of
from core.imaging.volume import Volume
from tests.core.imaging.factories_dicom import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    a_series,
    a_slice,
    an_enhanced_series,
    pixels_of,
)

IN_A_FOLDER = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def read(folder: Path) -> Volume:
    (series,) = find_series(folder)
    return read_volume(planes_of(series))[0]


def refusal(folder: Path) -> str:
    with pytest.raises(DicomError) as refused:
        for series in find_series(folder):
            read_volume(planes_of(series))
    assert "canary" not in refused.value.problem + refused.value.fix
    assert refused.value.fix
    return refused.value.problem


def test_a_series_becomes_a_volume_with_the_scanner_s_numbers_and_geometry(tmp_path: Path) -> None:
    stored = a_series(tmp_path, slices=4, spacing=3.0, origin=(-10, 20, 30))
    volume = read(tmp_path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, stored)
    assert volume.spacing == (1.5, 2.0, 3.0)
    assert volume.origin == (-10.0, 20.0, 30.0)
    np.testing.assert_array_equal(volume.direction, np.eye(3))


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL])
def test_simpleitk_s_own_reader_sees_the_same_world(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    a_series(tmp_path, orientation=orientation)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs, ours = reader.Execute(), read(tmp_path).image()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs), sitk.GetArrayFromImage(ours))
    for index in ((0, 0, 0), (5, 7, 4), (2, 3, 1)):
        np.testing.assert_allclose(
            ours.TransformIndexToPhysicalPoint(index), theirs.TransformIndexToPhysicalPoint(index), atol=1e-6
        )


@IN_A_FOLDER
@given(
    turn=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
    mark=st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 5)),
    seed=st.integers(0, 99),
)
def test_a_marked_voxel_lies_where_its_slice_says_in_any_orientation(
    tmp_path_factory: pytest.TempPathFactory,
    turn: tuple[float, ...],
    origin: tuple[float, ...],
    mark: tuple[int, int, int],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("turned")
    axes = Rotation.from_quat(turn).as_matrix()
    orientation = (*axes[:, 0], *axes[:, 1])
    stored = np.ones((4, 8, 6), np.uint16)
    stored[mark] = 1000
    order = np.random.default_rng(seed).permutation(4)
    for name, index in enumerate(order):
        place = np.asarray(origin) + index * 4.0 * axes[:, 2]
        a_slice(folder / f"{name}", stored[index], place, ImageOrientationPatient=orientation)
    volume = read(folder)
    ((k, j, i),) = np.argwhere(volume.voxels == 1000)
    # PS3.3 C.7.6.2.1.1 by hand: rows run along the first cosine, spaced by the second pixel spacing.
    expected = np.asarray(origin) + mark[0] * 4.0 * axes[:, 2] + mark[2] * 1.5 * axes[:, 0] + mark[1] * 2.0 * axes[:, 1]
    world = np.asarray(volume.origin) + volume.direction @ (np.array([i, j, k]) * volume.spacing)
    np.testing.assert_allclose(world, expected, atol=1e-4)
    assert np.linalg.det(volume.direction) == pytest.approx(1.0)


def test_renaming_and_shuffling_files_changes_no_bit(tmp_path: Path) -> None:
    a_series(tmp_path / "a", slices=4, orientation=SAGITTAL, RescaleSlope="0.37")
    expected = read(tmp_path / "a")
    files = sorted((tmp_path / "a").iterdir())
    for number, order in enumerate(list(permutations(files))[1::7]):
        for name, file in enumerate(order):
            target = tmp_path / f"b{number}" / f"{name}.bin"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
        volume = read(tmp_path / f"b{number}")
        assert volume.voxels.tobytes() == expected.voxels.tobytes()
        assert (volume.spacing, volume.origin) == (expected.spacing, expected.origin)
        assert volume.direction.tobytes() == expected.direction.tobytes()


def test_slices_written_from_top_to_bottom_come_out_ascending(tmp_path: Path) -> None:
    stored = a_series(tmp_path, spacing=-3.0)
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.voxels, stored[::-1])
    assert volume.origin == (-10.0, 20.0, 18.0)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
        uid.JPEG2000Lossless,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
    ],
    ids=lambda syntax: uid.UID(syntax).keyword,
)
@pytest.mark.parametrize("kind", ["uint16", "int16"])
def test_every_lossless_transfer_syntax_gives_the_same_numbers(tmp_path: Path, syntax: str, kind: str) -> None:
    stored = pixels_of(3, 16, 12).astype(kind) - (2000 if kind == "int16" else 0)
    a_series(tmp_path, pixels=stored, syntax=syntax)
    (series,) = find_series(tmp_path)
    assert series.header.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_volume(planes_of(series))[0].voxels, stored)


def test_lossy_jpeg_is_read_to_within_its_loss(tmp_path: Path) -> None:
    stored = np.add.outer(np.arange(3) * 20, np.add.outer(np.arange(16) * 4, np.arange(16) * 3)).astype(np.uint8)
    a_series(tmp_path, pixels=stored, syntax=uid.JPEGBaseline8Bit)
    assert np.abs(read(tmp_path).voxels - stored).max() <= 4


def test_slope_and_intercept_count_slice_by_slice(tmp_path: Path) -> None:
    stored = pixels_of(3)
    for index, (slope, intercept) in enumerate([(1, 0), (2.5, -3), (0.5, 10)]):
        a_slice(tmp_path / f"{index}", stored[index], (0, 0, index), RescaleSlope=slope, RescaleIntercept=intercept)
    expected = np.stack([stored[0], stored[1] * 2.5 - 3, stored[2] * 0.5 + 10])
    np.testing.assert_array_equal(read(tmp_path).voxels, expected.astype(np.float32))


def test_monochrome1_is_turned_round_within_its_stored_bits(tmp_path: Path) -> None:
    stored = pixels_of(3)
    a_series(tmp_path / "u", pixels=stored, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(tmp_path / "u").voxels, 4095 - stored.astype(int))
    a_series(tmp_path / "s", pixels=stored.astype(np.int16), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(tmp_path / "s").voxels, -1 - stored.astype(int))


def test_padding_becomes_background(tmp_path: Path) -> None:
    stored = pixels_of(3).astype(np.int16)
    stored[:, 0, :] = -2000
    a_series(tmp_path / "one", pixels=stored, PixelPaddingValue=-2000)
    expected = stored.copy()
    expected[:, 0, :] = 0
    np.testing.assert_array_equal(read(tmp_path / "one").voxels, expected)
    stored[:, 1, :] = -1990
    a_series(tmp_path / "range", pixels=stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    expected[:, 1, :] = 0
    np.testing.assert_array_equal(read(tmp_path / "range").voxels, expected)
    a_series(tmp_path / "low", pixels=stored, PixelPaddingValue=-2000)
    expected[:, :2, :] = -1990
    np.testing.assert_array_equal(read(tmp_path / "low").voxels, expected)


def test_files_without_suffix_or_preamble_and_in_any_depth_are_found(tmp_path: Path) -> None:
    stored = a_series(tmp_path / "PA1" / "ST1" / "SE1", slices=3)
    for number, file in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        target = tmp_path / "PA1" / f"D{number}" / "IM"
        target.parent.mkdir()
        target.write_bytes(file.read_bytes()[132:] if number else file.read_bytes())
        file.unlink()
    (tmp_path / "README.txt").write_text("not an image")
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "empty").write_bytes(b"")
    np.testing.assert_array_equal(read(tmp_path).voxels, stored)


def test_a_file_of_bare_elements_without_meta_information_is_read(tmp_path: Path) -> None:
    stored = a_series(tmp_path, slices=3, syntax=uid.ImplicitVRLittleEndian)
    for file in tmp_path.iterdir():
        meta_length = dcmread(file).file_meta.FileMetaInformationGroupLength
        file.write_bytes(file.read_bytes()[132 + 12 + meta_length :])
    np.testing.assert_array_equal(read(tmp_path).voxels, stored)


def test_an_enhanced_file_is_read_from_its_functional_groups(tmp_path: Path) -> None:
    stored = pixels_of(5)
    an_enhanced_series(tmp_path / "IM1", stored, order=[3, 1, 0, 4, 2])
    volume = read(tmp_path)
    expected = stored * np.arange(1, 6)[:, None, None] - np.arange(5)[:, None, None]
    np.testing.assert_array_equal(volume.voxels, expected)
    assert (volume.spacing, volume.origin) == ((1.5, 2.0, 3.0), (-10.0, 20.0, 30.0))


def test_an_enhanced_file_without_geometry_is_refused_not_guessed(tmp_path: Path) -> None:
    an_enhanced_series(tmp_path / "a" / "IM1", pixels_of(5), range(5), PerFrameFunctionalGroupsSequence=None)
    assert refusal(tmp_path / "a") == "A multi-frame file does not say where its images lie"
    an_enhanced_series(tmp_path / "b" / "IM1", pixels_of(5), range(5), SharedFunctionalGroupsSequence=None)
    assert refusal(tmp_path / "b") == "A slice does not say its orientation (ImageOrientationPatient)"
    an_enhanced_series(tmp_path / "c" / "IM1", pixels_of(5), range(5), NumberOfFrames=4)
    assert refusal(tmp_path / "c") == "A file announces 4 images and describes 5"


def test_series_matrices_echoes_and_phases_are_kept_apart(tmp_path: Path) -> None:
    for name, attributes in {
        "first echo": {"EchoTime": 12.0},
        "second echo": {"EchoTime": 90.0},
        "phase": {"EchoTime": 12.0, "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        "wide": {"EchoTime": 12.0, "pixels": pixels_of(5, 8, 10)},
        "other series": {"EchoTime": 12.0, "SeriesInstanceUID": "1.2.9"},
    }.items():
        a_series(tmp_path / name, **{"SeriesInstanceUID": "1.2.4", **attributes})
    found = find_series(tmp_path)
    assert sorted(series.folder[0] for series in found) == [
        "first echo",
        "other series",
        "phase",
        "second echo",
        "wide",
    ]
    assert {series.slices for series in found} == {5}


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        (["ORIGINAL", "PRIMARY", "M"], "original"),
        (["DERIVED", "SECONDARY", "MPR"], "derived"),
        (["DERIVED", "PRIMARY", "PROJECTION IMAGE"], "projection"),
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizer"),
        (["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "mosaic"),
        (None, "original"),
    ],
)
def test_a_series_says_what_it_was_made_for(tmp_path: Path, image_type: list[str] | None, kind: str) -> None:
    a_series(tmp_path, slices=2, ImageType=image_type)
    (series,) = find_series(tmp_path)
    assert series.kind == kind


def test_a_slice_sent_twice_is_dropped_and_noted(tmp_path: Path) -> None:
    stored = a_series(tmp_path, slices=4)
    for name in ("Image-2", "Image-3"):
        (tmp_path / f"{name} (copy).dcm").write_bytes((tmp_path / f"{name}.dcm").read_bytes())
    (series,) = find_series(tmp_path)
    volume, notes = read_volume(planes_of(series))
    np.testing.assert_array_equal(volume.voxels, stored)
    assert notes == ("2 slices were there twice; the copies are equal and were left out",)


def test_a_series_sent_twice_whole_is_no_4d_series(tmp_path: Path) -> None:
    stored = a_series(tmp_path / "one", SeriesInstanceUID="1.2.4")
    a_series(tmp_path / "two", SeriesInstanceUID="1.2.4")
    np.testing.assert_array_equal(read(tmp_path).voxels, stored)


def test_two_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    a_series(tmp_path, slices=4)
    a_slice(
        tmp_path / "other.dcm",
        pixels_of(1, seed=9)[0],
        (-10, 20, 33),
        SeriesInstanceUID=uid.generate_uid(entropy_srcs=[str(tmp_path)]),
    )
    assert refusal(tmp_path) == "1 slices lie where another slice already is, with different pixels"


def test_a_4d_series_is_refused(tmp_path: Path) -> None:
    for time in range(3):
        a_series(tmp_path / f"{time}", pixels=pixels_of(4, seed=time), SeriesInstanceUID="1.2.4")
    assert refusal(tmp_path) == "The series holds 3 volumes in one (4D: over time, echoes or weightings)"


def test_a_gap_is_refused_with_its_length(tmp_path: Path) -> None:
    a_series(tmp_path, slices=8, spacing=5.0, skip=[3])
    assert refusal(tmp_path) == (
        "The slices are unevenly spaced: a step of 10.0 mm among steps of 5.0 mm, at 1 of 6 places"
    )


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    for index in range(6):
        a_slice(tmp_path / f"{index}", pixels_of(6)[index], (0, 0, round(index * 1.2345, 1)))
    assert read(tmp_path).spacing[2] == pytest.approx(6.2 / 5)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"slices": 1}, "The series is a single slice, which is no volume"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "The series is a Siemens mosaic"),
        ({"PixelSpacing": None}, "A slice does not say its pixel spacing (PixelSpacing)"),
        ({"PixelSpacing": [0, 1]}, "The pixel spacing is zero or negative"),
        ({"PixelSpacing": [-1, 1]}, "The pixel spacing is zero or negative"),
        ({"orientation": (1, 0, 0, 0.1, 1, 0)}, "The slices' direction cosines are not orthonormal"),
        ({"orientation": (0, 0, 0, 0, 0, 0)}, None),
        ({"RescaleSlope": 0}, "A slice's rescale slope is 0 or its intercept is no number"),
        ({"PixelData": None}, "A slice has no pixels"),
        ({"PixelData": b"\0\0"}, None),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "The series is in color, which no MR sequence is"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}, None),
        ({"BitsAllocated": 1, "BitsStored": 1}, None),
        ({"BitsAllocated": None}, None),
        ({"Rows": 0}, None),
    ],
)
def test_what_cannot_be_a_volume_is_refused(tmp_path: Path, attributes: dict[str, Any], problem: str | None) -> None:
    a_series(tmp_path, **attributes)
    said = refusal(tmp_path)
    assert problem is None or said == problem


@pytest.mark.parametrize(
    ("absent", "called"), [("ImagePositionPatient", "position"), ("ImageOrientationPatient", "orientation")]
)
def test_a_slice_without_its_place_is_refused(tmp_path: Path, absent: str, called: str) -> None:
    for index, plane in enumerate(pixels_of(3)):
        a_slice(tmp_path / f"{index}", plane, (0, 0, index), **{absent: None})
    assert refusal(tmp_path) == f"A slice does not say its {called} ({absent})"


def test_two_orientations_are_refused_with_the_fix(tmp_path: Path) -> None:
    a_series(tmp_path / "a", SeriesInstanceUID="1.2.4")
    a_series(tmp_path / "b", orientation=SAGITTAL, SeriesInstanceUID="1.2.4")
    assert refusal(tmp_path) == "The series has two orientations"


def test_two_pixel_spacings_are_refused(tmp_path: Path) -> None:
    a_series(tmp_path / "a", SeriesInstanceUID="1.2.4")
    a_series(tmp_path / "b", origin=(-10, 20, 45), SeriesInstanceUID="1.2.4", PixelSpacing=[1, 1])
    assert refusal(tmp_path) == "The series has two pixel spacings"


def test_a_sheared_stack_is_refused(tmp_path: Path) -> None:
    for index in range(4):
        a_slice(tmp_path / f"{index}", pixels_of(4)[index], (0, 2.0 * index, 3.0 * index))
    assert refusal(tmp_path) == "The slices are shifted sideways by 6.0 mm against each other"


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLossless]
)
@pytest.mark.parametrize("left", [0.1, 0.5, 0.8, 0.97])
def test_a_file_cut_short_anywhere_is_refused(
    tmp_path: Path, syntax: str, left: float, capfd: pytest.CaptureFixture[str]
) -> None:
    a_series(tmp_path, pixels=pixels_of(4, 32, 32), syntax=syntax)
    last = tmp_path / "Image-4.dcm"
    last.write_bytes(last.read_bytes()[: int(left * last.stat().st_size)])
    said = refusal(tmp_path)
    assert "cut short" in said or "damaged" in said or "no pixels" in said or "does not say" in said
    # Standard output belongs to the command's own answer.
    assert capfd.readouterr().out == ""


def test_an_announced_size_beyond_the_limit_is_refused_before_decoding(tmp_path: Path) -> None:
    a_series(tmp_path / "a", slices=2, Rows=60000, Columns=60000)
    assert refusal(tmp_path / "a").startswith("The header announces 1 images of 60000 x 60000 pixels")
    an_enhanced_series(tmp_path / "b" / "IM1", pixels_of(2), range(2), NumberOfFrames=2_000_000_000)
    assert refusal(tmp_path / "b").startswith("The header announces 2000000000 images of 8 x 6 pixels")


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless])
def test_a_compressed_image_larger_than_its_header_is_refused_before_decoding(tmp_path: Path, syntax: str) -> None:
    a_series(tmp_path, pixels=pixels_of(2, 64, 48), syntax=syntax)
    for file in tmp_path.iterdir():
        image = dcmread(file)
        image.Rows, image.Columns = 32, 24
        image.save_as(file)
    assert refusal(tmp_path) == "A compressed image of 64 x 48 pixels lies in a slice of 32 x 24"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


FRAME = segment(0xC3, b"\x10\x40\x00\x30\x00\x01\x01\x11\x00")
# One code of one bit, one of two.
TABLES = segment(0xC4, b"\x00\x01\x01" + bytes(14) + b"\x05\x06")
SCAN = segment(0xDA, b"\x01\x01\x00\x01\x00\x00")


def test_a_start_of_frame_hidden_in_a_comment_does_not_count() -> None:
    comment = segment(0xFE, segment(0xC3, b"\x10\x00\x08\x00\x06\x01\x01\x11\x00"))
    assert pixels._jpeg_size(b"\xff\xd8" + comment + FRAME + TABLES + SCAN) == (0x4000, 0x3000)


@pytest.mark.parametrize(
    "segments",
    [
        TABLES + SCAN,
        FRAME + FRAME + SCAN,
        FRAME,
        FRAME + b"\x2c" + TABLES[1:] + SCAN,
        FRAME + TABLES[:-1] + SCAN,
        FRAME + segment(0xC4, b"\x00\x02\x01" + bytes(14) + b"\x05\x06\x07") + SCAN,
        FRAME + segment(0xB7, b"") + SCAN,
        segment(0xC3, b"\x10\x40\x00\x30\x00\x03\x01\x11\x00") + SCAN,
        b"",
    ],
)
def test_a_jpeg_with_a_damaged_segment_never_reaches_the_decoder(segments: bytes) -> None:
    with pytest.raises(DicomError, match="damaged"):
        pixels._jpeg_size(b"\xff\xd8" + segments)


def test_a_decoder_that_ends_its_process_refuses_one_file_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = a_series(tmp_path, pixels=pixels_of(2, 16, 16), syntax=uid.JPEGLosslessSV1)
    with monkeypatch.context() as patched:
        patched.setattr(pixels, "_decode", _die)
        assert "(BrokenProcessPool)" in refusal(tmp_path)
    np.testing.assert_array_equal(read(tmp_path).voxels, stored)


def _die(_path: Path, _plugin: str) -> None:
    os.abort()


def test_a_process_that_works_for_another_ends_although_it_had_a_decoder_of_its_own(tmp_path: Path) -> None:
    a_series(tmp_path, pixels=pixels_of(1, 16, 16), syntax=uid.JPEGLosslessSV1)
    worker = get_context("forkserver").Process(target=pixels.stored_pixels, args=(tmp_path / "Image-1.dcm",))
    worker.start()
    worker.join(60)
    try:
        assert worker.exitcode == 0
    finally:
        worker.kill()


def test_a_deflated_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_INFLATED_BYTES", 2**22)
    a_series(tmp_path, slices=2, syntax=uid.DeflatedExplicitVRLittleEndian)
    file = tmp_path / "Image-1.dcm"
    start = 132 + 12 + dcmread(file).file_meta.FileMetaInformationGroupLength
    plain = zlib.decompress(file.read_bytes()[start:], -zlib.MAX_WBITS)
    # A private element of 8 MB before the pixels.
    padded = struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, 2**23) + bytes(2**23)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    file.write_bytes(file.read_bytes()[:start] + packer.compress(padded + plain) + packer.flush())
    assert file.stat().st_size < 2**15
    assert refusal(tmp_path) == "A deflated file inflates to more than 4194304 bytes"


def test_an_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    a_series(tmp_path, slices=2)
    for file in tmp_path.iterdir():
        image = dcmread(file)
        image.file_meta.TransferSyntaxUID = uid.MPEG2MPML
        image["PixelData"].is_undefined_length = False
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    assert refusal(tmp_path) == "The pixels are encoded in a transfer syntax that is not read here"


def test_a_report_or_a_directory_is_no_image_and_no_error(tmp_path: Path) -> None:
    stored = a_series(tmp_path, slices=2)
    absent = dict.fromkeys(["Rows", "Columns", "PixelData"])
    a_slice(tmp_path / "SR.dcm", stored[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", **absent)
    np.testing.assert_array_equal(read(tmp_path).voxels, stored)


def test_an_image_without_a_size_is_damaged(tmp_path: Path) -> None:
    a_series(tmp_path, slices=2)
    a_slice(tmp_path / "x.dcm", pixels_of(1)[0], Rows=None, Columns=None)
    assert refusal(tmp_path) == "A DICOM file is cut short or damaged"


def test_a_whole_disk_is_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "MAX_FILES", 3)
    a_series(tmp_path, slices=5)
    with pytest.raises(NotACaseError, match="more than 3 files"):
        find_series(tmp_path)
    with pytest.raises(NotACaseError, match="no such folder"):
        find_series(tmp_path / "absent")


def test_rounding_in_the_cosines_does_not_make_the_order_of_frames_matter() -> None:
    frames = [Frame(Path(f"{n}"), 0, (0, 0, 3.0 * n), (1, 1e-4 * n, 0, -1e-4 * n, 1, 0), (1, 1)) for n in range(4)]
    directions = {stack_of(order).direction.tobytes() for order in permutations(frames)}
    assert len(directions) == 1


def test_no_slices_are_no_volume() -> None:
    with pytest.raises(DicomError, match="no slices"):
        stack_of([])


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 11))
def test_geometry_that_is_no_number_is_refused(values: tuple[float, ...]) -> None:
    frames = [
        Frame(Path("a"), 0, values[:3], values[3:9], values[9:]),  # type: ignore[arg-type]
        Frame(Path("b"), 0, (0, 0, 5), AXIAL, (1, 1)),  # type: ignore[arg-type]
    ]
    try:
        stack = stack_of(frames)
    except DicomError:
        return
    assert np.isfinite(stack.direction).all()
    assert np.isfinite(stack.spacing).all()
    assert min(stack.spacing) > 0


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), min_size=1))
def test_any_damage_is_either_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    a_series(folder, slices=2)
    content = bytearray((folder / "Image-1.dcm").read_bytes())
    for place, patch in changes:
        at = int(place * (len(content) - len(patch)))
        content[at : at + len(patch)] = patch
    (folder / "Image-1.dcm").write_bytes(content)
    try:
        for series in find_series(folder):
            read_volume(planes_of(series))
    except FLError as error:
        assert error.fix
