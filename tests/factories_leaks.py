"""A detector of identifiers and pixels in bytes: in every spelling, inside whatever is compressed, in any array."""

import base64
import hashlib
import json
import re
import shutil
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1")
HASHES = ("md5", "sha1", "sha256", "sha512")
PIXELS = ("<u2", ">u2", "<i4", "<f4", ">f4", "<f8")
# Nothing shorter is looked for: by chance it would be found.
HEAD_BYTES = 8
# Values of a run that are compared, and how closely.
RUN, SAME = 10, 1e-3

_STREAMS = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04", re.DOTALL)
_ZSTD = b"\x28\xb5\x2f\xfd"
_NUMBERS = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_NESTED = 3
_MOST_PACKED, _MOST_UNPACKED = 2**24, 2**26
_SQLITE = b"SQLite format 3\0"


def spellings(word: str) -> dict[str, bytes]:
    """Every way in which a word is looked for, by name; lower case in ASCII, as what it is looked for in."""
    found: dict[str, bytes] = {}
    for case, text in (("", word), (" in capitals", word.upper()), (" in small letters", word.lower())):
        found[f"json{case}"] = json.dumps(text)[1:-1].encode()
        found[f"in a URL{case}"] = quote(text).encode()
        for encoding in ENCODINGS:
            raw = text.encode(encoding, "replace")
            found[f"{encoding}{case}"] = raw
            found |= {f"{name} of {encoding}{case}": value for name, value in _as_text(raw).items()}
            if encoding in ("utf-8", "latin-1"):
                for name in HASHES:
                    found |= {f"{how} of {encoding}{case}": value for how, value in _hashed(name, raw).items()}
    return {name: value.lower() for name, value in found.items()}


def digest_spellings(digest: bytes) -> dict[str, bytes]:
    """The ways to write a hash."""
    return {name: value.lower() for name, value in {"bytes": digest, **_as_text(digest)}.items()}


def _hashed(name: str, raw: bytes) -> dict[str, bytes]:
    digest = hashlib.new(name, raw, usedforsecurity=False).digest()
    return {name: digest} | {f"{how} of {name}": value for how, value in _as_text(digest).items()}


