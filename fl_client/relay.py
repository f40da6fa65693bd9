"""The way to the coordinator: mutual TLS, through the hospital's proxy where there is one, to no other host ever."""

import logging
import select
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from ssl import CERT_REQUIRED, PROTOCOL_TLS_CLIENT, SSLContext, SSLError, TLSVersion
from threading import Lock
from urllib.parse import unquote, urlsplit

from core.errors import ConfigError, ConnectionProblem
from core.invitation import split_address

logger = logging.getLogger(__name__)

# Of one step of a call, so that a slow line is no failure as long as something moves.
STEP_S = 25.0
SLICE_BYTES = 2**18
# A firewall may forget a connection that rests, without a word to either side.
REST_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What the coordinator answers: status, media type, Flower's own headers and the body."""

    status: int
    media_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Relay:
    """Connections to the coordinator, kept open between calls and taken by one thread at a time.

    Args:
        address: the coordinator's host or host:port.
        pki: folder with ca.crt, site.crt and site.key; a renewed certificate is used as soon as it lies there.
        proxy: `http://[user:password@]host:port` of a proxy that knows CONNECT, or empty.
    Raises: ConfigError: the address, the proxy or the certificate cannot be used.
    """

    def __init__(self, address: str, pki: Path, proxy: str = "") -> None:
        self._host, self._port = split_address(address)
        self._pki = pki
        self._proxy = _proxy_of(proxy)
        self._lock = Lock()
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._files = self._stamp()
        try:
            self._context = _context(pki)
        except (OSError, SSLError) as error:
            raise ConfigError(
                f"This site's certificate in {pki} cannot be used ({error})", fix="run `fl-client join INVITE`"
            ) from None

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one call and return its answer.

        Raises: ConnectionProblem: nobody answered, and why.
        """
        connection = self._idle_connection()
        try:
            if connection is not None:
                try:
                    return self._exchange(connection, path, headers, body)
                except (OSError, HTTPException) as error:
                    # The other side may close a connection that rested, just as it is taken up again.
                    if isinstance(error, TimeoutError):
                        raise
            return self._exchange(self._connect(), path, headers, body)
        except (OSError, HTTPException) as error:
            raise self._problem(error) from None

    def close(self) -> None:
        """Close what rests."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _exchange(self, connection: HTTPConnection, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        context = self._context
        try:
            connection.request("POST", path, _slices(body), {**headers, "Content-Length": str(len(body))})
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            connection.close()
            raise
        if response.will_close or context is not self._context:
            connection.close()
        else:
            with self._lock:
                self._idle.append((connection, time.monotonic()))
        flower = tuple((name, value) for name, value in response.getheaders() if name.lower().startswith("flwr-"))
        return Answer(response.status, response.headers.get("Content-Type", ""), content, flower)

    def _idle_connection(self) -> HTTPConnection | None:
        self._renew()
        with self._lock:
            while self._idle:
                connection, since = self._idle.pop()
                if time.monotonic() - since < REST_S:
                    return connection
                connection.close()
        return None

    def _connect(self) -> HTTPConnection:
        if self._proxy is None:
            connection = HTTPSConnection(self._host, self._port, timeout=STEP_S, context=self._context)
        else:
            host, port, credentials = self._proxy
            connection = HTTPSConnection(host, port, timeout=STEP_S, context=self._context)
            connection.set_tunnel(self._host, self._port, headers=credentials)
        return connection

    def _renew(self) -> None:
        stamp = self._stamp()
        if stamp == self._files:
            return
        try:
            context = _context(self._pki)
        except (OSError, SSLError):
            return  # certificate and key are written one after the other: the second is not there yet
        self._context, self._files = context, stamp
        self.close()
        logger.info("The site's certificate was renewed")

    def _stamp(self) -> tuple[object, ...]:
        found = [
            (self._pki / name).stat() for name in ("ca.crt", "site.crt", "site.key") if (self._pki / name).exists()
        ]
        return tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in found)

    def _problem(self, error: Exception) -> ConnectionProblem:
        way = f"{self._host}:{self._port}" + (" through the proxy" if self._proxy else "")
        if isinstance(error, SSLError):
            return ConnectionProblem(
                f"No TLS connection with {way}: {getattr(error, 'verify_message', '') or error.reason or 'broken off'}",
                fix="check that nothing in between opens TLS, and that this site's certificate has not expired",
            )
        if isinstance(error, TimeoutError):
            return ConnectionProblem(
                f"{way} does not answer in time", fix="it is tried again; ask the network's people if it stays so"
            )
        return ConnectionProblem(
            f"{way} cannot be reached: {str(error)[:200] or type(error).__name__}",
            fix="it is tried again; check the address, the network and the [proxy] setting if it stays so",
        )


def is_readable(connection: socket.socket) -> bool:
    """Say whether the other side of a connection has sent something or has gone."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))


def _slices(body: bytes) -> Iterator[memoryview]:
    # Each slice has its own time: a socket's is for all of what is sent at once.
    view = memoryview(body)
    return (view[start : start + SLICE_BYTES] for start in range(0, len(body), SLICE_BYTES))


def _context(pki: Path) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.minimum_version = TLSVersion.TLSv1_2
    context.verify_mode = CERT_REQUIRED
    context.load_verify_locations(pki / "ca.crt")
    context.load_cert_chain(pki / "site.crt", pki / "site.key")
    return context


def _proxy_of(url: str) -> tuple[str, int, dict[str, str]] | None:
    if not url:
        return None
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "http" or not host or not port:
        # Without the address, which may hold a password.
        raise ConfigError("proxy.url is not http://[user:password@]host:port", fix="correct it in site.toml")
    if parts.username is None:
        return host, port, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return host, port, {"Proxy-Authorization": "Basic " + b64encode(pair).decode("ascii")}
