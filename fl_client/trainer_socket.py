"""How a Flower app's short-lived process and the resident trainer talk: over a Unix socket of this account.

One connection carries one request and one answer. A message is its length in eight bytes, then that of its first part,
which is JSON, then this part and the arrays' .npy files in its order. Flower carries arrays as just these bytes, so the
app's process, in which every page of memory is a new one, passes them on as they are.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from numpy.typing import NDArray

from core.errors import AccessError, ConfigError, ConnectionProblem, UpdateRejected
from core.files import private_folder
from core.messages import Records
from core.npy import npy_array, npy_bytes
from fl_client.site_error import SiteError

STOP = "stop"
MAX_BYTES = 2**30
# Of everything that is not an array.
MAX_ABOUT_BYTES = 2**22
# A trainer that was just restarted imports torch before it listens.
CONNECT_S = 120.0
RETRY_S = 0.1
# How often a trainer may end over one task before the task is at fault.
TRIES = 3
# Whoever connects has its request ready.
REQUEST_S = 60
_LENGTH = struct.Struct(">Q")
_PEER = struct.Struct("3i")
_SECONDS = struct.Struct("ll")

Head = Mapping[str, Any]


@dataclass(frozen=True)
class Packed:
    """Records whose arrays are the bytes of .npy files."""

    arrays: Mapping[str, bytes] = field(default_factory=dict)
    config: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float | list[float]] = field(default_factory=dict)


def packed(records: Records) -> Packed:
    """Return records with their arrays as bytes."""
    return Packed({name: npy_bytes(array) for name, array in records.arrays.items()}, records.config, records.metrics)


def unpacked(content: Packed) -> Records:
    """Return records with their arrays, which share the bytes' memory and cannot be written to.

    Raises: UpdateRejected: an array cannot be read.
    """
    return Records(
        {name: _array(file) for name, file in content.arrays.items()}, dict(content.config), dict(content.metrics)
    )


def pack(head: Head, records: Records | None = None) -> bytes:
    """Return a message's bytes, but for the length that goes before them.

    Args:
        head: JSON values that say what the message is.
        records: what it carries.
    """
    return b"".join(_parts(head, packed(records or Records())))


def head_of(message: bytes) -> dict[str, Any]:
    """Return a message's head without reading its arrays.

    Raises: UpdateRejected: it is not such a message.
    """
    head: dict[str, Any] = _about(message)[0][0]
    return head


def unpack(message: bytes) -> tuple[dict[str, Any], Records]:
    """Return a message's head and records.

    Raises: UpdateRejected: it is not such a message.
    """
    (head, config, metrics, sizes), start = _about(message)
    view, arrays = memoryview(message), {}
    for name, size in sizes.items():
        arrays[name] = _array(view[start : start + size])
        start += size
    if start != len(message):
        raise _unreadable()
    return head, Records(arrays, config, metrics)


def ask(path: Path, kind: str, study: str, task: Packed, flower_run: int = 0) -> Packed | SiteError:
    """Hand a task to the trainer and wait for its answer, however long the training takes.

    A trainer that ends meanwhile is asked again once it is back: it still has the answer, or works it out once more.

    Args:
        path: the trainer's socket.
        kind: `train` or `evaluate`.
        study: text of study.toml.
        task: its records.
        flower_run: Flower's number of its own run, under which the gate counts bytes.
    Raises:
        ConnectionProblem: no trainer listens, or it ended time and again.
        AccessError: the socket belongs to another account's process.
    """
    request = _parts({"kind": kind, "study": study, "flower_run": flower_run}, task)
    for _ in range(TRIES):
        try:
            head, answer = _exchange(path, request, CONNECT_S)
        except (ConnectionError, EOFError):
            continue
        return SiteError(head["code"], head["kind"]) if "code" in head else answer
    raise ConnectionProblem(
        f"The trainer ended {TRIES} times while it worked on one task", fix="see its log: most likely memory ran out"
    )


def stop_runs(path: Path, runs: Sequence[str]) -> None:
    """Tell the trainer which runs must not go on: these, and no others that it was told before.

    Raises: ConnectionProblem: no trainer listens.
    """
    try:
        _exchange(path, _parts({"kind": STOP, "runs": list(runs)}, Packed()), wait_s=0)
    except (ConnectionError, EOFError):
        raise _no_trainer() from None


def listen(path: Path) -> socket.socket:
    """Open a socket that only this account can reach, in the place of one that an ended trainer has left.

    Raises: ConfigError: the path is longer than a socket's may be.
    """
    private_folder(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        if error.errno:  # the system's, not Python's own word on the length
            raise
        raise ConfigError(f"{path} is too long for a socket", fix="set FL_HOME to a shorter path") from None
    path.chmod(0o600)
    listener.listen()
    return listener


def serve(listener: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer every connection of this account in a thread of its own, until the listener is closed.

    Args:
        listener: from `listen`.
        answer: a request's bytes become an answer's; it raises nothing.
    """
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        Thread(target=_serve_one, args=(connection, answer), daemon=True).start()


