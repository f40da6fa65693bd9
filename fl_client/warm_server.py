"""Forks a process for every program that a shim asks for (fl_client/warm_shim.py), and tells the shim how it ended.

No thread may run where a fork copies a process, so the server has one, and waits for everything at once.
"""

import ctypes
import gc
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from fl_client.trainer_socket import listen
from fl_client.warm_shim import STARTED

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 2**20
REQUEST_S = 5.0
STREAMS = 3
_LENGTH_BYTES = 4
_PEER = struct.Struct("3i")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Request:
    """A program to run.

    Attributes:
        arguments: as in sys.argv; the first is the program's name.
        folder: where it runs.
        variables: its environment.
        streams: standard input, output and error.
    """

    arguments: list[str]
    folder: str
    variables: Mapping[str, str]
    streams: tuple[int, ...]


@dataclass(frozen=True)
class Child:
    """A forked process: its number, a descriptor that tells its end, and the shim that waits for it."""

    pid: int
    ended: int
    shim: socket.socket


def serve(path: Path, entry: EntryPoint) -> None:
    """Run a console script for every shim that asks for it; a child of this process does not return either.

    Args:
        path: of the socket.
        entry: the only script that is run.
    """
    entry.load()
    server = Server(listen(path), entry.name)
    # What is there now is never collected, so that a fork shares its pages for good.
    gc.collect()
    gc.freeze()
    _run(server.request(), entry)


class Server:
    """Forks a child for every request and tells its shim how it ended.

    Args:
        listener: where shims connect.
        name: the only program that it runs.
    """

    def __init__(self, listener: socket.socket, name: str) -> None:
        self._listener = listener
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._children: list[Child] = []

    def request(self) -> Request:
        """Serve for ever; only a child returns, with what it is to do."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    request = self._take()
                    if request is not None:
                        return request
                elif isinstance(key.fileobj, socket.socket):
                    self._pass_on(key.data)
                else:
                    self._report(key.data)

    def _take(self) -> Request | None:
        """Fork for whoever connects; return the request in the child alone."""
        shim, _ = self._listener.accept()
        request = received(shim, self._name)
        if request is None:
            shim.close()
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._forget(shim, server)
            return request
        child = Child(pid, os.pidfd_open(pid), shim)
        self._children.append(child)
        self._selector.register(child.ended, selectors.EVENT_READ, child)
        self._selector.register(shim, selectors.EVENT_READ, child)
        for stream in request.streams:
            os.close(stream)
        _send(shim, STARTED)
        return None

    def _pass_on(self, child: Child) -> None:
        """Pass signals on to a child; where its shim was killed, kill it."""
        try:
            numbers = child.shim.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or bytes([signal.SIGKILL]):
            signal.pidfd_send_signal(child.ended, number)
        if not numbers:
            self._selector.unregister(child.shim)
            child.shim.close()

    def _report(self, child: Child) -> None:
        """Tell a shim how its child ended."""
        _, status = os.waitpid(child.pid, 0)
        self._children.remove(child)
        self._selector.unregister(child.ended)
        os.close(child.ended)
        if child.shim.fileno() >= 0:
            self._selector.unregister(child.shim)
            _send(child.shim, os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
            child.shim.close()

    def _forget(self, shim: socket.socket, server: int) -> None:
        """Leave behind, in a child, what is the server's, and end when it does."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        self._selector.close()
        for child in self._children:
            os.close(child.ended)
            child.shim.close()
        self._listener.close()
        shim.close()


def received(shim: socket.socket, name: str) -> Request | None:
    """Return what a shim asks for; None where it is another account's, or no request for the program of this name."""
    shim.settimeout(REQUEST_S)
    credentials = shim.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    if _PEER.unpack(credentials)[1] != os.getuid():
        logger.warning("Another account asked for a program and was refused")
        return None
    streams: list[int] = []
    try:
        head, streams, _, _ = socket.recv_fds(shim, _LENGTH_BYTES, STREAMS)
        content = bytearray()
        length = int.from_bytes(head, "big")
        while len(content) < length <= MAX_REQUEST_BYTES and (part := shim.recv(length - len(content))):
            content += part
        count, folder, *texts = (os.fsdecode(part) for part in bytes(content).split(b"\0"))
        arguments, variables = texts[: int(count)], texts[int(count) :]
        if len(content) == length and len(streams) == STREAMS and arguments[:1] == [name]:
            return Request(arguments, folder, dict(text.split("=", 1) for text in variables), tuple(streams))
    except (OSError, ValueError):
        logger.debug("A request was cut or cannot be read")
    logger.warning("A request on the warm server's socket is none")
    for stream in streams:
        os.close(stream)
    return None


def _send(shim: socket.socket, content: bytes) -> None:
    try:
        shim.send(content)
    except OSError:
        logger.debug("A shim was gone before it was told")


def _run(request: Request, entry: EntryPoint) -> None:
    """Become the program: its streams, folder, variables and arguments, and its end."""
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    code = 1
    try:
        os.chdir(request.folder)
        os.environ.clear()
        os.environ.update(request.variables)
        sys.argv = request.arguments
        code = _exit_code(entry.load()())
    except SystemExit as end:
        code = _exit_code(end.code)
    finally:
        if sys.exception() is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        # Without taking the interpreter apart: that costs a tenth of a second, and the work is done.
        os._exit(code)


def _exit_code(code: object) -> int:
    """Return what sys.exit makes of a value."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)  # noqa: T201
    return 1
