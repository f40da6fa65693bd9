"""Encrypted files: read back from anywhere, and never with a changed, swapped or missing piece."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from webapp.sealed_files import FRAME, SealedReader, SealedWriter, pieces_of, read_sealed, write_sealed

KEY = bytes(range(32))
SIZES = (0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 2 * FRAME + 7)


def content_of(size: int) -> bytes:
    return bytes(n % 251 for n in range(size % 251)) + bytes(range(251)) * (size // 251)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_read_back_whole_and_in_pieces(tmp_path: Path, size: int) -> None:
    content = content_of(size)
    write_sealed(tmp_path / "f", KEY, content)
    assert read_sealed(tmp_path / "f", KEY) == content
    assert b"".join(pieces_of(tmp_path / "f", KEY)) == content
    with SealedReader(tmp_path / "f", KEY) as file:
        assert file.size == size == file.seek(0, io.SEEK_END)
        assert file.read() == b""
    assert size < 100 or content[:100] not in (tmp_path / "f").read_bytes()


@given(writes=st.lists(st.integers(0, FRAME // 2 + 3), max_size=6))
def test_how_it_was_written_does_not_matter(writes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sealed") / "f"
    with SealedWriter(path, KEY) as file:
        for size in writes:
            file.write(content_of(size))
    assert read_sealed(path, KEY) == b"".join(map(content_of, writes))


@given(start=st.integers(0, 2 * FRAME + 20), length=st.integers(0, FRAME + 9))
def test_it_is_read_from_anywhere(start: int, length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = content_of(2 * FRAME + 7)
    path = tmp_path_factory.getbasetemp() / "anywhere"
    if not path.exists():
        write_sealed(path, KEY, content)
    with io.BufferedReader(SealedReader(path, KEY)) as file:
        file.seek(start)
        assert file.read(length) == content[start : start + length]


def test_a_zip_is_read_through_it(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.dcm", content_of(FRAME + 3))
    write_sealed(tmp_path / "f", KEY, held.getvalue())
    with zipfile.ZipFile(io.BufferedReader(SealedReader(tmp_path / "f", KEY))) as archive:
        assert archive.read("a/b.dcm") == content_of(FRAME + 3)


def damaged(sealed: bytes, kind: str) -> bytes:
    frame, salt = FRAME + 16, 32
    return {
        "a changed byte": sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
        "a changed salt": bytes([sealed[0] ^ 1]) + sealed[1:],
        "the end cut off": sealed[:-1],
        "the last frame cut off": sealed[: salt + 2 * frame],
        "two frames swapped": sealed[:salt]
        + sealed[salt + frame : salt + 2 * frame]
        + sealed[salt : salt + frame]
        + sealed[salt + 2 * frame :],
        "bytes added": sealed + b"x",
        "nothing left": b"",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "a changed byte",
        "a changed salt",
        "the end cut off",
        "the last frame cut off",
        "two frames swapped",
        "bytes added",
        "nothing left",
    ],
)
def test_damage_is_noticed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f"
    write_sealed(path, KEY, content_of(2 * FRAME + 7))
    path.write_bytes(damaged(path.read_bytes(), kind))
    with pytest.raises(DataError, match="changed or cut off"):
        read_sealed(path, KEY)


def test_another_key_and_a_missing_file_say_so(tmp_path: Path) -> None:
    write_sealed(tmp_path / "f", KEY, b"x")
    with pytest.raises(DataError, match="changed or cut off"):
        read_sealed(tmp_path / "f", bytes(32))
    with pytest.raises(DataError, match="is gone"):
        read_sealed(tmp_path / "other", KEY)


def test_the_same_content_under_the_same_key_looks_different(tmp_path: Path) -> None:
    write_sealed(tmp_path / "one", KEY, b"same")
    write_sealed(tmp_path / "two", KEY, b"same")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_mode & 0o077 == 0
