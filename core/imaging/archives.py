"""Unpacking a zip archive that somebody sent, without believing a word of it."""

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath

from core.errors import NotACaseError

MAX_MEMBERS = 20_000
MAX_BYTES = 4 * 2**30
_PIECE = 2**20
_ANEW = "zip the patient's folder again with an ordinary tool"


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack a zip into a private temporary folder, which is removed when the block ends, by an error too.

    A process that is killed leaves it behind, readable by its own account only, until the operating system clears
    its temporary files.

    Raises: NotACaseError: not a zip, encrypted, damaged, too large, or with names that leave the folder.
    """
    with tempfile.TemporaryDirectory(prefix="gliofed-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(archive) as opened:
                members = _checked(opened)
                left = MAX_BYTES
                for member in members:
                    left -= _unpack(opened, member, folder, left)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise NotACaseError(f"The archive is damaged or no zip ({type(error).__name__})", fix=_ANEW) from None
        except OSError as error:
            raise NotACaseError(
                f"The archive cannot be unpacked ({error.strerror or type(error).__name__})",
                fix="check that the archive is whole and the temporary folder has room",
            ) from None
        yield folder


def _checked(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return an archive's files, once all of it has been found harmless."""
    members = opened.infolist()
    if len(members) > MAX_MEMBERS:
        raise NotACaseError(f"The archive holds more than {MAX_MEMBERS} files", fix="zip one patient's folder")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise _too_large()
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1] or member.filename[1:2] == ":":
            raise NotACaseError("The archive holds names that lead out of its own folder", fix=_ANEW)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise NotACaseError("The archive holds a link or a device", fix="zip the files themselves, without links")
        if member.flag_bits & 1:
            raise NotACaseError("The archive is encrypted", fix="zip it without a password")
    # Entries that share their bytes are how a small archive becomes a large one.
    for first, second in pairwise(sorted(members, key=lambda member: member.header_offset)):
        if first.header_offset + first.compress_size > second.header_offset:
            raise NotACaseError("The archive's entries overlap", fix=_ANEW)
    return [member for member in members if not member.is_dir()]


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one file and return its true size, whatever size its entry claims."""
    target = folder / PurePosixPath(member.filename.replace("\\", "/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with opened.open(member) as source, target.open("xb") as file:
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > left:
                raise _too_large()
            file.write(piece)
    return size


def _too_large() -> NotACaseError:
    return NotACaseError(
        f"The archive unpacks to more than {MAX_BYTES // 2**20} MiB", fix="zip only the four sequences of one patient"
    )
