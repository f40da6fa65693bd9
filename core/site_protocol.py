"""What a site and the coordinator say to each other beside Flower's tasks and updates, over `/v1/site/`.

JSON both ways, mutual TLS on every call but two: `POST enroll`, which brings a one-time token, and `GET ca.crt`, the
federation's public CA certificate, which a site compares with the fingerprint in its invitation before it trusts it.

GET  ca.crt                      the CA certificate, PEM
POST enroll       Enrollment  -> Enrolled
POST renew        Renewal     -> Renewed
GET  protocol                 -> ProtocolInfo
GET  offers                   -> Offers
GET  offers/<study>/bundle    -> the app bundle, bytes
GET  offers/<study>/frozen    -> the frozen weights that it names, bytes
POST offers/<study>  Answer   -> {}
POST status       Status      -> Orders
POST leave                    -> {}
GET  models                   -> Models
GET  models/<version>/<file>  -> the file, bytes: card.json, weights.safetensors, calibration.json or approval.json
POST transfer     bytes       -> Transferred: how many arrived
GET  transfer?bytes=N         -> N bytes

A refusal or failure has a 4xx or 5xx status and the body Refusal.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from core.config import Section
from core.study import SHA256_OR_NONE

PREFIX = "/v1/site"
# A change that an older side cannot answer raises it; both sides name theirs and refuse another.
SITE_PROTOCOL = 3
MAX_TRANSFER_BYTES = 64 * 2**20

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Refusal(Section):
    """Why a call was not answered, and what to do."""

    problem: str
    fix: str


class Enrollment(Section):
    """A site asks to be enrolled."""

    protocol: int
    release: str = Field(max_length=30)
    site: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    token: str = Field(max_length=200)
    certificate_request: str = Field(max_length=10_000, description="PKCS#10, PEM")
    node_key: str = Field(max_length=1_000, description="SuperNode's public key, OpenSSH")
    audit_key: str = Field(max_length=1_000, description="Ed25519 public key that signs this site's audit head, PEM")


class Enrolled(Section):
    """The site is enrolled."""

    certificate: str = Field(description="client certificate, PEM")
    coordinator_key: str = Field(description="Ed25519 public key that signs model versions and audit heads, PEM")
    renew_at: str = Field(description="when the certificate should be renewed; text of core.clock")


class Renewal(Section):
    """A site asks for a fresh certificate, with the one it has."""

    certificate_request: str = Field(max_length=10_000)


class Renewed(Section):
    """The fresh certificate."""

    certificate: str
    renew_at: str


class ProtocolInfo(Section):
    """What the coordinator speaks."""

    protocol: int
    release: str
    time: str = Field(description="the coordinator's clock, text of core.clock")
    site: str = Field(description="as whom the caller is known")


class StudyOffer(Section):
    """A study that this site was offered."""

    study: str
    toml: str = Field(description="the study's study.toml, all its settings")
    bundle_sha256: Digest
    rounds_close: str = Field(description="quorum, deadline and grace in one sentence")
    sites: list[str] = Field(description="names of all sites that were asked")
    state: Literal["pending", "approved", "refused"]
    reason: str
    offered_at: str


class Offers(Section):
    """Every study that this site was offered, oldest first."""

    offers: list[StudyOffer]


class Answer(Section):
    """A site's answer to an offer; a later answer replaces an earlier one."""

    state: Literal["approved", "refused"]
    reason: str = Field("", max_length=500)
    bundle_sha256: Digest


class Status(Section):
    """What a site does right now, and what its work for a run has come to so far."""

    state: Literal["idle", "training", "evaluating", "uploading"]
    run: str = Field("", max_length=80)
    round: int = Field(0, ge=0)
    # Of work under differential privacy neither steps nor times are told: they would tell how many patients there are.
    done: int = Field(0, ge=0, description="steps of this state's work that are done; 0 where they are not told")
    total: int = Field(0, ge=0)
    progressed_at: str = Field(
        max_length=27, description="when `done` last grew, or where it is not told, now; text of core.clock"
    )
    expected_end: str | None = Field(None, max_length=27, description="while idle: when this site's own hours begin")
    device: str = Field("", max_length=100)
    cause: str = Field("", max_length=500, description="our own sentence for what is wrong, or empty")
    sent_bytes: int = Field(0, ge=0, description="for this run, over the wire")
    received_bytes: int = Field(0, ge=0)
    cpu_s: float = Field(0, ge=0, description="seconds of training for this run on a CPU")
    gpu_s: float = Field(0, ge=0)
    receipt: Digest = Field(description="head of this site's audit log")
    events: int = Field(ge=0, description="how many events that log has, but for those that name patients")


class Orders(Section):
    """What the coordinator wants of a site."""

    cancel: list[str] = Field(description="runs that must not go on")
    active: list[str] = Field(description="runs that are under way and may soon bring a task")
    pending_offers: list[str] = Field(description="studies that wait for this site's answer")
    receipt: Digest = Field(description="head of the coordinator's audit log")
    seen: str = Field(pattern=SHA256_OR_NONE, description="the head of this site's log as last heard of")


class PublishedVersion(Section):
    """An approved model version that a site may have."""

    name: str
    study: str
    files: dict[str, int] = Field(description="bytes by file name")


class Models(Section):
    """Every approved model version, oldest first, and the names of those that were retired since."""

    versions: list[PublishedVersion]
    retired: list[str] = Field(description="of these only approval.json is given: the signed retirement")


class Transferred(Section):
    """How many bytes of a test transfer arrived."""

    bytes: int


def json_of(message: Section) -> dict[str, Any]:
    """Return a message as JSON."""
    return message.model_dump(mode="json")
