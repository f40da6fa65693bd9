"""What a site may ask of the coordinator: every call of core/site_protocol.py, and nothing else."""

import time
from types import TracebackType
from typing import TypeVar

import httpx
from pydantic import ValidationError

from core.config import Section
from core.errors import ConnectionProblem
from core.site_protocol import (
    SITE_PROTOCOL,
    Answer,
    Enrolled,
    Enrollment,
    Models,
    Offers,
    Orders,
    ProtocolInfo,
    Renewal,
    Renewed,
    Status,
    Transferred,
    json_of,
)
from fl_client.config import SiteConfig
from fl_client.connection import call, client_for, open_connection, trusting
from fl_client.paths import SiteHome

# A model's file, or a test transfer, on a slow line.
TRANSFER_S = 600.0

MessageT = TypeVar("MessageT", bound=Section)


class Coordinator:
    """The coordinator as this site reaches it; every call raises as `fl_client.connection.call` does."""

    def __init__(self, site: SiteConfig, home: SiteHome) -> None:
        """Prepare to connect; nothing is sent yet.

        Raises: ConfigError: site.toml names no coordinator, or this site is not enrolled.
        """
        self._client = open_connection(site, home)

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def protocol(self) -> ProtocolInfo:
        """Return what the coordinator speaks, its clock, and as whom it knows this site."""
        return _read(ProtocolInfo, call(self._client, "GET", "protocol"))

    def offers(self) -> Offers:
        """Return every study that this site was offered."""
        return _read(Offers, call(self._client, "GET", "offers"))

    def bundle(self, study: str) -> bytes:
        """Return a study's app bundle."""
        return call(self._client, "GET", f"offers/{study}/bundle", timeout=TRANSFER_S).content

    def frozen(self, study: str) -> bytes:
        """Return the frozen weights that a study names."""
        return call(self._client, "GET", f"offers/{study}/frozen", timeout=TRANSFER_S).content

    def answer(self, study: str, answer: Answer) -> None:
        """Approve or refuse a study."""
        call(self._client, "POST", f"offers/{study}", json=json_of(answer))

    def status(self, status: Status) -> Orders:
        """Say what this site does, and return what the coordinator wants of it."""
        return _read(Orders, call(self._client, "POST", "status", json=json_of(status)))

    def renew(self, request: str) -> Renewed:
        """Return a fresh certificate for a certificate request (PKCS#10, PEM)."""
        return _read(Renewed, call(self._client, "POST", "renew", json=json_of(Renewal(certificate_request=request))))

    def leave(self) -> None:
        """Leave the federation: this site's certificate is void from now on."""
        call(self._client, "POST", "leave", json={})

    def models(self) -> Models:
        """Return every approved model version."""
        return _read(Models, call(self._client, "GET", "models"))

    def model_file(self, version: str, file: str) -> bytes:
        """Return a file of a model version."""
        return call(self._client, "GET", f"models/{version}/{file}", timeout=TRANSFER_S).content

    def send(self, content: bytes) -> float:
        """Send bytes for a test and return the seconds that took.

        Raises: ConnectionProblem: not all of them arrived.
        """
        began = time.monotonic()
        arrived = _read(Transferred, call(self._client, "POST", "transfer", content=content, timeout=TRANSFER_S)).bytes
        return _complete(arrived, len(content), began)

    def receive(self, count: int) -> float:
        """Receive so many bytes for a test and return the seconds that took.

        Raises: ConnectionProblem: not all of them arrived.
        """
        began = time.monotonic()
        answer = call(self._client, "GET", "transfer", params={"bytes": count}, timeout=TRANSFER_S)
        return _complete(len(answer.content), count, began)


def enroll(address: str, proxy: str, ca: str, enrollment: Enrollment) -> Enrolled:
    """Ask to be enrolled: the only call without a certificate of this site's own.

    Args:
        address, proxy: as in `fl_client.connection.client_for`.
        ca: the federation's CA certificate, PEM, compared with the invitation already.
        enrollment: with the one-time token.
    """
    with client_for(address, proxy, trusting(ca)) as client:
        return _read(Enrolled, call(client, "POST", "enroll", json=json_of(enrollment)))


def check_protocol(told: ProtocolInfo) -> None:
    """Refuse a coordinator that speaks another protocol.

    Raises: ConnectionProblem: it does.
    """
    if told.protocol != SITE_PROTOCOL:
        raise ConnectionProblem(
            f"The coordinator speaks protocol {told.protocol} (release {told.release}), this site {SITE_PROTOCOL}",
            fix="install the same release of GlioFed on both sides",
        )


def _read(kind: type[MessageT], answer: httpx.Response) -> MessageT:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError:
        raise ConnectionProblem(
            f"The coordinator's answer is no {kind.__name__} as this release knows it",
            fix="install the same release of GlioFed on both sides",
        ) from None


def _complete(arrived: int, sent: int, began: float) -> float:
    if arrived != sent:
        raise ConnectionProblem(
            f"Of {sent} bytes {arrived} arrived", fix="something on the way cuts transfers: ask the network's people"
        )
    return time.monotonic() - began
