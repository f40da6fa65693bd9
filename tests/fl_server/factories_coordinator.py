"""A coordinator's home, its processes and sites with certificates, for tests of the edge and what lies behind it.

`python -m tests.fl_server.factories_coordinator HOME` serves the site API of such a home, with Flower's own
registration where its state is there and a made-up one where it is not.
"""

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine

from core.certificates import new_key, private_text, request_text, serial_of
from core.clock import now
from core.files import private_folder
from core.records.audit import events
from core.records.db import open_database, reading, transaction
from core.records.registry import approved_versions, retired_versions
from core.records.tables import AuditEvent, Certificate
from core.signing import load_public, make_key, public_text
from core.site_protocol import SITE_PROTOCOL, Enrollment
from core.supervision import Process
from fl_server.edge import edge_process, write_edge
from fl_server.enrollment import Federation, enroll, invite
from fl_server.fleet import register_node, unregister_node
from fl_server.provisioning import (
    Authority,
    authority_fingerprint,
    load_authority,
    make_authority,
    sign_site,
)
from fl_server.site_api import make_app, serve
from fl_server.site_routes import site_routes
from tests.factories_ports import free_port

PASSPHRASE = "a passphrase of the tests"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Coordinator:
    """A coordinator that was initialized."""

    home: Path
    host: str
    port: int
    authority: Authority
    records: Engine
    federation: Federation

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.address}"


@dataclass(frozen=True)
class Identity:
    """Files of a client certificate."""

    site: str
    certificate: Path
    key: Path
    serial: str


@contextmanager
def coordinator(host: str = "127.0.0.1", port: int | None = None, database: str = "") -> Iterator[Coordinator]:
    """A coordinator's home in a folder with a short name: Unix sockets' paths have at most 107 bytes.

    Args:
        host, port: of its edge; by default a free one on loopback.
        database: address of its records; by default in its home.
    """
    home = Path(tempfile.mkdtemp(prefix="gliofed-"))
    try:
        address = f"{host}:{port or free_port()}"
        authority = make_authority(home, address, PASSPHRASE)
        make_key(home / "keys" / "signing.key", home / "keys" / "signing.pub", PASSPHRASE)
        private_folder(home / "registry")
        records = open_database(database or f"sqlite:///{home / 'records.db'}")
        federation = federation_of(home, authority, records)
        yield Coordinator(home, host, int(address.rpartition(":")[2]), authority, records, federation)
        records.dispose()
    finally:
        shutil.rmtree(home)


def federation_of(home: Path, authority: Authority, records: Engine) -> Federation:
    """Federation whose nodes are Flower's where Flower was set up in this home, and made up where it was not."""
    key = (home / "keys" / "signing.pub").read_text()
    if (home / "flower" / "config.toml").exists():
        return Federation(records, authority, key, partial(register_node, home), partial(unregister_node, home))
    return Federation(records, authority, key, lambda _key, site: str(1000 + len(site)), lambda _node: None)


def enrollment(site: str, token: str, **changed: object) -> tuple[Enrollment, str]:
    """What a site's `fl-client join` sends, and its private key."""
    key = new_key()
    with tempfile.TemporaryDirectory() as folder:
        audit_key = public_text(make_key(Path(folder, "audit.key"), Path(folder, "audit.pub")).public_key())
    sent: dict[str, object] = {
        "protocol": SITE_PROTOCOL,
        "release": "0.1.0",
        "site": site,
        "token": token,
        "certificate_request": request_text(key, site),
        "node_key": node_key(),
        "audit_key": audit_key,
    }
    return Enrollment.model_validate(sent | changed), private_text(key)


def node_key() -> str:
    """A fresh public key of a SuperNode."""
    public = generate_private_key(SECP384R1()).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def invited(of: Coordinator, site: str, valid_for: timedelta = timedelta(hours=1)) -> str:
    """Invite a site and return its token."""
    ca_sha256 = authority_fingerprint(of.home)
    return invite(of.records, site=site, address=of.address, ca_sha256=ca_sha256, valid_for=valid_for).token


