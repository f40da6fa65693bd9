"""Signed heads of an audit log, kept in a file outside its database: without them a truncated log looks whole.

One JSON line each: its number, the last event's number and hash, the time, the SHA-256 of the line before, and the
signature of all that. So one signature, the last, covers all lines.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.clock import now
from core.errors import AuditError
from core.files import private_folder, sync_folder
from core.records.chain import EMPTY
from core.signing import canonical, holds, sign

_FIX = "keep the file as it is, compare it with a copy made before, and find out who could write to it"
_LONGEST = 4096


@dataclass(frozen=True)
class Checkpoint:
    """A signed head.

    Attributes:
        number: 1 for the file's first line.
        seq, hash: of the log's last event then; 0 and EMPTY before the first checkpoint.
        line: SHA-256 of the line, which the next one holds.
    """

    number: int
    seq: int
    hash: str
    line: str


NONE = Checkpoint(0, 0, EMPTY, EMPTY)


def read_checkpoints(path: Path, public: Ed25519PublicKey | None) -> list[Checkpoint]:
    """Read and check all signed heads, oldest first; none where there is no file.

    Args:
        path: the file.
        public: the key that signed; None where only the lines' own chain can be checked.
    Raises: AuditError: a line was changed or removed.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # the power went while it was written; the database has not counted it
    found: list[Checkpoint] = []
    before = NONE
    for place, line in enumerate(lines, 1):
        fields = _fields(line, f"Line {place}")
        if fields["previous"] != before.line or fields["number"] != place or fields["seq"] <= before.seq:
            _tell(lines, place, public)
        before = _checkpoint(line, fields)
        found.append(before)
    if lines and public and not _is_signed(lines[-1], public):
        raise _changed(f"Line {len(lines)}")
    return found


@contextmanager
def unchanging(path: Path) -> Iterator[None]:
    """Let no other process add a checkpoint while the block runs; where there is no file yet, one may."""
    if not path.exists():
        yield
        return
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def adding(path: Path, public: Ed25519PublicKey) -> Iterator[tuple[Checkpoint, BinaryIO]]:
    """Yield the last checkpoint and the file open for one more, while no other process adds one.

    Raises: AuditError: the last one was changed, or another key signed it.
    """
    private_folder(path.parent)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        start = max(file.seek(0, os.SEEK_END) - _LONGEST, 0)
        file.seek(start)
        tail = file.read()
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            file.truncate(start + len(tail) - len(torn))
        line = whole.rpartition(b"\n")[2] + b"\n" if whole else b""
        if line and not _is_signed(line, public):
            raise _changed("The last line")
        yield (_checkpoint(line, _fields(line)) if line else NONE), file


def write_checkpoint(file: BinaryIO, before: Checkpoint, seq: int, head: str, key: Ed25519PrivateKey) -> int:
    """Sign a head, add it to the file and return its number; it is on disk when this returns."""
    statement = {"number": before.number + 1, "seq": seq, "hash": head, "at": now(), "previous": before.line}
    file.write((canonical({**statement, "signature": sign(key, statement)}) + "\n").encode())
    file.flush()
    os.fsync(file.fileno())
    sync_folder(Path(file.name).parent)
    return before.number + 1


def _tell(lines: list[bytes], place: int, public: Ed25519PublicKey | None) -> None:
    """Raise which line is bad: this one does not follow the one before it."""
    for suspect in (place - 1, place):
        if public and suspect and not _is_signed(lines[suspect - 1], public):
            raise _changed(f"Line {suspect}")
    raise AuditError(f"Before line {place} of the audit log's checkpoints another was removed or changed", fix=_FIX)


def _changed(line: str) -> AuditError:
    return AuditError(f"{line} of the audit log's checkpoints was changed, or another key signed it", fix=_FIX)


def _fields(line: bytes, name: str = "The last line") -> dict[str, Any]:
    kinds = {"number": int, "seq": int, "hash": str, "at": str, "previous": str, "signature": str}
    try:
        fields = json.loads(line)
        if fields.keys() == kinds.keys() and all(isinstance(fields[name], kind) for name, kind in kinds.items()):
            return dict(fields)
    except (ValueError, AttributeError):
        pass
    raise AuditError(f"{name} of the audit log's checkpoints is not one", fix=_FIX)


def _is_signed(line: bytes, public: Ed25519PublicKey) -> bool:
    fields = _fields(line)
    return holds(public, fields, fields.pop("signature"))


def _checkpoint(line: bytes, fields: dict[str, Any]) -> Checkpoint:
    return Checkpoint(fields["number"], fields["seq"], fields["hash"], hashlib.sha256(line).hexdigest())
