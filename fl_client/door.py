"""The gate's listening side: HTTP over TLS on loopback, as much of it as SuperNode speaks.

A long answer is no silence: every few seconds SuperNode gets an interim response (102, RFC 2518 section 10.1), after
which its 30 seconds of patience begin anew.
"""

import json
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, TLSVersion
from threading import Thread

from core.certificates import Use, certificate_text, issue, new_key, private_text
from core.files import write_atomically, write_private
from fl_client.relay import Answer, is_readable

logger = logging.getLogger(__name__)

INTERIM_S = 10.0
IDLE_S = 300.0
# Flower sends objects of 5 MB and app bundles of at most 10 MB.
MAX_BODY_BYTES = 2**26
FORBIDDEN, UNAVAILABLE = 403, 503


@dataclass(frozen=True)
class Request:
    """A call that came in.

    Attributes:
        path: as it was sent.
        headers: by name in lower case, each once.
        body: all of it.
        is_gone: whether the caller no longer waits.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    is_gone: Callable[[], bool]


Answering = Callable[[Request], Answer]


class Doorway(ThreadingHTTPServer):
    """Listens on loopback and answers each connection in a thread of its own.

    Args:
        port: 0 for a free one.
        pki: folder with gate.crt and gate.key.
        answering: what answers a call.
    """

    def __init__(self, port: int, pki: Path, answering: Answering) -> None:
        self.answering = answering
        self._context = SSLContext(PROTOCOL_TLS_SERVER)
        self._context.minimum_version = TLSVersion.TLSv1_2
        self._context.load_cert_chain(pki / "gate.crt", pki / "gate.key")
        super().__init__(("127.0.0.1", port), Door)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection; it shakes hands in its own thread, where it keeps nobody waiting."""
        connection, address = super().get_request()
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what ended a connection: a caller that hangs up is nothing, all else is a bug."""
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("A connection to the gate ended: %r", error)
        else:
            logger.error("The gate could not answer", exc_info=error)


class Door(BaseHTTPRequestHandler):
    """One connection from SuperNode."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gate", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = 2**16  # head and body of a short answer in one packet
    server: Doorway

    def do_POST(self) -> None:
        """Answer a call."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
            self.refuse()
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(length))
        # As it was sent: the standard library's `path` is mended, and two readers could mend it in two ways.
        path = self.requestline.split()[1]
        self._send(self._await_answer(Request(path, headers, body, lambda: is_readable(self.connection))))

    def refuse(self) -> None:
        """Refuse what no SuperNode asks for."""
        self.close_connection = True  # what else was sent is not read
        self._send(refusal())

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = refuse  # noqa: N815

    def _await_answer(self, request: Request) -> Answer:
        answer: Future[Answer] = Future()
        Thread(target=lambda: answer.set_result(self._answered(request)), daemon=True).start()
        while True:
            try:
                return answer.result(INTERIM_S)
            except StillWaiting:
                self.still_here()

    def _answered(self, request: Request) -> Answer:
        try:
            return self.server.answering(request)
        except Exception:  # the edge: without an answer SuperNode would wait for ever
            logger.exception("The gate could not answer")
            return Answer(UNAVAILABLE, "text/plain", b"", (("Retry-After", "1"),))

    def still_here(self) -> None:
        """Let SuperNode's patience begin anew."""
        self.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        self.wfile.flush()

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, message: str, *arguments: object) -> None:
        """Keep what the standard library says of a connection out of the log unless somebody looks for it."""
        logger.debug(message, *arguments)


def refusal() -> Answer:
    """Return the answer to what the gate lets nobody do."""
    told = {"problem": "The gate lets only Flower's fleet calls through", "fix": "nothing but SuperNode belongs here"}
    return Answer(FORBIDDEN, "application/json", json.dumps(told).encode())


def make_gate_certificate(pki: Path) -> None:
    """Make the certificate that SuperNode knows the gate by; it is worth nothing outside this machine."""
    key = new_key()
    hosts = ("127.0.0.1", "localhost")
    certificate = issue("gliofed gate", key.public_key(), timedelta(days=3650), Use.SERVER, key, hosts=hosts)
    write_private(pki / "gate.key", private_text(key))
    write_atomically(pki / "gate.crt", certificate_text(certificate))
