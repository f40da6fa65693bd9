"""Files that are either whole or absent, whatever ends the process."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import FLError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends without an error.

    The bytes are on disk before the name is, so a reader sees the old file, the new one or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format by it.
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing."""
    with atomic(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_process(lock: Path, taken: FLError | None) -> Iterator[None]:
    """Keep what a lock file stands for to one process while the block runs; the file stays.

    Args:
        lock: the file.
        taken: raised where another process has it; None: it is waited for.
    """
    with lock.open("a") as file:
        if taken is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise taken from None
        yield


def write_fleeting(path: Path, text: str) -> None:
    """Write a file whole or not at all, but without forcing it to disk.

    For what is written every second and is worth nothing after a power cut.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


def private_folder(folder: Path) -> Path:
    """Make a folder that only this account may enter, or return it where it is there already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file that only this account may read, whole or not at all."""
    with atomic(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
