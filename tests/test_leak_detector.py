"""The detector that test_no_patient_data_leaves.py trusts: it finds what is planted, however it is written."""

import base64
import gzip
import hashlib
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.factories_leaks import Detector

NAME = "Großkreuzhuber^Änneliese"
PIXELS = np.random.default_rng(5).integers(200, 1500, 48)
ROW = np.random.default_rng(6).normal(size=16)
DIGEST = hashlib.sha256(b"a file of the patient's").digest()
DETECTOR = Detector({"name": NAME}, {"digest": DIGEST}, {"pixels": PIXELS}, {"row": ROW})
NOISE = np.random.default_rng(7).normal(size=5000).astype("<f4").tobytes()

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda name: name.encode(),
    "utf-16, little endian": lambda name: name.encode("utf-16-le"),
    "utf-16, big endian": lambda name: name.encode("utf-16-be"),
    "latin-1": lambda name: name.encode("latin-1"),
    "json": lambda name: json.dumps({"name": name}).encode(),
    "hex in capitals": lambda name: name.encode().hex().upper().encode(),
    "base64": lambda name: base64.b64encode(name.encode()),
    "base64, one byte on": lambda name: base64.b64encode(b"1" + name.encode() + b"and more"),
    "base64, two bytes on": lambda name: base64.b64encode(b"12" + name.encode() + b"and more"),
    "urlsafe base64 of latin-1": lambda name: base64.urlsafe_b64encode(name.encode("latin-1")),
    "md5": lambda name: hashlib.md5(name.encode()).hexdigest().encode(),
    "sha1": lambda name: hashlib.sha1(name.encode()).hexdigest().encode(),
    "sha256": lambda name: hashlib.sha256(name.encode()).hexdigest().encode(),
    "sha256 as bytes": lambda name: hashlib.sha256(name.encode("latin-1")).digest(),
    "base64 of sha256": lambda name: base64.b64encode(hashlib.sha256(name.encode()).digest()),
    "gzip": lambda name: gzip.compress(name.encode()),
    "zlib in gzip": lambda name: gzip.compress(b"before" + zlib.compress(name.encode())),
    "a file in a zip": lambda name: zipped("a.txt", name),
    "a file's name in a zip": lambda name: zipped(name, "nothing"),
}  # fmt: skip


def zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", "first " * 100)
        archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("case", [str, str.upper, str.lower], ids=["as it is", "upper case", "lower case"])
@pytest.mark.parametrize("how", WRITTEN)
def test_a_name_is_found_however_it_is_written(how: str, case: Callable[[str], str]) -> None:
    for before in (b"", b"x", NOISE[:4099]):
        found = DETECTOR.found_in(before + WRITTEN[how](case(NAME)) + NOISE)
        assert {name.split(" (")[0] for name in found} == {"name"}


def test_nothing_is_found_where_nothing_is() -> None:
    numbers = json.dumps(np.random.default_rng(8).normal(size=2000).tolist()).encode()
    assert not DETECTOR.found_in(NOISE + numbers + gzip.compress(numbers) + b"Huber^Anneliese")


@pytest.mark.parametrize("written", [DIGEST, DIGEST.hex().encode(), base64.b64encode(DIGEST)])
def test_the_hash_of_a_file_is_found(written: bytes) -> None:
    assert DETECTOR.found_in(b"key: " + written)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i2", "<i4", "<f4", ">f4", "<f8"])
def test_stored_pixels_are_found_at_any_offset(kind: str) -> None:
    for before in (b"", b"123", NOISE):
        assert DETECTOR.found_in(before + PIXELS.astype(kind).tobytes() + NOISE)


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@pytest.mark.parametrize(("factor", "summand"), [(1, 0), (0.0021, -0.7), (-3.5, 12), (1e-3, 0)])
@pytest.mark.parametrize("row", [PIXELS, ROW], ids=["pixels", "row of an image"])
def test_normalized_pixels_are_found_in_an_array(row: np.ndarray, factor: float, summand: float, kind: str) -> None:
    changed = (row * factor + summand).astype(kind).tobytes()
    assert DETECTOR.found_in(NOISE + changed + NOISE)
    assert DETECTOR.found_in(b"123" + changed)


def test_normalized_pixels_are_found_among_written_numbers() -> None:
    assert DETECTOR.found_in(json.dumps({"histogram": (PIXELS / 1500).tolist()}).encode())


def test_a_name_is_found_in_a_log_in_a_files_name_and_in_a_database(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"2026-01-01 WARNING cannot read /data/{NAME.upper()}/x.dcm\n")
    (tmp_path / NAME).write_bytes(b"")
    assert all(DETECTOR.found_in_file(path) for path in (tmp_path / "a.log", tmp_path / NAME))
    # Long enough to be cut by a page; and one that is only in the write-ahead log, whose writer was killed.
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute("CREATE TABLE causes (text TEXT)")
        database.executemany("INSERT INTO causes VALUES (?)", [(" " * 700 + "-" * n + NAME,) for n in range(40)])
        database.commit()
    assert DETECTOR.found_in_file(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "b.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE causes (text TEXT)")
        database.execute("INSERT INTO causes VALUES (?)", (NAME,))
        database.commit()
        assert DETECTOR.found_in_file(tmp_path / "b.db-wal")
        assert DETECTOR.found_in_file(tmp_path / "b.db")