def _as_text(raw: bytes) -> dict[str, bytes]:
    """Hexadecimal, and base64 wherever the bytes stand in a longer text: as far as their neighbours do not matter."""
    written = {"hex": raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + raw)[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        written |= {f"base64+{shift}": text, f"urlsafe base64+{shift}": text.translate(bytes.maketrans(b"+/", b"-_"))}
    return written


class Detector:
    """Finds what it was told to look for.

    Args:
        words: by name, what is looked for in every spelling.
        digests: by name, hashes by which who has a patient's file would recognise it.
        pixels: by name, whole numbers as they were stored: looked for as bytes, and as runs.
        values: by name, rows of an image: looked for as runs, whatever was added to them and by what multiplied.
    """

    def __init__(
        self,
        words: Mapping[str, str],
        digests: Mapping[str, bytes] | None = None,
        pixels: Mapping[str, NDArray[Any]] | None = None,
        values: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self._needles: dict[bytes, dict[bytes, str]] = defaultdict(dict)
        for name, word in words.items():
            for how, needle in spellings(word).items():
                self._look_for(needle, f"{name} ({how})")
        for name, digest in (digests or {}).items():
            for how, needle in digest_spellings(digest).items():
                self._look_for(needle, f"{name} ({how})")
        for name, stored in (pixels or {}).items():
            for kind in PIXELS:
                self._look_for(stored.astype(kind).tobytes().lower(), f"{name} ({kind})")
        self._runs = {}
        for name, row in {**(pixels or {}), **(values or {})}.items():
            run = telling_run(row)
            assert run is not None, f"{name} has too little contrast to be recognised"
            self._runs[name] = run
        self._ratios = {name: np.diff(run[:3]) / np.diff(run[1:4]) for name, run in self._runs.items()}
        self._heads = np.sort(np.frombuffer(b"".join(self._needles), "<u8"))
        self._beginnings = np.zeros(2**16, bool)
        self._beginnings[self._heads & 0xFFFF] = True

    def _look_for(self, needle: bytes, name: str) -> None:
        assert len(needle) >= HEAD_BYTES, f"{name} is too short to be told from chance"
        self._needles[needle[:HEAD_BYTES]].setdefault(needle, name)

    def found_in(self, data: bytes, *, runs: bool = True) -> set[str]:
        """The names of all that stands in these bytes, or in what is compressed in them."""
        found: set[str] = set()
        for piece in unpacked(data):
            found |= self._needles_in(piece.lower())
            if piece.startswith(_ZSTD):
                found.add("something in zstd, into which nobody here can look")
            if runs:
                found |= self.runs_in(piece)
        return found

    def found_in_file(self, path: Path) -> set[str]:
        """The same of a file, with its name; of a database also table by table, where a page does not cut a text."""
        data = path.read_bytes()
        is_database = data.startswith(_SQLITE) or path.name.endswith(("-wal", "-shm"))
        found = self.found_in(data, runs=not is_database) | self.found_in(path.name.encode(), runs=False)
        if data.startswith(_SQLITE):
            for table in tables_of(path):
                found |= self.found_in(table)
        return found

    def _needles_in(self, data: bytes) -> set[str]:
        found = set()
        for offset in range(min(HEAD_BYTES, max(0, len(data) - HEAD_BYTES + 1))):
            windows = np.frombuffer(data, "<u8", (len(data) - offset) // HEAD_BYTES, offset)
            (likely,) = np.nonzero(self._beginnings[windows & 0xFFFF])
            nearest = self._heads[np.searchsorted(self._heads[:-1], windows[likely])]
            for place in likely[nearest == windows[likely]]:
                start = offset + HEAD_BYTES * int(place)
                found |= {
                    name
                    for needle, name in self._needles[data[start : start + HEAD_BYTES]].items()
                    if data.startswith(needle, start)
                }
        return found

    def runs_in(self, data: bytes) -> set[str]:
        """The rows that stand in these bytes as floats at any offset, as 16-bit numbers, or as written numbers."""
        found = set()
        for kind in ("<f4", "<f8", "<i2"):
            size = np.dtype(kind).itemsize
            for offset in range(size):
                found |= self._runs_among(np.frombuffer(data[offset : len(data) - (len(data) - offset) % size], kind))
        return found | self._runs_among(np.array(_NUMBERS.findall(data), dtype=np.float64))

    def _runs_among(self, values: NDArray[Any]) -> set[str]:
        """The rows that equal a run of these values up to a factor and a summand.

        Such a run has the same ratios of its first three steps; where it has, all of it is compared.
        """
        found: set[str] = set()
        if len(values) < RUN:
            return found
        with np.errstate(all="ignore"):  # most of what is looked at are no numbers
            values = values.astype(np.float64)
            steps = np.diff(values)
            ratios = (steps[:-1] / steps[1:])[: len(values) - RUN + 2]
            for name, row in self._runs.items():
                first, second = self._ratios[name]
                (starts,) = np.nonzero(np.abs(ratios[:-1] - first) < SAME * abs(first))
                starts = starts[np.abs(ratios[starts + 1] - second) < SAME * abs(second)]
                if any(_is_affine(values[start : start + RUN], row) for start in starts):
                    found.add(f"{name} (up to a factor and a summand)")
        return found


def telling_run(row: NDArray[Any]) -> NDArray[np.float64] | None:
    """The first run of a row whose first steps are steep enough to tell it by; None where there is none."""
    row = row.astype(np.float64)
    runs = [row[start : start + RUN] for start in range(len(row) - RUN + 1)]
    return next((run for run in runs if np.abs(np.diff(run[:4])).min() > 0.05 * run.std() > 0), None)


def _is_affine(values: NDArray[np.float64], row: NDArray[np.float64]) -> bool:
    if not np.isfinite(values).all() or np.abs(values).max() > 1e30 or values.std() == 0:
        return False
    values, row = (values - values.mean()) / values.std(), (row - row.mean()) / row.std()
    return bool(min(np.abs(values - row).max(), np.abs(values + row).max()) < 10 * SAME)


def unpacked(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """These bytes, and what every gzip or zlib stream and every file of a zip inside them holds."""
    yield data
    if depth == _NESTED:
        return
    for match in _STREAMS.finditer(data):
        start, wbits = match.start(), zlib.MAX_WBITS | 32
        if match[0].startswith(b"PK"):
            names = int.from_bytes(data[start + 26 : start + 28], "little")
            start += 30 + names + int.from_bytes(data[start + 28 : start + 30], "little")
            wbits = -zlib.MAX_WBITS
        try:
            inside = zlib.decompressobj(wbits).decompress(
                memoryview(data)[start : start + _MOST_PACKED], _MOST_UNPACKED
            )
        except zlib.error:
            continue
        if len(inside) >= HEAD_BYTES:
            yield from unpacked(inside, depth + 1)


def tables_of(path: Path) -> Iterator[bytes]:
    """All rows of each table of an SQLite database and its write-ahead log, which stay as they are."""
    with TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder, path.name))) as database:
            database.text_factory = bytes
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = database.execute(f'SELECT * FROM "{table.decode()}"')
                yield b" ".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


def files_under(folder: Path, *but: Path) -> list[Path]:
    """Every file of a folder that does not lie in one of these."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not any(path.is_relative_to(one) for one in but)
    )
