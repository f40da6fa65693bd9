"""How a site comes in: it is invited, enrolled with its one-time token, and renews its certificate.

Each change is one transaction with its audit event. Registering a node with Flower takes seconds and cannot be rolled
back, so it happens outside: before the token is used up, and undone where another has used the token meanwhile.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.clock import after, now
from core.errors import AccessError, FLError
from core.invitation import Invitation
from core.records import audit
from core.records.db import reading, transaction
from core.records.tables import Certificate, Presence, Site
from core.records.tables import Invitation as InvitationRow
from core.signing import public_of
from core.site_protocol import SITE_PROTOCOL, Enrolled, Enrollment, Renewed
from fl_server.presence import printable
from fl_server.provisioning import Authority, SiteCertificate, sign_site
from fl_server.sites import COORDINATOR, cancel_invitations, forget_node, revoke_certificates

INVITATION_LIFE = timedelta(days=7)
# Live certificates of one site: it renews once in 60 days, so more than a few at a time is a fault or a thief.
MOST_CERTIFICATES = 10


@dataclass(frozen=True)
class Federation:
    """What it takes to let a site in.

    Attributes:
        records: the coordinator's database.
        authority: signs the site's certificate.
        coordinator_key: Ed25519 public key, PEM, that a site is to trust for models and audit heads.
        register: makes a node known to Flower by its public key (OpenSSH) and the site's name; returns the node's id.
        unregister: makes Flower forget a node by its id.
    """

    records: Engine
    authority: Authority
    coordinator_key: str
    register: Callable[[str, str], str]
    unregister: Callable[[str], None]


def invite(
    records: Engine, *, site: str, address: str, ca_sha256: str, valid_for: timedelta = INVITATION_LIFE
) -> Invitation:
    """Invite a site, or invite it again: earlier invitations that were not used no longer hold.

    Args:
        records: the coordinator's database.
        site: the name it will be known by.
        address: where it reaches the coordinator.
        ca_sha256: the fingerprint of the federation's authority.
        valid_for: how long the invitation can be used.
    Raises: AccessError: the site was revoked.
    """
    token, expires_at = secrets.token_urlsafe(32), after(valid_for.total_seconds())
    invitation = Invitation(address=address, ca_sha256=ca_sha256, token=token, site=site, expires_at=expires_at)
    with transaction(records) as session:
        row = session.get(Site, site)
        if row is None:
            session.add(Site(name=site, state="invited", invited_at=now()))
            session.flush()
        elif row.state == "revoked":
            raise AccessError(f"{site} was revoked", fix="invite the hospital under another name")
        else:
            row.invited_at = now()
            row.state = "invited" if row.state == "left" else row.state
            cancel_invitations(session, site)
        session.add(InvitationRow(token_sha256=_digest(token), site=site, expires_at=expires_at))
        audit.append(session, COORDINATOR, "site.invited", site=site, expires_at=expires_at)
    return invitation


def enroll(federation: Federation, enrollment: Enrollment) -> Enrolled:
    """Let an invited site in: sign its certificate and make its node known to Flower.

    Raises:
        AccessError: another protocol, a token that was not given, was used or has expired, a site that is suspended or
            revoked, or a key that cannot be used.
        FederationError: Flower did not take the node; the invitation can be used again.
    """
    check_protocol(enrollment.protocol)
    _check_keys(enrollment)
    with reading(federation.records) as session:
        _check_invitation(session, enrollment)
    certificate = sign_site(federation.authority, enrollment.certificate_request, enrollment.site)
    node_id = federation.register(enrollment.node_key, enrollment.site)
    try:
        replaced = _enter(federation.records, enrollment, certificate, node_id)
    except FLError:
        federation.unregister(node_id)
        raise
    if replaced:
        forget_node(federation.unregister, enrollment.site, replaced)
    return Enrolled(
        certificate=certificate.pem, coordinator_key=federation.coordinator_key, renew_at=certificate.renew_at
    )


def check_protocol(protocol: object) -> None:
    """Refuse a site that speaks another protocol.

    Raises: AccessError: it does.
    """
    if protocol != SITE_PROTOCOL:
        raise AccessError(
            f"The site speaks protocol {protocol if isinstance(protocol, int) else 'unknown'}, "
            f"the coordinator {SITE_PROTOCOL}",
            fix="install the same release of GlioFed on both sides",
        )


def renew(federation: Federation, site: str, request: str) -> Renewed:
    """Sign a fresh certificate for a site; the one it has stays valid until its end, in case the answer is lost.

    Raises: AccessError: the request cannot be used, or the site has renewed too often.
    """
    certificate = sign_site(federation.authority, request, site)
    with transaction(federation.records) as session:
        live = select(func.count()).select_from(Certificate)
        live = live.where(Certificate.site == site, Certificate.revoked_at.is_(None), Certificate.not_after > now())
        if (session.scalar(live) or 0) >= MOST_CERTIFICATES:
            raise AccessError(
                f"{site} has {MOST_CERTIFICATES} valid certificates already",
                fix="ask the coordinator for an invitation",
            )
        session.add(_row_of(certificate, site))
        audit.append(
            session, f"site:{site}", "site.renewed", site=site, serial=certificate.serial, until=certificate.not_after
        )
    return Renewed(certificate=certificate.pem, renew_at=certificate.renew_at)


def _check_keys(enrollment: Enrollment) -> None:
    try:
        public_of(enrollment.audit_key)
        node_key = load_ssh_public_key(enrollment.node_key.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        node_key = None
    if not isinstance(node_key, EllipticCurvePublicKey):
        raise AccessError(
            "The audit key is no Ed25519 key, or the node key none on a NIST curve", fix="join with fl-client"
        )


def _check_invitation(session: Session, enrollment: Enrollment) -> Site:
    fix = "ask the coordinator for a new invitation"
    expected = _digest(enrollment.token)
    invitation = session.get(InvitationRow, expected)
    # The database looked a hash up, which tells nothing of the token; the comparison that decides takes the same time.
    if invitation is None or not hmac.compare_digest(invitation.token_sha256, expected):
        raise AccessError("The invitation's token is not known", fix=fix)
    if invitation.site != enrollment.site:
        raise AccessError(f"The invitation is not for {enrollment.site}", fix=fix)
    if invitation.used_at is not None:
        raise AccessError(f"The invitation of {invitation.site} was used or withdrawn", fix=fix)
    if invitation.expires_at <= now():
        raise AccessError(f"The invitation of {invitation.site} has expired", fix=fix)
    site = session.get_one(Site, invitation.site)
    if site.state not in ("invited", "enrolled"):
        raise AccessError(f"{site.name} is {site.state}", fix="ask the coordinator")
    return site


def _enter(records: Engine, enrollment: Enrollment, certificate: SiteCertificate, node_id: str) -> str | None:
    """Use the token up and enter the site; returns the node that it had before, if any."""
    with transaction(records) as session:
        site = _check_invitation(session, enrollment)
        replaced, moment = site.node_id, now()
        revoke_certificates(session, site.name)
        cancel_invitations(session, site.name)
        site.state, site.node_id, site.enrolled_at, site.seen_at = "enrolled", node_id, moment, moment
        site.log_events = site.log_head = site.log_lost_at = None  # it may come with a log of its own beginning
        site.protocol, site.release = enrollment.protocol, printable(enrollment.release)
        session.add(_row_of(certificate, site.name))
        if session.get(Presence, site.name) is None:
            session.add(_idle(site.name, moment))
        audit.append(
            session,
            f"site:{site.name}",
            "site.enrolled",
            site=site.name,
            serial=certificate.serial,
            until=certificate.not_after,
            node=node_id,
            release=printable(enrollment.release),
            audit_key=enrollment.audit_key,
        )
    return replaced


def _row_of(certificate: SiteCertificate, site: str) -> Certificate:
    return Certificate(serial=certificate.serial, site=site, issued_at=now(), not_after=certificate.not_after)


def _idle(site: str, moment: str) -> Presence:
    return Presence(
        site=site, state="idle", run="", round=0, done=0, total=0, progressed_at=moment, device="", cause=""
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
