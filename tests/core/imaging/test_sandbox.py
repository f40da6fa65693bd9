import gzip
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import uid

from bench.fuzz_readers import fuzz
from core.errors import DataError, DicomError, FLError, NotACaseError
from core.imaging.archives import unpack
from core.imaging.found import look_through
from core.imaging.sandbox import LIMITS, Limits, _forkserver, _understood, look_apart
from core.imaging.thumbnails import thumbnail
from core.imaging.volume import SEQUENCES
from tests.core.imaging.factories_dicom import a_case, a_series, pixels_of

EXPLICIT = struct.Struct("<HH2sHI")  # group, element, VR, reserved, length
SEQUENCE_END, ITEM = b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
# Of a slice written by `a_slice`: after the preamble, the mark and the group's length come the meta group's bytes.
META = 144


def a_file(folder: Path, syntax: str = uid.ExplicitVRLittleEndian) -> Path:
    a_series(folder, slices=2, syntax=syntax, SeriesDescription="t1")
    return folder / "Image-1.dcm"


def body_of(file: Path) -> int:
    """Where the elements of a file begin."""
    return META + struct.unpack_from("<I", file.read_bytes(), META - 4)[0]


def cut(folder: Path) -> None:
    file = a_file(folder)
    file.write_bytes(file.read_bytes()[:250])


def deflated_bomb(folder: Path) -> None:
    """Half a megabyte that inflates to 400."""
    file = a_file(folder, uid.DeflatedExplicitVRLittleEndian)
    content, start = file.read_bytes(), body_of(file)
    plain = zlib.decompress(content[start:], -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(2**20)
    body = packer.compress(plain + EXPLICIT.pack(0x7FE1, 0x1010, b"OB", 0, 400 * 2**20))
    body += b"".join(packer.compress(piece) for _ in range(400)) + packer.flush()
    file.write_bytes(content[:start] + body)
    assert file.stat().st_size < 2**19


def deep(folder: Path) -> None:
    """Functional groups, 1,500 within each other."""
    file = a_file(folder)
    content, start = file.read_bytes(), body_of(file)
    opened = (EXPLICIT.pack(0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF) + ITEM) * 1500
    file.write_bytes(content[:start] + content[start:] + opened + (ITEM_END + SEQUENCE_END) * 1500)


def huge_image(folder: Path) -> None:
    file = a_file(folder)
    file.write_bytes(
        file.read_bytes()
        .replace(struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 8), struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 65535))
        .replace(struct.pack("<HH2sHH", 0x28, 0x11, b"US", 2, 6), struct.pack("<HH2sHH", 0x28, 0x11, b"US", 2, 65535))
    )


def wrong_vr(folder: Path) -> None:
    """Rows as a person's name."""
    file = a_file(folder)
    file.write_bytes(file.read_bytes().replace(b"\x28\0\x10\0US", b"\x28\0\x10\0PN"))


def unknown_vr(folder: Path) -> None:
    file = a_file(folder)
    file.write_bytes(file.read_bytes().replace(b"\x28\0\x10\0US", b"\x28\0\x10\0??"))


def lying_length(folder: Path) -> None:
    """A description of 4 GB in a file of 1 kB."""
    file = a_file(folder)
    content = file.read_bytes()
    at = content.index(b"\x08\0\x3e\x10LO")
    file.write_bytes(content[:at] + EXPLICIT.pack(0x8, 0x103E, b"UT", 0, 0xFFFFFFF0) + content[at + 8 :])


