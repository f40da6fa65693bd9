"""A coordinator's edge with two names on one port: the fleet's with mutual TLS, the web's without a question."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.factories_nginx import DEPLOY, NAME, site
from tests.factories_ports import free_port
from tests.fl_server.factories_coordinator import Coordinator, client, coordinator, edge, enrolled
from tests.webapp.factories import USERS, a_home
from tests.webapp.factories_running import Running, running, trusting
from webapp.app import PAGES
from webapp.serving import development_certificate


@dataclass
class Both:
    """A coordinator's edge, and the server of its pages behind it."""

    of: Coordinator
    server: Running


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("two")
    settings = {"site": {"serves": "coordinator"}, "server": {"hosts": ["localhost", NAME], "proxies": 1}}
    with (
        coordinator() as of,
        running(folder, a_home(folder / "home"), USERS, socket_at=folder / "web.sock", **settings) as server,
    ):
        put_site(of, folder, server)
        with edge(of):
            yield Both(of, server)


def put_site(of: Coordinator, folder: Path, server: Running) -> None:
    """Fill the web's site in where the coordinator's edge looks for it, as `install.sh` does."""
    certificate, key = development_certificate(server.config)
    values = {
        "NAME": NAME,
        "LISTEN": f"{of.host}:{of.port}",
        "LISTEN_PLAIN": f"127.0.0.1:{free_port()}",
        "CERTIFICATE": certificate,
        "KEY": key,
        "SOCKETS": f"    server unix:{folder / 'web.sock'};",
        "PAGES": PAGES,
        "ACME": folder,
        "UPLOAD_MB": 64,
        "LOG": of.home / "logs" / "web.log",
        "HEADERS": DEPLOY / "nginx" / "headers.conf",
    }
    place = of.home / "nginx" / "web"
    place.mkdir(parents=True)
    (place / "web.conf").write_text(site(values))


def test_a_browser_gets_the_pages_and_is_asked_for_no_certificate(both: Both) -> None:
    assert ask(both, NAME, NAME, "/app/").startswith(b"HTTP/1.1 200")
    assert ask(both, NAME, NAME, "/session/ways").startswith(b"HTTP/1.1 200")
    assert b"No client certificate CA names sent" in handshake(both, NAME)
    assert b"Acceptable client certificate CA names" in handshake(both, "fl.example.org")


def test_sites_are_served_as_before_and_no_name_is_theirs(both: Both) -> None:
    north = enrolled(both.of, "north")
    with client(both.of, north) as call:
        assert call.get("/v1/site/protocol").status_code == 200
    assert b"Acceptable client certificate CA names" in handshake(both, None)


@pytest.mark.parametrize(
    ("named", "host", "path"),
    [
        (NAME, "127.0.0.1", "/v1/fleet/pull-messages"),  # without a certificate, by the web's name
        (NAME, NAME, "/v1/fleet/pull-messages"),
        (NAME, NAME, "/v1/site/status"),
        ("fl.example.org", NAME, "/session/ways"),  # the web's host over the fleet's name is harmless: it is public
    ],
)
def test_one_name_is_no_way_into_the_other(both: Both, named: str, host: str, path: str) -> None:
    answer = ask(both, named, host, path)
    if path == "/session/ways":
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 421"))
    else:
        assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404", b"HTTP/1.1 421")), answer[:300]


def ask(both: Both, named: str, host: str, path: str) -> bytes:
    """Ask without a client certificate, by one name in the handshake and another in the request."""
    with talking(both, named) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: line.recv(65_536), b""))


@contextmanager
def talking(both: Both, named: str) -> Iterator[ssl.SSLSocket]:
    """A connection by a name; who answers is known by the web's own certificate, or not looked at."""
    context = trusting(both.server.config.data)
    context.check_hostname = False
    if named != NAME:
        context = ssl._create_unverified_context()
    line = socket.create_connection((both.of.host, both.of.port), timeout=60)
    with context.wrap_socket(line, server_hostname=named) as wrapped:
        yield wrapped


def handshake(both: Both, named: str | None) -> bytes:
    """Return what OpenSSL tells of a handshake by a name, or by none."""
    who = ["-servername", named] if named else ["-noservername"]
    argv = ["openssl", "s_client", "-connect", f"{both.of.host}:{both.of.port}", *who]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False).stdout
