"""How a site comes into a federation and out of it, and how its certificate is renewed.

Its keys are made here and never leave. Where site.crt lies the site is enrolled: it is written last, so that a join
which was interrupted or refused leaves nothing in the way of the next.
"""

import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from core.certificates import new_key, not_after, private_text, read_certificate, request_text, serial_of
from core.clock import now
from core.config import validate
from core.errors import AccessError, ConfigError, ConnectionProblem
from core.files import private_folder, write_atomically, write_private
from core.invitation import PREFIX, Invitation, check_not_expired, read_invitation
from core.signing import load_key, make_key, public_of, public_text
from core.site_protocol import SITE_PROTOCOL, Enrolled, Enrollment
from fl_client.config import SiteConfig, load_site
from fl_client.connection import fetch_ca
from fl_client.coordinator import Coordinator, enroll
from fl_client.door import make_gate_certificate
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from fl_client.site_toml import site_toml
from fl_client.supernode import make_node_key

PEOPLE = "it"
SERVICE = "service"


def join(
    invite: str, home: SiteHome, data: Path | None = None, prepared: Path | None = None, proxy: str = ""
) -> Invitation:
    """Make this site's keys, have its certificate signed, and write its settings.

    Args:
        invite: the invitation's line, or the path of a file that holds it.
        home: where all of it is kept.
        data, prepared: folders for site.toml; by default in the home.
        proxy: URL of the hospital's proxy, or empty.
    Returns: the invitation that was accepted.
    Raises:
        ConfigError: it is no invitation, this home is enrolled already, or a site.toml lies there that does not fit.
        AccessError: it has expired, or the coordinator refuses it.
        ConnectionProblem: the coordinator cannot be reached, or is not the one that invited.
    """
    check_not_enrolled(home)
    invitation = read_invitation(_line_of(invite))
    check_not_expired(invitation)
    settings, text = _settings_for(invitation, home, data, prepared, proxy)
    ca = fetch_ca(invitation.address, settings.proxy.url, invitation.ca_sha256)
    for folder in (home.root, home.certificate.parent, home.audit_key.parent):
        private_folder(folder)
    key = new_key()
    write_private(home.key, private_text(key))
    node_key = make_node_key(home.node_key, home.node_public)
    make_gate_certificate(home.certificate.parent)
    # Kept over a leave and another join: it has signed the heads of the audit log that goes on.
    audit_key = load_key(home.audit_key) if home.audit_key.exists() else make_key(home.audit_key, home.audit_public)
    enrolled = enroll(
        invitation.address,
        settings.proxy.url,
        ca,
        Enrollment(
            protocol=SITE_PROTOCOL,
            release=version("gliofed"),
            site=invitation.site,
            token=invitation.token,
            certificate_request=request_text(key, invitation.site),
            node_key=node_key,
            audit_key=public_text(audit_key.public_key()),
        ),
    )
    _store(home, invitation, ca, key, enrolled, text)
    return invitation


def check_not_enrolled(home: SiteHome) -> None:
    """Refuse to join twice.

    Raises: ConfigError: this home has a certificate.
    """
    if home.certificate.exists():
        raise ConfigError(
            f"{home.root} is enrolled already", fix="run `fl-client leave` first, or name another home in FL_HOME"
        )


def renewal_is_due(home: SiteHome) -> bool:
    """Say whether the certificate should be renewed by now."""
    return home.renew_at.exists() and home.renew_at.read_text("ascii").strip() <= now()


