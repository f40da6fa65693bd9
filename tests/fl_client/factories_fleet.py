"""A coordinator of the tests' own: real mutual TLS on loopback, and answers as a test says."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.proto.fleet_pb2 import ActivateNodeResponse, DeactivateNodeResponse, PullMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse

from core.certificates import Use, certificate_text, issue, new_key, private_text, read_certificate
from core.files import write_private
from fl_client.door import make_gate_certificate
from fl_client.fleet_messages import MEDIA_TYPE
from fl_client.relay import Answer
from fl_client.supernode import make_node_key


@dataclass(frozen=True)
class Call:
    """A call that reached the coordinator: by whom (common name), its path, headers and body."""

    site: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass
class Coordinator:
    """What it answers (or raises ConnectionResetError), what has reached it, and over how many connections."""

    port: int
    answering: Callable[[Call], Answer]
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def names(self) -> list[str]:
        return [call.name for call in self.calls]


def ok(body: bytes = b"") -> Answer:
    return Answer(200, MEDIA_TYPE, body)


def make_pki(folder: Path, site: str = "north") -> Path:
    """A federation's CA, the coordinator's and one site's certificate, and the gate's own."""
    key = new_key()
    ca = issue("test CA", key.public_key(), timedelta(days=1), Use.AUTHORITY, key)
    write_private(folder / "ca.key", private_text(key))
    write_private(folder / "ca.crt", certificate_text(ca))
    server = new_key()
    certificate = issue(
        "coordinator", server.public_key(), timedelta(days=1), Use.SERVER, key, issuer=ca, hosts=["127.0.0.1"]
    )
    write_private(folder / "server.key", private_text(server))
    write_private(folder / "server.crt", certificate_text(certificate))
    make_gate_certificate(folder)
    make_node_key(folder / "node.key", folder / "node.pub")
    renew(folder, site)
    return folder


def renew(pki: Path, site: str) -> None:
    """Give the site a new key and certificate."""
    signer = load_pem_private_key((pki / "ca.key").read_bytes(), None)
    key = new_key()
    issuer = read_certificate((pki / "ca.crt").read_text())
    certificate = issue(site, key.public_key(), timedelta(days=1), Use.CLIENT, signer, issuer=issuer)
    write_private(pki / "site.crt", certificate_text(certificate))
    write_private(pki / "site.key", private_text(key))


@contextmanager
def coordinator(
    pki: Path, answering: Callable[[Call], Answer] = lambda call: ok(), *, knows_sites: bool = True
) -> Iterator[Coordinator]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED if knows_sites else ssl.CERT_NONE

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 2**16
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with there.lock:
                there.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            shown = self.connection.getpeercert() or {"subject": ()}
            names = dict(part[0] for part in shown["subject"])
            call = Call(names.get("commonName", ""), self.path, dict(self.headers), body)
            with there.lock:
                there.calls.append(call)
            try:
                answer = there.answering(call)
            except ConnectionResetError:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[ssl.SSLSocket, tuple[str, int]]:
            connection, peer = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Answers) as server:
        there = Coordinator(server.server_address[1], answering)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield there
        finally:
            server.shutdown()


def as_superlink(call: Call) -> Answer:
    """Answer as a SuperLink that knows the node and has nothing for it."""
    answers = {
        "activate-node": ActivateNodeResponse(node_id=7),
        "send-node-heartbeat": SendNodeHeartbeatResponse(success=True),
        "pull-messages": PullMessagesResponse(),
        "deactivate-node": DeactivateNodeResponse(),
    }
    return ok(answers[call.name].SerializeToString())