def nifti_header(sides: tuple[int, int, int], datatype: int = 16, bits: int = 32) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i8h", header, 0, 348, *[0] * 8)
    struct.pack_into("<8h", header, 40, 3, *sides, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, datatype, bits)
    struct.pack_into("<8f", header, 76, 1, 0.01, 0.01, 0.01, 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<4s", header, 344, b"n+1")
    return bytes(header)


def huge_nifti(folder: Path) -> None:
    (folder / "t1.nii").write_bytes(nifti_header((30000, 30000, 30000)))


def lying_nifti(folder: Path) -> None:
    """Promises 500 MB and has none."""
    (folder / "t1.nii").write_bytes(nifti_header((512, 512, 512)))


def gz_bomb(folder: Path) -> None:
    """Half a megabyte that unpacks to 512, behind a header that promises eight."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = packer.compress(nifti_header((128, 128, 128)))
    piece = bytes(2**22)
    content += b"".join(packer.compress(piece) for _ in range(128)) + packer.flush()
    (folder / "t1.nii.gz").write_bytes(content)
    assert len(content) < 2**20


def gz_lies(folder: Path) -> None:
    """A whole header, then what is no gzip."""
    (folder / "t1.nii.gz").write_bytes(gzip.compress(nifti_header((64, 64, 64)))[:-20] + b"\xff" * 5000)


def too_many(folder: Path) -> None:
    for number in range(20_001):
        (folder / str(number)).touch()


HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    (cut, "cut short or damaged"),
    (deflated_bomb, "inflates to more"),
    (huge_image, "65535 x 65535 pixels"),
    (wrong_vr, "damaged"),
    (unknown_vr, "damaged"),
    (too_many, "more than 20000 files"),
]


@pytest.mark.parametrize(("make", "problem"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_what_is_made_to_do_harm_is_refused_by_name(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=problem) as refused:
        look_apart(tmp_path)
    assert refused.value.fix
    assert str(tmp_path) not in refused.value.problem


@pytest.mark.parametrize("make", [huge_nifti, lying_nifti, gz_lies])
def test_a_nifti_that_lies_is_found_and_says_what_is_wrong(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    (series,) = look_apart(tmp_path).found.series
    assert series.wrong
    assert series.fix


def test_no_more_of_a_bomb_is_unpacked_than_its_header_promises(tmp_path: Path) -> None:
    gz_bomb(tmp_path)
    looked = look_apart(tmp_path, Limits(memory_mib=300))
    assert looked.found.series[0].slices == 128
    assert len(looked.thumbnails) == 1


@pytest.mark.parametrize("make", [deep, lying_length])
def test_what_a_parser_may_get_lost_in_is_refused_or_passed_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    try:
        assert look_apart(tmp_path).found.series
    except FLError as refused:
        assert refused.fix


def test_a_program_s_preamble_before_a_scan_does_nothing(tmp_path: Path) -> None:
    """An image that is also the beginning of a program is read as an image: nothing runs or keeps its preamble."""
    file = a_file(tmp_path)
    plain = look_apart(tmp_path)
    file.write_bytes(b"MZ" + b"\x90" * 126 + file.read_bytes()[128:])
    looked = look_apart(tmp_path)
    assert [one.key for one in looked.found.series] == [one.key for one in plain.found.series]
    assert looked.thumbnails == plain.thumbnails


def test_a_zip_of_hostile_files_is_refused_like_the_files(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    huge_image(tmp_path / "made")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (tmp_path / "made").iterdir():
            archive.write(file, file.name)
    (tmp_path / "unpacked").mkdir()
    unpack(packed, tmp_path / "unpacked")
    with pytest.raises(DicomError, match="65535"):
        look_apart(tmp_path / "unpacked")


def test_what_a_process_of_its_own_finds_is_what_this_one_finds(tmp_path: Path) -> None:
    named = {"PatientName": "Müller^Jürgen", "SpecificCharacterSet": "ISO_IR 192"}
    a_case(tmp_path, StudyDate="20240101", **named)
    a_series(tmp_path / "broken", skip=[2], SeriesDescription="t1", **named)
    looked = look_apart(tmp_path)
    assert looked.found == look_through(tmp_path)
    assert looked.found.studies[0].patient_name == "Müller^Jürgen"
    able = [one for one in looked.found.series if not one.wrong]
    assert looked.thumbnails == {one.key: thumbnail(one) for one in able}
    assert len(able) == len(SEQUENCES)


def test_a_series_whose_pixels_cannot_be_decoded_says_so_and_the_others_are_drawn(tmp_path: Path) -> None:
    a_case(tmp_path)
    for file in (tmp_path / "T2w").iterdir():
        file.write_bytes(file.read_bytes()[:-20])
    looked = look_apart(tmp_path)
    assert looked.found.missing() == ("T2w",)
    (broken,) = [one for one in looked.found.series if one.wrong]
    assert "cut short or damaged" in broken.wrong
    assert len(looked.thumbnails) == 3


def test_compressed_pixels_are_decoded_without_a_further_process(tmp_path: Path) -> None:
    a_series(tmp_path, pixels=pixels_of(3, 16, 16), syntax=uid.JPEGLosslessSV1)
    assert len(look_apart(tmp_path).thumbnails) == 1


def test_errors_come_back_as_themselves(tmp_path: Path) -> None:
    with pytest.raises(NotACaseError, match="no files"):
        look_apart(tmp_path)
    a_series(tmp_path / "T1w", PatientID="one")
    a_series(tmp_path / "T2w", PatientID="two")
    with pytest.raises(DicomError, match="2 patients") as refused:
        look_apart(tmp_path)
    assert refused.value.fix == "name the folder of one patient"


def test_what_takes_too_long_is_stopped(tmp_path: Path) -> None:
    a_case(tmp_path, slices=40)
    with pytest.raises(DataError, match="took longer than"):
        look_apart(tmp_path, Limits(wall_s=0.01))


def test_what_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    """A volume of 300 MB where 100 are allowed; with 2,000 it is drawn."""
    image = sitk.GetImageFromArray(np.ones((300, 500, 500), np.uint8))
    image.SetSpacing([0.5] * 3)
    sitk.WriteImage(image, str(tmp_path / "t1.nii.gz"), useCompression=True, compressionLevel=1)
    (series,) = look_apart(tmp_path, Limits(memory_mib=100)).found.series
    assert series.wrong
    assert len(look_apart(tmp_path, Limits(memory_mib=2000)).thumbnails) == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_reader_that_dies_is_a_refusal_and_the_next_upload_is_read(tmp_path: Path, number: signal.Signals) -> None:
    a_case(tmp_path, slices=60)
    answers: list[FLError] = []

    def look() -> None:
        try:
            look_apart(tmp_path)
        except DataError as error:
            answers.append(error)

    for _ in range(20):  # on a busy machine the reader may be done before it is killed
        upload = threading.Thread(target=look)
        upload.start()
        while upload.is_alive() and not active_children():
            pass
        for child in active_children():
            with suppress(ProcessLookupError):
                os.kill(child.pid or 0, number)
        upload.join()
        if answers:
            break
    assert answers[0].fix
    assert len(look_apart(tmp_path).thumbnails) == 4


def test_many_threads_may_look_at_once(tmp_path: Path) -> None:
    a_case(tmp_path, slices=3)
    expected = look_apart(tmp_path)
    answers = []
    uploads = [threading.Thread(target=lambda: answers.append(look_apart(tmp_path))) for _ in range(8)]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    assert answers == [expected] * 8


def test_no_process_and_no_file_is_left(tmp_path: Path) -> None:
    a_case(tmp_path, slices=3)
    before = sorted(tmp_path.rglob("*")), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        look_apart(tmp_path)
    assert (sorted(tmp_path.rglob("*")), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert active_children() == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[]", b'{"looked": 3}', b'{"problem": "p", "error": "SystemExit", "fix": ""}', b'{"problem": "p"}'],
)
def test_an_answer_that_is_none_is_a_refusal(answer: bytes) -> None:
    process = _forkserver.Process(target=int)
    process.start()
    process.join()
    with pytest.raises(DataError, match="end the program that reads them"):
        _understood(answer, process, LIMITS)


def test_a_web_process_that_looks_apart_never_loads_torch() -> None:
    code = "import sys, core.imaging.sandbox; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_mutated_uploads_are_read_or_refused_by_name() -> None:
    """A part of what `python -m bench.fuzz_readers` tries; every input follows from the seed."""
    outcomes, findings = fuzz(seed=5, inputs=range(200))
    assert findings == {}
    assert outcomes.total() == 200
    assert {"read", "refused: DicomError", "refused: NotACaseError", "refused when decoded"} <= set(outcomes)