def _serve_one(connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    with connection:
        try:
            if _peer(connection) != os.getuid():
                return
            # Not Python's own time-out, with which a socket hands out no more at once than has arrived.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _SECONDS.pack(REQUEST_S, 0))
            request = _exactly(connection, _length(connection))
            _send(connection, [answer(request)])
        except (OSError, EOFError):
            # Whoever asked has gone; the answer is kept for when it asks again.
            return


def _exchange(path: Path, request: Sequence[bytes], wait_s: float) -> tuple[dict[str, Any], Packed]:
    with _connected(path, wait_s) as connection:
        _send(connection, request)
        rest = _length(connection)
        size = _length(connection)
        if size > min(rest - _LENGTH.size, MAX_ABOUT_BYTES):
            raise _unreadable()
        head, config, metrics, sizes = _read_about(_exactly(connection, size))
        if sum(sizes.values()) != rest - _LENGTH.size - size:
            raise _unreadable()
        return head, Packed({name: _exactly(connection, size) for name, size in sizes.items()}, config, metrics)


def _connected(path: Path, wait_s: float) -> socket.socket:
    gives_up = time.monotonic() + wait_s
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            connection.close()
            if time.monotonic() >= gives_up:
                raise _no_trainer() from None
            time.sleep(RETRY_S)
            continue
        if _peer(connection) != os.getuid():
            connection.close()
            raise AccessError(
                "The trainer's socket belongs to another account", fix="give every account an FL_HOME of its own"
            )
        return connection


def _send(connection: socket.socket, parts: Sequence[bytes]) -> None:
    connection.sendall(_LENGTH.pack(sum(len(part) for part in parts)))
    for part in parts:
        connection.sendall(part)


def _length(connection: socket.socket) -> int:
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > MAX_BYTES:
        raise EOFError(f"a message of {length} bytes is no message")
    return int(length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    # As a rule all of it at once, straight into the bytes that are returned.
    pieces, missing = [], length
    while missing:
        piece = connection.recv(missing, socket.MSG_WAITALL)
        if not piece:
            raise EOFError("the other side has gone")
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _peer(connection: socket.socket) -> int:
    """Return the account of the process at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])


def _parts(head: Head, content: Packed) -> list[bytes]:
    sizes = {name: len(file) for name, file in content.arrays.items()}
    about = json.dumps([head, content.config, content.metrics, sizes]).encode()
    return [_LENGTH.pack(len(about)), about, *content.arrays.values()]


About = tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, int]]


def _about(message: bytes) -> tuple[About, int]:
    """Return a message's first part, and where its arrays begin."""
    length = int.from_bytes(message[: _LENGTH.size], "big")
    if length > MAX_ABOUT_BYTES:
        raise _unreadable()
    start = _LENGTH.size + length
    return _read_about(message[_LENGTH.size : start]), start


def _read_about(about: bytes) -> About:
    try:
        head, config, metrics, sizes = json.loads(about)
    except (ValueError, TypeError):
        raise _unreadable() from None
    return head, config, metrics, sizes


def _array(file: bytes | memoryview) -> NDArray[Any]:
    try:
        return npy_array(file)
    except ValueError:
        raise _unreadable() from None


def _unreadable() -> UpdateRejected:
    return UpdateRejected("A message on the trainer's socket cannot be read", fix="restart `fl-client start`")


def _no_trainer() -> ConnectionProblem:
    return ConnectionProblem("The trainer does not run", fix="run `fl-client start`, and see its log if it ends again")
