import io
import random
import struct
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from core.errors import NotACaseError
from core.imaging import archives
from core.imaging.archives import MAX_DEPTH, unpack


def a_zip(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as opened:
        for name, body in entries:
            opened.writestr(name, body)
    return content


def refusal(archive: io.BytesIO, folder: Path) -> str:
    with pytest.raises(NotACaseError) as refused:
        unpack(archive, folder)
    assert refused.value.fix
    assert str(folder) not in refused.value.problem
    return refused.value.problem


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Decrypting(io.RawIOBase):
    """A seekable file of AES in counter mode, decrypted where it is read."""

    def __init__(self, ciphertext: bytes, key: bytes) -> None:
        self._held, self._key, self._at = ciphertext, key, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._held))[whence]
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        first = self._at // 16
        piece = self._held[first * 16 : self._at + len(buffer)]
        plain = Cipher(algorithms.AES(self._key), modes.CTR(first.to_bytes(16))).decryptor().update(piece)
        plain = plain[self._at - first * 16 :]
        buffer[: len(plain)] = plain
        self._at += len(plain)
        return len(plain)


def test_a_zip_is_unpacked_from_a_file_that_is_decrypted_as_it_is_read(tmp_path: Path) -> None:
    bodies = {f"T1w/{n}": random.Random(n).randbytes(5000 + n) for n in range(5)}
    key = bytes(range(32))
    archive = a_zip(*bodies.items()).getvalue()
    ciphertext = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(archive)
    unpack(io.BufferedReader(Decrypting(ciphertext, key)), tmp_path)
    assert files_in(tmp_path) == bodies


def test_a_zip_within_a_zip_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    for name, inner in (("scan.dcm", a_zip(("a", b"1"))), ("scans", a_zip())):
        assert refusal(a_zip((name, inner.getvalue())), tmp_path) == "The archive holds another archive"
    for number, harmless in enumerate((b"PK", b"", b"some PK\x03\x04")):
        unpack(a_zip((f"{number}/notes.zip", harmless)), tmp_path)


def test_a_bomb_is_cut_off_by_its_ratio_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 2**20)
    bomb = a_zip(("a", bytes(5 * 2**20)))
    assert len(bomb.getvalue()) < 10_000
    assert refusal(bomb, tmp_path) == "The archive unpacks to more than 1 MiB"
    assert files_in(tmp_path) == {}
    # The same, of many files of which none is large.
    assert "unpacks to" in refusal(a_zip(*((str(n), bytes(2**18)) for n in range(5))), tmp_path)
    unpack(a_zip(("small", bytes(2**20))), tmp_path)


def test_a_size_that_lies_is_found_out_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 2**20)
    body = a_zip(("a", bytes(3 * 2**20))).getvalue()
    lying = body.replace(struct.pack("<L", 3 * 2**20), struct.pack("<L", 100))
    assert lying != body
    refusal(io.BytesIO(lying), tmp_path)
    assert sum(len(content) for content in files_in(tmp_path).values()) <= 2 * 2**20


@pytest.mark.parametrize(
    ("first", "second"), [("T1w/a.dcm", "t1w/A.DCM"), ("a/b", "a//b"), ("a/b", "a\\b"), ("\u00e9", "e\u0301")]
)
def test_names_that_some_disk_takes_for_one_are_refused(tmp_path: Path, first: str, second: str) -> None:
    assert refusal(a_zip((first, b"1"), (second, b"2")), tmp_path) == "The archive holds one name twice"
    assert files_in(tmp_path) == {}


def test_a_file_where_another_entry_needs_a_folder_is_refused(tmp_path: Path) -> None:
    refusal(a_zip(("a", b"1"), ("a/b", b"2")), tmp_path)


def test_folders_within_folders_have_an_end(tmp_path: Path) -> None:
    unpack(a_zip(("a/" * (MAX_DEPTH - 1) + "b", b"1")), tmp_path / "able")
    assert "too many folders" in refusal(a_zip(("a/" * MAX_DEPTH + "b", b"1")), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_decoders_that_ask_for_memory_by_themselves_are_not_used(tmp_path: Path, method: int) -> None:
    assert "in a way that is not read" in refusal(a_zip(("a", b"1"), method=method), tmp_path)


def test_more_files_than_a_case_has_are_refused_before_one_is_written(tmp_path: Path) -> None:
    archive = a_zip(*((f"{n}", b"") for n in range(archives.MAX_MEMBERS + 1)), method=zipfile.ZIP_STORED)
    assert refusal(archive, tmp_path) == "The archive holds more than 20000 files"
    assert files_in(tmp_path) == {}


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello", b"PK\x05\x06" + bytes(17), a_zip(("a", b"b")).getvalue()[:-5]):
        assert "damaged or no zip" in refusal(io.BytesIO(content), tmp_path)


def test_an_archive_of_folders_only_is_empty(tmp_path: Path) -> None:
    unpack(a_zip(("a/", b""), ("b/", b"")), tmp_path)
    assert files_in(tmp_path) == {}
