"""Files that are encrypted before they touch the disk: uploads, pictures and results.

A file is a salt (32 bytes), then frames of at most 1 MiB, each with its tag of AES-256-GCM. Its key follows from the
prediction's file key and the salt, a frame's nonce is its number, and the last frame says that it is the last: frames
cannot be changed, swapped or cut off unnoticed. Once the prediction's file key is deleted, no copy can be read.

Source: RFC 5869 (HKDF), Hoang 2015 (STREAM).
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import DataError
from core.files import private_folder

FRAME = 2**20
_SALT, _TAG = 32, 16
_PURPOSE = b"gliofed web file"


class SealedWriter(io.RawIOBase):
    """A stream that is encrypted as it is written; `close`, or `seek`, makes it whole.

    Args:
        path: where to; the folder is made, and what was there is replaced.
        key: 32 bytes, the prediction's file key.
        before: what stands in clear before all that.
    """

    def __init__(self, path: Path, key: bytes, before: bytes = b"") -> None:
        super().__init__()
        private_folder(path.parent)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        salt = os.urandom(_SALT)
        self._cipher = _cipher(key, salt)
        self._file.write(before + salt)
        self._held = bytearray()
        self._frames = 0
        self.size = 0

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, content: object) -> int:
        """Encrypt what fills whole frames, and hold the rest."""
        piece = memoryview(content).cast("B")  # type: ignore[arg-type]
        self._held += piece
        self.size += len(piece)
        while len(self._held) > FRAME:  # the last frame is never empty, unless the file is
            self._put(bytes(self._held[:FRAME]), last=False)
            del self._held[:FRAME]
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Make the file whole; whoever parses a form goes back to the beginning of what is complete."""
        self.close()
        return offset

    def close(self) -> None:
        """Write what is left, as the last frame."""
        if not self._file.closed:
            self._put(bytes(self._held), last=True)
            self._held.clear()
            self._file.close()
        super().close()

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._frames), piece, _mark(last=last)))
        self._frames += 1


class SealedReader(io.RawIOBase):
    """What a `SealedWriter` wrote, decrypted frame by frame as it is read, from anywhere in the file.

    Args:
        path, key: as they were written.
        before: how many bytes stand in clear before.
    Raises: DataError: it is gone; from reading too, where the file was changed or cut off.
    """

    def __init__(self, path: Path, key: bytes, before: int = 0) -> None:
        super().__init__()
        try:
            self._file = path.open("rb")
        except OSError:
            raise DataError("A stored file is gone", fix="upload the scans again") from None
        self._file.seek(before)
        self._cipher = _cipher(key, self._file.read(_SALT))
        self._start = before + _SALT
        body = self._file.seek(0, io.SEEK_END) - self._start
        if body < _TAG:
            self._file.close()
            raise _damaged()
        self._frames = -(-body // (FRAME + _TAG))
        self.size = body - self._frames * _TAG
        self._at = 0
        self._frame: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Return where the next byte comes from."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere in the file."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence])
        return self._at

    def readinto(self, buffer: object) -> int:
        """Read up to the end of a frame."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._at >= self.size and self.size:
            return 0
        number, start = divmod(self._at, FRAME)
        piece = self._read(number)[start : start + len(target)]
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read(self, number: int) -> bytes:
        if self._frame[0] != number:
            self._file.seek(self._start + number * (FRAME + _TAG))
            sealed = self._file.read(FRAME + _TAG)
            try:
                piece = self._cipher.decrypt(_nonce(number), sealed, _mark(last=number == self._frames - 1))
            except (InvalidTag, ValueError):
                raise _damaged() from None
            self._frame = (number, piece)
        return self._frame[1]


def write_sealed(path: Path, key: bytes, content: bytes) -> None:
    """Write a whole encrypted file."""
    with SealedWriter(path, key) as file:
        file.write(content)


def read_sealed(path: Path, key: bytes) -> bytes:
    """Return a whole encrypted file's content.

    Raises: DataError: it is gone, or was changed.
    """
    with SealedReader(path, key) as file:
        return file.readall() or b""


def pieces_of(path: Path, key: bytes) -> Iterator[bytes]:
    """Yield an encrypted file's content in pieces of at most a frame."""
    with SealedReader(path, key) as file:
        while piece := file.read(FRAME):
            yield piece


def _damaged() -> DataError:
    return DataError("A stored file was changed or cut off", fix="upload the scans again")


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, _PURPOSE).derive(key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _mark(*, last: bool) -> bytes:
    return b"last" if last else b"more"
