"""How a Flower app's short-lived process and the resident trainer talk: over a Unix socket of this account.

A message is its length in eight bytes, then a safetensors file in memory: arrays as tensors, all else as JSON in its
metadata. One connection carries one request and one answer.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.errors import AccessError, ConfigError, ConnectionProblem, UpdateRejected
from core.files import private_folder
from core.messages import Records
from fl_client.site_error import SiteError

STOP = "stop"
MAX_BYTES = 2**30
# Of everything that is not an array.
MAX_HEADER_BYTES = 2**22
# A trainer that was just restarted imports torch before it listens.
CONNECT_S = 120.0
RETRY_S = 0.1
# How often a trainer may end over one task before the task is at fault.
TRIES = 3
# Whoever connects has its request ready.
REQUEST_S = 60.0
_LENGTH = struct.Struct(">Q")
_PEER = struct.Struct("3i")
_ABOUT = "gliofed"

Head = Mapping[str, Any]


def pack(head: Head, records: Records | None = None) -> bytes:
    """Return a message's bytes.

    Args:
        head: JSON values that say what the message is.
        records: what it carries.
    """
    records = records or Records()
    about = json.dumps([head, records.config, records.metrics])
    # One entry alone: the order of several would differ from one process to the next.
    return save({name: np.asarray(array, order="C") for name, array in records.arrays.items()}, {_ABOUT: about})


def head_of(message: bytes) -> dict[str, Any]:
    """Return a message's head without reading its arrays.

    Raises: UpdateRejected: it is not such a message.
    """
    head: dict[str, Any] = _about(message)[0]
    return head


def unpack(message: bytes) -> tuple[dict[str, Any], Records]:
    """Return a message's head and records.

    Raises: UpdateRejected: it is not such a message.
    """
    head, config, metrics = _about(message)
    try:
        return head, Records(load(message), config, metrics)
    except SafetensorError:
        raise _unreadable() from None


def ask(path: Path, kind: str, study: str, records: Records, flower_run: int = 0) -> Records | SiteError:
    """Hand a task to the trainer and wait for its answer, however long the training takes.

    A trainer that ends meanwhile is asked again once it is back: it still has the answer, or works it out once more.

    Args:
        path: the trainer's socket.
        kind: `train` or `evaluate`.
        study: text of study.toml.
        records: the task's.
        flower_run: Flower's number of its own run, under which the gate counts bytes.
    Raises:
        ConnectionProblem: no trainer listens, or it ended time and again.
        AccessError: the socket belongs to another account's process.
    """
    request = pack({"kind": kind, "study": study, "flower_run": flower_run}, records)
    for _ in range(TRIES):
        try:
            head, answer = unpack(_exchange(path, request, CONNECT_S))
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
        _exchange(path, pack({"kind": STOP, "runs": list(runs)}), wait_s=0)
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
            connection.settimeout(REQUEST_S)
            request = _receive(connection)
            connection.settimeout(None)
            _send(connection, answer(request))
        except (OSError, EOFError):
            # Whoever asked has gone; the answer is kept for when it asks again.
            return


def _exchange(path: Path, request: bytes, wait_s: float) -> bytes:
    with _connected(path, wait_s) as connection:
        _send(connection, request)
        return _receive(connection)


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


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(message)))
    connection.sendall(message)


def _receive(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > MAX_BYTES:
        raise EOFError(f"a message of {length} bytes is no message")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = bytearray(length)
    view, got = memoryview(content), 0
    while got < length:
        arrived = connection.recv_into(view[got:])
        if not arrived:
            raise EOFError("the other side has gone")
        got += arrived
    return bytes(content)


def _peer(connection: socket.socket) -> int:
    """Return the account of the process at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])


def _about(message: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    length = int.from_bytes(message[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise _unreadable()
    try:
        head, config, metrics = json.loads(json.loads(message[8 : 8 + length])["__metadata__"][_ABOUT])
    except (ValueError, KeyError, TypeError):
        raise _unreadable() from None
    return head, config, metrics


def _unreadable() -> UpdateRejected:
    return UpdateRejected("A message on the trainer's socket cannot be read", fix="restart `fl-client start`")


def _no_trainer() -> ConnectionProblem:
    return ConnectionProblem("The trainer does not run", fix="run `fl-client start`, and see its log if it ends again")
