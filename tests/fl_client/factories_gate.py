"""A gate on loopback, and SuperNode's side of it."""

import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from fl_client.fleet_messages import MEDIA_TYPE
from fl_client.gate import GateSettings, open_gate
from fl_client.relay import Answer
from fl_client.site_records import SiteRecords
from fl_client.traffic import Traffic
from tests.fl_client.factories_fleet import Call


@contextmanager
def gate(
    pki: Path, address: str, proxy: str = "", traffic: Traffic | None = None, records: SiteRecords | None = None
) -> Iterator[int]:
    settings = GateSettings(address, proxy, pki, 0, pki / "supernode.silent", pki / "superexec.bell", pki / "node.id")
    kept = records or SiteRecords("north", f"sqlite:///{pki / 'records.db'}")
    with open_gate(settings, traffic or Traffic(), kept) as port:
        yield port


class SuperNode:
    """Calls the gate as SuperNode does."""

    def __init__(self, pki: Path, port: int) -> None:
        trust = ssl.create_default_context(cafile=str(pki / "gate.crt"))
        self.http = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=30, trust_env=False)
        self.signed = signature(pki / "node.key")

    def __enter__(self) -> "SuperNode":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, name: str, body: bytes = b"", **headers: str) -> httpx.Response:
        return self.http.post(
            f"/v1/fleet/{name}",
            content=body,
            headers={"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE} | self.signed | headers,
        )


def signature(key: Path) -> dict[str, str]:
    """The headers that SuperNode signs a call with."""
    private = load_ssh_private_key(key.read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    moment = datetime.now(UTC).isoformat()
    return {
        "flwr-public-key": b64encode(public_key_to_bytes(private.public_key())).decode(),
        "flwr-timestamp": moment,
        "flwr-signature": b64encode(sign_message(private, moment.encode())).decode(),
    }


def one_after_another(*answers: Answer | type[Exception]) -> Callable[[Call], Answer]:
    """Answer the first call with the first answer, and so on; the last one stays."""
    waiting = list(answers)

    def answer(_call: Call) -> Answer:
        this = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(this, type):
            raise this
        return this

    return answer


def connected(pki: Path, port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(pki / "gate.crt"))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