def renew(coordinator: Coordinator, records: SiteRecords, home: SiteHome, site: str) -> None:
    """Have a fresh certificate signed; the key stays, so that key and certificate fit at every moment.

    Raises:
        AccessError: the coordinator refuses.
        ConnectionProblem: it cannot be reached, or its answer is no certificate of this site's.
    """
    key = load_pem_private_key(home.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101 (our own file)
    renewed = coordinator.renew(request_text(key, site))
    _check_certificate(renewed.certificate, key, home.ca.read_text("ascii"))
    write_atomically(home.certificate, renewed.certificate)
    write_atomically(home.renew_at, renewed.renew_at)
    records.append(
        SERVICE,
        "certificate.renewed",
        serial=serial_of(renewed.certificate),
        not_after=not_after(renewed.certificate),
    )


def leave(site: SiteConfig, home: SiteHome) -> None:
    """Leave the federation; settings, prepared cases, pulled models and the audit log stay.

    Raises: ConnectionProblem: the coordinator cannot be told.
    """
    # Refused: it does not count this site among its own any more.
    with Coordinator(site, home) as coordinator, suppress(AccessError):
        coordinator.leave()
    SiteRecords(site.site.name, home.records).append(PEOPLE, "site.left", address=site.coordinator.address)
    home.certificate.unlink()
    for path in (home.key, home.renew_at, home.node_key, home.node_public):
        path.unlink(missing_ok=True)
    # What was trained on this site's patients and was meant for this federation.
    shutil.rmtree(home.spool, ignore_errors=True)


def _line_of(invite: str) -> str:
    if invite.strip().startswith(PREFIX):
        return invite
    try:
        return Path(invite).read_text("utf-8")
    except (OSError, ValueError):
        raise ConfigError(
            f"This is neither an invitation, which begins with {PREFIX}, nor a file with one",
            fix="copy the coordinator's whole line",
        ) from None


def _settings_for(
    invitation: Invitation, home: SiteHome, data: Path | None, prepared: Path | None, proxy: str
) -> tuple[SiteConfig, str | None]:
    """Return the site's settings, and the text of a site.toml to write where there is none yet."""
    if home.settings.exists():
        settings = load_site(home)
        wrong = {
            "site.name": (settings.site.name, invitation.site),
            "coordinator.address": (settings.coordinator.address, invitation.address),
            "site.data": (settings.site.data, data and data.absolute()),
            "site.prepared": (settings.site.prepared, prepared and prepared.absolute()),
            "proxy.url": (settings.proxy.url, proxy),
        }
        differing = [name for name, (there, wanted) in wrong.items() if wanted and there != wanted]
        if differing:
            raise ConfigError(
                f"{home.settings} is there already and says otherwise: {', '.join(differing)}",
                fix=f'correct it (name = "{invitation.site}", address = "{invitation.address}"), or move it away '
                "and join again: a new one is written",
            )
        return settings, None
    folders = (data or home.root / "data").absolute(), (prepared or home.root / "prepared").absolute()
    text = site_toml(invitation.site, *folders, invitation.address, proxy)
    about = {"site": {"name": invitation.site, "data": folders[0], "prepared": folders[1]}}
    others = {"coordinator": {"address": invitation.address}, "proxy": {"url": proxy}}
    return validate(SiteConfig, {**about, **others}, "the new site.toml"), text


def _store(
    home: SiteHome,
    invitation: Invitation,
    ca: str,
    key: EllipticCurvePrivateKey,
    enrolled: Enrolled,
    settings: str | None,
) -> None:
    _check_certificate(enrolled.certificate, key, ca)
    try:
        public_of(enrolled.coordinator_key)
    except ValueError:
        raise _not_agreed("its key is no Ed25519 key") from None
    write_atomically(home.ca, ca)
    write_atomically(home.coordinator_key, enrolled.coordinator_key)
    write_atomically(home.renew_at, enrolled.renew_at)
    if settings is not None:
        write_private(home.settings, settings)  # a proxy's URL may hold a password
    SiteRecords(invitation.site, home.records).append(
        PEOPLE,
        "site.enrolled",
        site=invitation.site,
        address=invitation.address,
        ca_sha256=invitation.ca_sha256,
        serial=serial_of(enrolled.certificate),
        not_after=not_after(enrolled.certificate),
    )
    write_atomically(home.certificate, enrolled.certificate)


def _check_certificate(pem: str, key: EllipticCurvePrivateKey, ca: str) -> None:
    """Refuse a certificate that is not for this site's key, or that the federation's CA has not signed."""
    try:
        certificate = read_certificate(pem)
        certificate.verify_directly_issued_by(read_certificate(ca))
    except (ConfigError, ValueError, TypeError, InvalidSignature):
        raise _not_agreed("it is no certificate of the federation's CA") from None
    if certificate.public_key() != key.public_key():
        raise _not_agreed("the certificate is for another key")


def _not_agreed(reason: str) -> ConnectionProblem:
    return ConnectionProblem(
        f"The coordinator's answer cannot be used: {reason}", fix="tell the coordinator, and ask for a new invitation"
    )