def enrolled(of: Coordinator, site: str) -> Identity:
    """Invite and enroll a site, without the network."""
    sent, key = enrollment(site, invited(of, site))
    return written(of.home, site, enroll(of.federation, sent).certificate, key)


def outdated(of: Coordinator, site: str) -> Identity:
    """An enrolled site whose certificate, which the federation knows, expired a minute ago."""
    enrolled(of, site)
    key = new_key()
    certificate = sign_site(of.authority, request_text(key, site), site, timedelta(minutes=-1))
    with transaction(of.records) as session:
        session.add(Certificate(serial=certificate.serial, site=site, issued_at=now(), not_after=certificate.not_after))
    return written(of.home, site, certificate.pem, private_text(key))


def stranger(of: Coordinator, site: str) -> Identity:
    """A certificate with a site's name from somebody else's authority."""
    with tempfile.TemporaryDirectory() as elsewhere:
        other = make_authority(Path(elsewhere), "elsewhere.example.org", PASSPHRASE)
    key = new_key()
    return written(of.home, f"stranger-{site}", sign_site(other, request_text(key, site), site).pem, private_text(key))


def written(home: Path, site: str, certificate: str, key: str) -> Identity:
    """Write a certificate and its key as a client reads them."""
    folder = private_folder(home / "identities")
    (folder / f"{site}.crt").write_text(certificate)
    (folder / f"{site}.key").write_text(key)
    return Identity(site, folder / f"{site}.crt", folder / f"{site}.key", serial_of(certificate))


def client(of: Coordinator, identity: Identity | None = None, **settings: object) -> httpx.Client:
    """An HTTP client that trusts the federation's authority alone, and shows this certificate."""
    context = ssl.create_default_context(cafile=str(of.home / "pki" / "ca.crt"))
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return httpx.Client(base_url=of.url, verify=context, trust_env=False, timeout=60, **settings)  # type: ignore[arg-type]


def refusals(of: Coordinator) -> list[AuditEvent]:
    """Every refusal that the audit log tells of."""
    with reading(of.records) as session:
        return events(session, action="access.refused", limit=100_000)


@contextmanager
def edge(of: Coordinator, superlink_port: int = 9) -> Iterator[None]:
    """Nginx and the site API of a coordinator."""
    write_edge(of.home, of.address, superlink_port)
    with running(site_api_process(of)), running(edge_process(of.home)):
        wait_for(lambda: accepts(of.host, of.port), "Nginx accepts connections")
        with client(of) as stranger_to_all:  # the site API is up once a refusal is its own, not Nginx's "starting"
            wait_for(lambda: stranger_to_all.get("/v1/site/protocol").status_code == 403, "the site API answers")
        yield


def site_api_process(of: Coordinator) -> Process:
    """The site API in a process of its own."""
    argv = [sys.executable, "-m", "tests.fl_server.factories_coordinator", str(of.home)]
    return Process("site-api", argv, {"PYTHONPATH": str(ROOT), "FL_HOME": str(of.home)})


@contextmanager
def running(process: Process, within: list[str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the coordinator; `within` goes before its command line."""
    private_folder(Path(process.environment.get("FL_HOME", tempfile.gettempdir())))
    started = subprocess.Popen([*(within or []), *process.argv], env=dict(process.environment), cwd=ROOT)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Look again until something holds."""
    gives_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < gives_up, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def accepts(host: str, port: int) -> bool:
    """Say whether somebody listens."""
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


def main(home: Path) -> None:
    """Serve the site API of a home."""
    authority = load_authority(home, PASSPHRASE)
    federation = federation_of(home, authority, open_database(f"sqlite:///{home / 'records.db'}"))
    registry, trusted = home / "registry", load_public(home / "keys" / "signing.pub")
    routes = site_routes(
        registry, partial(approved_versions, registry, trusted), partial(retired_versions, registry, trusted)
    )
    serve(make_app(federation, routes), home / "run" / "site-api.sock")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
