"""The file of a backup: parts, one after the other, in one encrypted stream that can be neither changed nor cut off.

A first line and the short name of its key, both in clear, then what webapp.sealed_files writes. Within: each part is
its head (JSON: name and what else is told of it), then its content in pieces, then an empty piece; heads and pieces
are preceded by their length in 4 bytes. The last part is `end`.
"""

import hashlib
import io
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import DataError, RecordsError
from webapp.sealed_files import FRAME, SealedReader, SealedWriter

_FIRST = b"GlioFed web backup 1\n"
_NAME = 16
_LENGTH = struct.Struct(">I")
_LONGEST = 64 * 2**20


@dataclass(frozen=True)
class Part:
    """One part of a backup as it is read.

    Attributes:
        name: such as `web.toml` or `files/<prediction>/<name>`.
        told: what else its head says.
        pieces: its content; gone once the next part is asked for.
    """

    name: str
    told: Mapping[str, Any]
    pieces: Iterator[bytes]

    def content(self) -> bytes:
        """Return all of it at once."""
        return b"".join(self.pieces)


class BackupWriter:
    """Writes parts.

    Args:
        path: of the file, for this account only; it is whole when the writer was closed.
        key: 32 bytes, the backup key.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._file = SealedWriter(path, key, before=_FIRST + name_of(key).encode())

    @contextmanager
    def part(self, name: str, **told: object) -> Iterator["BackupWriter"]:
        """Begin a part, whose content the block adds."""
        self.add(json.dumps({"name": name, **told}).encode())
        yield self
        self._file.write(_LENGTH.pack(0))

    def add(self, piece: bytes) -> None:
        """Add a piece of content; an empty one says nothing."""
        if piece:
            self._file.write(_LENGTH.pack(len(piece)))
            self._file.write(piece)

    def close(self) -> None:
        """Make the file whole."""
        self._file.close()


def name_of(key: bytes) -> str:
    """Return the short name of a key, which tells it from others and nothing of it: 16 hexadecimal digits."""
    return hashlib.sha256(b"the name of a key\n" + key).hexdigest()[:_NAME]


def parts_of(path: Path, key: bytes) -> Iterator[Part]:
    """Yield a backup's parts in order.

    Raises: RecordsError: it is no backup, of another key, damaged or cut off; perhaps only when pieces are read.
    """
    with path.open("rb") as file:
        first, name = file.read(len(_FIRST)), file.read(_NAME).decode("ascii", "replace")
    if first != _FIRST:
        raise RecordsError(f"{path} is no backup that this release reads", fix="name a file that `fl-web backup` made")
    if name != name_of(key):
        raise RecordsError(
            f"{path} was encrypted with another backup key: {name}, here is {name_of(key)}",
            fix="bring the keys that were exported from the server which made it: fl-web import-keys",
        )
    with _undamaged(path), io.BufferedReader(SealedReader(path, key, before=len(_FIRST) + _NAME), FRAME) as stream:
        while True:
            told = json.loads(_piece(stream))
            pieces = _pieces(stream, path)
            yield Part(told.pop("name"), told, pieces)
            for _ in pieces:  # what was not wanted
                pass
            if not stream.peek(1):
                return


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, EOFError, ValueError, KeyError, AttributeError):
        raise RecordsError(
            f"{path} is damaged or cut off; nothing of it can be relied on", fix="take another backup"
        ) from None


def _pieces(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    with _undamaged(path):  # here too, since whoever reads them is not within the parts
        while piece := _piece(stream):
            yield piece


def _piece(stream: IO[bytes]) -> bytes:
    length = _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]
    if length > _LONGEST:
        raise EOFError
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content
