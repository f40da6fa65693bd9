"""Keys and certificates as both sides make and read them; all keys of ours are on the curve P-256.

Source: RFC 5280 (certificates), RFC 2986 (requests).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    CertificateSigningRequestBuilder,
    DNSName,
    ExtendedKeyUsage,
    GeneralName,
    IPAddress,
    KeyUsage,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    load_pem_x509_certificate,
    random_serial_number,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.clock import text_of
from core.errors import ConfigError

# A machine whose clock is a little slow may use a fresh certificate at once.
CLOCK_TOLERANCE = timedelta(minutes=5)


class Use(Enum):
    """What a certificate may be used for, and nothing else."""

    AUTHORITY = "sign certificates"
    SERVER = "be a server"
    CLIENT = "be a client"


def new_key() -> EllipticCurvePrivateKey:
    """Return a fresh private key."""
    return generate_private_key(SECP256R1())


def private_text(key: EllipticCurvePrivateKey, passphrase: str | None = None) -> str:
    """Return a private key as PKCS#8 PEM, encrypted under a passphrase if any."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode("ascii")


def request_text(key: EllipticCurvePrivateKey, name: str) -> str:
    """Return a certificate request (PKCS#10, PEM) for a key."""
    request = CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM).decode("ascii")


def issue(
    name: str,
    key: EllipticCurvePublicKey,
    valid_for: timedelta,
    use: Use,
    signer: EllipticCurvePrivateKey,
    *,
    issuer: Certificate | None = None,
    hosts: Iterable[str] = (),
) -> Certificate:
    """Sign a certificate.

    Args:
        name: its common name.
        key: whom it is for.
        valid_for: from now on; it begins five minutes ago.
        use: what it may be used for.
        signer: the issuer's private key.
        issuer: the issuer's certificate; none for one that is signed by its own key.
        hosts: host names and IP addresses that it stands for.
    """
    now = datetime.now(UTC)
    builder = (
        CertificateBuilder(_name(name) if issuer is None else issuer.subject, _name(name), key)
        .serial_number(random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + valid_for)
        .add_extension(SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(use), critical=True)
    )
    if use is Use.AUTHORITY:
        builder = builder.add_extension(BasicConstraints(ca=True, path_length=0), critical=True)
    else:
        role = ExtendedKeyUsageOID.SERVER_AUTH if use is Use.SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            builder.add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(ExtendedKeyUsage([role]), critical=False)
            .add_extension(SubjectAlternativeName(alternative_names(hosts)), critical=False)
        )
    return builder.sign(signer, SHA256())


def alternative_names(hosts: Iterable[str]) -> list[GeneralName]:
    """Return hosts as a certificate names them, each once."""
    names: list[GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(IPAddress(ip_address(host)))
        except ValueError:
            names.append(DNSName(host))
    return names


def certificate_text(certificate: Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def read_certificate(pem: str) -> Certificate:
    """Return the certificate that a PEM text holds.

    Raises: ConfigError: it holds none.
    """
    try:
        return load_pem_x509_certificate(pem.encode("ascii"))
    except ValueError:
        raise ConfigError("This is no certificate", fix="restore the file, or enrol this site again") from None


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a certificate as 64 hexadecimal digits."""
    return read_certificate(pem).fingerprint(SHA256()).hex()


def not_after(pem: str) -> str:
    """Return until when a certificate is valid, as text of core.clock."""
    return text_of(read_certificate(pem).not_valid_after_utc)


def serial_of(pem: str) -> str:
    """Return a certificate's serial number as it is recorded, see `serial_text`."""
    return serial_text(read_certificate(pem).serial_number)


def serial_text(number: int) -> str:
    """Return a serial number as hexadecimal digits, lower case, without leading zeros."""
    return f"{number:x}"


def _name(common_name: str) -> Name:
    return Name([NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(use: Use) -> KeyUsage:
    is_authority = use is Use.AUTHORITY
    return KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
