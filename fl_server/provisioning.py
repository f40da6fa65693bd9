"""The federation's own certification authority, and what it signs: the coordinator's certificates and each site's.

HOME/pki/ca.crt, ca.key                  the authority, 10 years; its key is encrypted under the passphrase
HOME/pki/server.crt, server.key          the edge, by its public address; at most 398 days, renewed before
HOME/pki/superlink.crt, superlink.key    Flower's SuperLink, on loopback only

A site makes its key itself and sends a request; the name in its certificate is the enrolled one, whatever it asks for.
Source: CA/Browser Forum Baseline Requirements 6.3.2 (398 days).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, SubjectAlternativeName, load_pem_x509_csr

from core.certificates import (
    CLOCK_TOLERANCE,
    Use,
    alternative_names,
    certificate_text,
    fingerprint,
    issue,
    new_key,
    private_text,
    read_certificate,
    serial_text,
)
from core.clock import text_of
from core.errors import AccessError, ConfigError
from core.files import private_folder, write_atomically, write_private
from core.invitation import split_address

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=398) - CLOCK_TOLERANCE
SITE_LIFE = timedelta(days=90)
# A certificate is renewed once this share of its time is over: a site that is off for weeks still comes back in time.
RENEW_AFTER = 2 / 3
LOOPBACK = ("127.0.0.1", "localhost")
_SITE_CURVES = (SECP256R1, SECP384R1, SECP521R1)


@dataclass(frozen=True)
class Authority:
    """The federation's certification authority, ready to sign."""

    certificate: Certificate
    key: EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True)
class SiteCertificate:
    """A certificate that was signed for a site.

    Attributes:
        pem: the certificate.
        serial: as recorded and looked up, see core.certificates.serial_text.
        not_after, renew_at: text of core.clock.
    """

    pem: str
    serial: str
    not_after: str
    renew_at: str


def make_authority(home: Path, address: str, passphrase: str) -> Authority:
    """Make the federation's authority and the coordinator's own certificates.

    Args:
        home: the coordinator's home.
        address: where sites reach the edge, host or host:port.
        passphrase: encrypts the authority's key.
    Raises: ConfigError: there is an authority already, the address is none, or the passphrase is empty.
    """
    host, _ = split_address(address)
    folder = home / "pki"
    if (folder / "ca.key").exists():
        raise ConfigError(
            f"{folder} holds an authority already", fix="keep it: sites trust no other; or name another home in FL_HOME"
        )
    if not passphrase:
        raise ConfigError("The passphrase is empty", fix="give one: it encrypts the keys that sign for the federation")
    private_folder(folder)
    key = new_key()
    certificate = issue("GlioFed federation authority", key.public_key(), AUTHORITY_LIFE, Use.AUTHORITY, key)
    authority = Authority(certificate, key)
    write_private(folder / "ca.key", private_text(key, passphrase))
    write_atomically(folder / "ca.crt", certificate_text(certificate))
    for name, hosts in _own_certificates(host):
        _write_server(authority, folder, name, hosts)
    return authority


def load_authority(home: Path, passphrase: str) -> Authority:
    """Read the federation's authority.

    Raises:
        ConfigError: there is none in this home, or its files are damaged.
        AccessError: the passphrase is missing or wrong.
    """
    pem, path = authority_certificate(home), home / "pki" / "ca.key"
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", fix="restore it from a backup") from None
    except (ValueError, TypeError):
        raise AccessError(f"The passphrase does not open {path}", fix="give the one that was set at init") from None
    certificate = read_certificate(pem)
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"{path} is not the key of ca.crt", fix="restore both from a backup")
    return Authority(certificate, key)


def authority_certificate(home: Path) -> str:
    """Return the authority's certificate, PEM, which is no secret: to invite a site needs no passphrase.

    Raises: ConfigError: there is none in this home.
    """
    try:
        return (home / "pki" / "ca.crt").read_text("ascii")
    except (OSError, ValueError):
        raise ConfigError(
            f"{home / 'pki'} holds no authority", fix="name the coordinator's home in FL_HOME, or run fl-server init"
        ) from None


def authority_fingerprint(home: Path) -> str:
    """Return the fingerprint of the authority's certificate, by which an invited site knows it."""
    return fingerprint(authority_certificate(home))


def renew_own(authority: Authority, home: Path, address: str) -> list[str]:
    """Sign the coordinator's own certificates anew where their time comes to an end or the address has changed.

    Returns: the names of those that were renewed, `server` or `superlink`: what serves them must read them again.
    """
    host, _ = split_address(address)
    renewed = []
    for name, hosts in _own_certificates(host):
        path = home / "pki" / f"{name}.crt"
        current = read_certificate(path.read_text("ascii")) if path.exists() else None
        if current is None or _is_due(current) or _names_of(current) != set(alternative_names(hosts)):
            _write_server(authority, home / "pki", name, hosts)
            renewed.append(name)
    return renewed


def sign_site(authority: Authority, request_pem: str, site: str, valid_for: timedelta = SITE_LIFE) -> SiteCertificate:
    """Sign a site's certificate, for its key and its enrolled name, as a client only.

    Args:
        authority: the federation's.
        request_pem: PKCS#10, PEM; of it only the key is used.
        site: the enrolled name.
        valid_for: from now on.
    Raises: AccessError: the request is damaged, not signed by its key, or its key is too weak.
    """
    key = _requested_key(request_pem)
    certificate = issue(site, key, valid_for, Use.CLIENT, authority.key, issuer=authority.certificate, hosts=[site])
    return SiteCertificate(
        certificate_text(certificate),
        serial_text(certificate.serial_number),
        text_of(certificate.not_valid_after_utc),
        text_of(_renewal_of(certificate)),
    )


def _requested_key(request_pem: str) -> EllipticCurvePublicKey:
    fix = "make the request with fl-client join, which uses P-256"
    try:
        request = load_pem_x509_csr(request_pem.encode("ascii"))
        key, is_signed = request.public_key(), request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise AccessError("The certificate request cannot be read", fix=fix) from None
    if not is_signed:
        raise AccessError("The certificate request is not signed by its own key", fix=fix)
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, _SITE_CURVES):
        raise AccessError("The certificate request's key is not on P-256, P-384 or P-521", fix=fix)
    return key


def _own_certificates(host: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("server", (host, *LOOPBACK)), ("superlink", LOOPBACK)


def _write_server(authority: Authority, folder: Path, name: str, hosts: Iterable[str]) -> None:
    key = new_key()
    certificate = issue(
        f"GlioFed {name}",
        key.public_key(),
        SERVER_LIFE,
        Use.SERVER,
        authority.key,
        issuer=authority.certificate,
        hosts=hosts,
    )
    # Key and certificate are two files: whoever reads them between the two writes fails, and is started again.
    write_private(folder / f"{name}.key", private_text(key))
    write_atomically(folder / f"{name}.crt", certificate_text(certificate))


def _names_of(certificate: Certificate) -> set[object]:
    return set(certificate.extensions.get_extension_for_class(SubjectAlternativeName).value)


def _renewal_of(certificate: Certificate) -> datetime:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start + (end - start) * RENEW_AFTER


def _is_due(certificate: Certificate) -> bool:
    return datetime.now(UTC) >= _renewal_of(certificate)
