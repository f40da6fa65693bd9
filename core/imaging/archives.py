"""Unpacking a zip archive that somebody sent, without believing a word of it."""

import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from core.errors import NotACaseError

MAX_MEMBERS = 20_000
MAX_BYTES = 4 * 2**30
# Scans shrink to a half or a third, blank ones and masks further; what unpacks to more than this is a bomb.
MAX_RATIO = 100
# So small that no ratio matters.
SMALL_BYTES = 16 * 2**20
# Folders within folders; an export has four or five.
MAX_DEPTH = 30
_PIECE = 2**20
_ANEW = "zip the patient's folder again with an ordinary tool"
# How a zip begins: with its first entry, or, if it has none, with its end.
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack a zip into a private temporary folder, which is removed when the block ends, by an error too.

    A process that is killed leaves it behind, readable by its own account only, until the operating system clears
    its temporary files.

    Raises: NotACaseError: as `unpack`.
    """
    with tempfile.TemporaryDirectory(prefix="gliofed-") as name:
        folder = Path(name)
        try:
            with archive.open("rb") as opened:
                unpack(opened, folder)
        except OSError as error:
            raise _failed(error) from None
        yield folder


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack a zip from an open file, which may be decrypted as it is read, into a folder that is there and empty.

    After an error the folder holds what was unpacked before it; whoever made the folder removes it.

    Args:
        archive: readable and seekable.
        folder: where to.
    Raises: NotACaseError: not a zip, encrypted, damaged, too large, a zip within a zip, or with names that leave the
        folder or differ in nothing but case.
    """
    try:
        limit = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * archive.seek(0, 2)))
        with zipfile.ZipFile(archive) as opened:
            left = limit
            for member, target in _checked(opened, limit):
                left -= _unpack(opened, member, folder / target, left)
                if left < 0:
                    raise _too_large(limit)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise NotACaseError(f"The archive is damaged or no zip ({type(error).__name__})", fix=_ANEW) from None
    except OSError as error:
        raise _failed(error) from None


def _checked(opened: zipfile.ZipFile, limit: int) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Return an archive's files and their places, once all of it has been found harmless."""
    members = opened.infolist()
    if len(members) > MAX_MEMBERS:
        raise NotACaseError(f"The archive holds more than {MAX_MEMBERS} files", fix="zip one patient's folder")
    if sum(member.file_size for member in members) > limit:
        raise _too_large(limit)
    files = {}
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1] or member.filename[1:2] == ":":
            raise NotACaseError("The archive holds names that lead out of its own folder", fix=_ANEW)
        if len(path.parts) > MAX_DEPTH:
            raise NotACaseError("The archive holds folders in too many folders", fix="zip one patient's folder")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise NotACaseError("The archive holds a link or a device", fix="zip the files themselves, without links")
        if member.flag_bits & 1:
            raise NotACaseError("The archive is encrypted", fix="zip it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotACaseError("The archive is compressed in a way that is not read here", fix=_ANEW)
        if not member.is_dir():
            # Some disks tell neither case nor the ways to write an accent apart.
            name = unicodedata.normalize("NFC", str(path)).casefold()
            if name in files:
                raise NotACaseError("The archive holds one name twice", fix=_ANEW)
            files[name] = (member, path)
    # Entries that share their bytes are how a small archive becomes a large one.
    for first, second in pairwise(sorted(members, key=lambda member: member.header_offset)):
        if first.header_offset + first.compress_size > second.header_offset:
            raise NotACaseError("The archive's entries overlap", fix=_ANEW)
    return list(files.values())


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write one file, cut off beyond `left`, and return its true size, whatever size its entry claims."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with opened.open(member) as source, target.open("xb") as file:
        while size <= left and (piece := source.read(_PIECE)):
            if not size and piece.startswith(_ZIPS):
                raise NotACaseError(
                    "The archive holds another archive", fix="unpack it, and zip the patient's folder itself"
                )
            size += len(piece)
            file.write(piece)
    return size


def _failed(error: OSError) -> NotACaseError:
    return NotACaseError(
        f"The archive cannot be unpacked ({error.strerror or type(error).__name__})",
        fix="check that the archive is whole and the temporary folder has room",
    )


def _too_large(limit: int) -> NotACaseError:
    return NotACaseError(
        f"The archive unpacks to more than {limit // 2**20} MiB", fix="zip only the four sequences of one patient"
    )
