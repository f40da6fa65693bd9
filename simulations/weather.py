"""A site's way out of its network, as a drill wants it: a proxy that can hold an upload or lose the line altogether.

It knows CONNECT and nothing else, and sees TLS: that an upload is under way it knows from its size.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

# More than any call has but one that brings a model, also the smallest.
UPLOAD_BYTES = 24_000
PIECE = 2**14
HEAD_BYTES = 2**12


class Weather:
    """A proxy on loopback.

    Attributes:
        url: for a site's `[proxy]`.
        held: whether an upload is being held.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.held = Event()
        self._clear = Event()
        self._clear.set()
        self._armed = False
        self._is_cut = False
        self._lock = Lock()
        self._open: set[socket.socket] = set()

    def hold_upload(self) -> None:
        """Hold the next upload once a part of it has passed, until `let_go`."""
        self.held.clear()
        self._clear.clear()
        self._armed = True

    def let_go(self) -> None:
        """Let what is held go on."""
        self._armed = False
        self._clear.set()

    def cut(self) -> None:
        """End every connection and let no new one through until `mend`."""
        self._is_cut = True
        with self._lock:
            lines = list(self._open)
        for line in lines:
            _end(line)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def serve(self) -> None:
        """Take connections until closed."""
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._carry, args=(line,), daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self.let_go()
        self._listener.close()
        self.cut()

    def _carry(self, line: socket.socket) -> None:
        with suppress(OSError, ValueError):
            head = b""
            while not head.endswith(b"\r\n\r\n") and len(head) < HEAD_BYTES:
                piece = line.recv(HEAD_BYTES)
                if not piece:
                    raise ConnectionResetError
                head += piece
            _, target, _ = head.split(b" ", 2)
            host, _, port = target.decode().rpartition(":")
            if self._is_cut:
                raise ConnectionRefusedError
            there = socket.create_connection((host, int(port)))
            with self._lock:
                self._open |= {line, there}
            line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            sent = [0]
            Thread(target=self._bring, args=(there, line, sent), daemon=True).start()
            self._take(line, there, sent)
        _end(line)

    def _take(self, line: socket.socket, there: socket.socket, sent: list[int]) -> None:
        """Carry what leaves the site."""
        while piece := line.recv(PIECE):
            sent[0] += len(piece)
            if self._armed and sent[0] > UPLOAD_BYTES:
                self.held.set()
                self._clear.wait()
            there.sendall(piece)
        _end(there)

    def _bring(self, there: socket.socket, line: socket.socket, sent: list[int]) -> None:
        """Carry what comes to the site; after each answer what leaves counts anew."""
        with suppress(OSError):
            while piece := there.recv(PIECE):
                sent[0] = 0
                line.sendall(piece)
        _end(line)
        _end(there)  # where `_take` ended by an error, it has not
        with self._lock:
            self._open -= {line, there}


@contextmanager
def weather(sites: int) -> Iterator[list[Weather]]:
    """Keep a proxy for each site while the block runs."""
    proxies = [Weather() for _ in range(sites)]
    for proxy in proxies:
        Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxies
    finally:
        for proxy in proxies:
            proxy.close()


def _end(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
