"""A coordinator that answers sites over mutual TLS as it is told to, on loopback, in a thread."""

import hashlib
import io
import json
import secrets
import ssl
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_pem_x509_csr

from core.certificates import Use, certificate_text, fingerprint, issue, new_key, private_text, read_certificate
from core.clock import after, now
from core.invitation import Invitation, invitation_text
from core.signing import public_text
from core.site_protocol import PREFIX, SITE_PROTOCOL

Reply = tuple[int, dict | bytes]


def a_bundle(toml: str, member: str = "gliofed_study/study.toml") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pyproject.toml", "[project]\n")
        archive.writestr(member, toml)
    return content.getvalue()


class ScriptedCoordinator:
    """Honest unless told otherwise.

    Attributes:
        calls: every call, as `GET protocol`.
        scripted: by call, what to answer instead; it may be a function of the body.
        offers, orders, versions, retired: what it has for the site.
        statuses, answers: what it was told.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", valid: timedelta = timedelta(days=1)) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_key = new_key()
        self.ca = issue("test CA", self.ca_key.public_key(), timedelta(days=1), Use.AUTHORITY, self.ca_key)
        self.ca_text = certificate_text(self.ca)
        self.signing = Ed25519PrivateKey.generate()
        server_key = new_key()
        server = issue(host, server_key.public_key(), valid, Use.SERVER, self.ca_key, issuer=self.ca, hosts=[host])
        (folder / "server.pem").write_text(private_text(server_key) + certificate_text(server))
        (folder / "ca.crt").write_text(self.ca_text)
        self.token = secrets.token_urlsafe(30)
        self.used = False
        self.renew_at = after(3600)
        self.calls: list[str] = []
        self.scripted: dict[str, Reply | Callable[[bytes], Reply]] = {}
        self.offers: list[dict] = []
        self.bundles: dict[str, bytes] = {}
        self.orders: dict = {"cancel": [], "active": [], "pending_offers": [], "receipt": "0" * 64, "seen": ""}
        self.versions: dict[str, dict[str, bytes]] = {}
        self.retired: list[str] = []
        self.statuses: list[dict] = []
        self.answers: dict[str, dict] = {}
        self.enrollments: list[dict] = []
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def invite(self, site: str = "north", **changed: str) -> str:
        about = {
            "address": self.address,
            "ca_sha256": fingerprint(self.ca_text),
            "token": self.token,
            "site": site,
            "expires_at": after(3600),
        }
        return invitation_text(Invitation.model_validate(about | changed))

    def offer(self, toml: str, study: str = "tiny", **changed: object) -> bytes:
        self.bundles[study] = a_bundle(toml)
        offer = {
            "study": study,
            "toml": toml,
            "bundle_sha256": hashlib.sha256(self.bundles[study]).hexdigest(),
            "rounds_close": "2 of 2 sites within 1 hour, else pause and keep what is done",
            "sites": ["north", "south"],
            "state": "pending",
            "reason": "",
            "offered_at": now(),
        }
        self.offers = [other for other in self.offers if other["study"] != study] + [offer | changed]
        return self.bundles[study]

    def certificate_for(self, request: str, site: str = "north", valid: timedelta = timedelta(hours=12)) -> str:
        key = load_pem_x509_csr(request.encode()).public_key()
        return certificate_text(
            issue(site, key, valid, Use.CLIENT, self.ca_key, issuer=self.ca, hosts=[site])  # type: ignore[arg-type]
        )

    def respond(self, method: str, target: str, body: bytes, site: str) -> Reply:
        url = urlsplit(target)
        call = f"{method} {url.path.removeprefix(PREFIX + '/')}"
        self.calls.append(call)
        if call in self.scripted:
            scripted = self.scripted[call]
            return scripted(body) if callable(scripted) else scripted
        if call == "GET ca.crt":
            return 200, self.ca_text.encode()
        if call == "POST enroll":
            return self._enroll(json.loads(body))
        if not site:
            return 403, {"problem": "No client certificate was shown", "fix": "enroll with an invitation"}
        return self._respond_to_site(call, parse_qs(url.query), body, site)

    def _respond_to_site(self, call: str, query: dict[str, list[str]], body: bytes, site: str) -> Reply:
        parts = call.partition(" ")[2].split("/")
        if call == "GET protocol":
            return 200, {"protocol": SITE_PROTOCOL, "release": "0.2.0", "time": now(), "site": site}
        if call == "POST renew":
            request = json.loads(body)["certificate_request"]
            self.renew_at = after(3600)
            return 200, {"certificate": self.certificate_for(request, site), "renew_at": self.renew_at}
        if call == "GET offers":
            return 200, {"offers": self.offers}
        if parts[0] == "offers" and parts[-1] == "bundle":
            return 200, self.bundles[parts[1]]
        if parts[0] == "offers":
            self.answers[parts[1]] = json.loads(body)
            return 200, {}
        if call == "POST status":
            self.statuses.append(json.loads(body))
            return 200, self.orders
        if call == "GET models":
            versions = [
                {"name": name, "study": "tiny", "files": {file: len(content) for file, content in files.items()}}
                for name, files in self.versions.items()
                if name not in self.retired
            ]
            return 200, {"versions": versions, "retired": self.retired}
        if parts[0] == "models":
            return 200, self.versions[parts[1]][parts[2]]
        if call == "POST transfer":
            return 200, {"bytes": len(body)}
        if call == "GET transfer":
            return 200, bytes(int(query["bytes"][0]))
        assert call == "POST leave", call
        return 200, {}

    def _enroll(self, enrollment: dict) -> Reply:
        self.enrollments.append(enrollment)
        if self.used or enrollment["token"] != self.token:
            return 403, {"problem": "The invitation was used or withdrawn", "fix": "ask for a new invitation"}
        self.used = True
        return 200, {
            "certificate": self.certificate_for(enrollment["certificate_request"], enrollment["site"]),
            "coordinator_key": public_text(self.signing.public_key()),
            "renew_at": self.renew_at,
        }


@contextmanager
def serving(coordinator: ScriptedCoordinator) -> Iterator[ScriptedCoordinator]:
    """Serve on a free port of loopback while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            certificate = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
            site = _name_of(certificate) if certificate else ""
            status, content = coordinator.respond(self.command, self.path, body, site)
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = answer  # noqa: N815 (the names that http.server calls)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(coordinator.folder / "server.pem")
    context.load_verify_locations(coordinator.folder / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = QuietServer(("127.0.0.1", coordinator.port), Handler)
    # In each connection's own thread, so that one that fails does not stop the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    coordinator.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield coordinator
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A failed handshake is what some tests want to see at the other side."""


def _name_of(certificate: bytes) -> str:
    subject = read_certificate(ssl.DER_cert_to_PEM_cert(certificate)).subject
    return str(next(iter(subject)).value)
