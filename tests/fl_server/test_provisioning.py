import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from core.certificates import new_key, not_after, read_certificate, request_text, serial_of, serial_text
from core.clock import moment_of
from core.errors import AccessError, ConfigError
from fl_server import provisioning
from fl_server.provisioning import (
    Authority,
    authority_fingerprint,
    load_authority,
    make_authority,
    renew_own,
    sign_site,
)

PASSPHRASE = "twelve letters or more"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coordinator")
    make_authority(folder, "fl.example.org:8443", PASSPHRASE)
    return folder


@pytest.fixture(scope="module")
def authority(home: Path) -> Authority:
    return load_authority(home, PASSPHRASE)


def certificate(home: Path, name: str) -> x509.Certificate:
    return read_certificate((home / "pki" / f"{name}.crt").read_text())


def names(of: x509.Certificate) -> list[str]:
    return [str(name.value) for name in of.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def uses(of: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(of.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def life(of: x509.Certificate) -> timedelta:
    return of.not_valid_after_utc - of.not_valid_before_utc


def test_the_authority_lives_ten_years_and_its_key_is_encrypted(home: Path) -> None:
    of = certificate(home, "ca")
    assert life(of) == timedelta(days=3650, minutes=5)
    assert of.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    with pytest.raises(TypeError, match="encrypted"):
        load_pem_private_key((home / "pki" / "ca.key").read_bytes(), None)


def test_nobody_else_may_read_a_key_or_enter_the_folder(home: Path) -> None:
    assert stat.S_IMODE((home / "pki").stat().st_mode) == 0o700
    assert {stat.S_IMODE(key.stat().st_mode) for key in (home / "pki").glob("*.key")} == {0o600}


def test_the_servers_certificates_name_where_they_are_reached(home: Path) -> None:
    server, superlink = certificate(home, "server"), certificate(home, "superlink")
    assert set(names(server)) == {"fl.example.org", "localhost", "127.0.0.1"}
    assert set(names(superlink)) == {"localhost", "127.0.0.1"}
    for of in (server, superlink):
        assert uses(of) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert life(of) == timedelta(days=398)


def test_every_certificate_passes_a_strict_verifier(home: Path, authority: Authority) -> None:
    """The rules that Python 3.13 and browsers apply, which older OpenSSL does not."""
    policy = PolicyBuilder().store(Store([certificate(home, "ca")]))
    policy.build_server_verifier(x509.DNSName("fl.example.org")).verify(certificate(home, "server"), [])
    policy.build_server_verifier(x509.DNSName("localhost")).verify(certificate(home, "superlink"), [])
    site = read_certificate(sign_site(authority, request_text(new_key(), "north"), "north").pem)
    assert policy.build_client_verifier().verify(site, []).subjects == [x509.DNSName("north")]
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("north")).verify(site, [])


def test_a_site_gets_its_enrolled_name_whatever_its_request_asks(authority: Authority) -> None:
    key = new_key()
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "south")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("fl.example.org")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    signed = sign_site(authority, asked, "north")
    of = read_certificate(signed.pem)
    assert of.subject.rfc4514_string() == "CN=north"
    assert names(of) == ["north"]
    assert uses(of) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not of.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert of.public_key() == key.public_key()


def test_a_sites_certificate_lives_ninety_days_and_says_when_to_renew(authority: Authority) -> None:
    before = datetime.now(UTC)
    signed = sign_site(authority, request_text(new_key(), "north"), "north")
    of = read_certificate(signed.pem)
    assert life(of) == timedelta(days=90, minutes=5)
    # Whole seconds in a certificate; a slow clock of five minutes is forgiven.
    assert timedelta(0) <= before - timedelta(minutes=5) - of.not_valid_before_utc < timedelta(minutes=1)
    assert (signed.serial, signed.not_after) == (serial_of(signed.pem), not_after(signed.pem))
    assert moment_of(signed.renew_at) - of.not_valid_before_utc == life(of) * 2 / 3


def test_serial_numbers_read_alike_however_they_are_padded() -> None:
    assert serial_text(0x0A1B) == "a1b" == serial_text(int("0A1B", 16))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_keys_of_256_bits_and_more_are_signed(authority: Authority, curve: ec.EllipticCurve) -> None:
    assert sign_site(authority, request_text(ec.generate_private_key(curve), "north"), "north").pem


def test_weak_and_other_keys_are_refused(authority: Authority) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "north")])
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP224R1())):
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
        with pytest.raises(AccessError, match="P-256"):
            sign_site(authority, request.public_bytes(Encoding.PEM).decode(), "north")


def test_a_request_that_its_key_did_not_sign_is_refused(authority: Authority) -> None:
    """Else somebody could be given a certificate for another's key."""
    der = bytearray(x509.load_pem_x509_csr(request_text(new_key(), "north").encode()).public_bytes(Encoding.DER))
    place = der.index(b"north")
    der[place : place + 5] = b"south"
    changed = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(AccessError, match="not signed"):
        sign_site(authority, changed, "north")


@pytest.mark.parametrize("request_pem", ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END", "é"])
def test_what_is_no_request_is_said(authority: Authority, request_pem: str) -> None:
    with pytest.raises(AccessError, match="cannot be read"):
        sign_site(authority, request_pem, "north")


def test_the_wrong_passphrase_opens_nothing(home: Path) -> None:
    for passphrase in ("", "another one, also long"):
        with pytest.raises(AccessError, match="passphrase") as error:
            load_authority(home, passphrase)
        assert passphrase == "" or passphrase not in str(error.value)


def test_an_authority_is_made_once(home: Path, tmp_path: Path) -> None:
    before = authority_fingerprint(home)
    with pytest.raises(ConfigError, match="already"):
        make_authority(home, "fl.example.org", PASSPHRASE)
    assert authority_fingerprint(home) == before
    with pytest.raises(ConfigError, match="empty"):
        make_authority(tmp_path, "fl.example.org", "")
    with pytest.raises(ConfigError, match="no authority"):
        load_authority(tmp_path, PASSPHRASE)


def test_a_key_of_another_authority_is_noticed(home: Path, tmp_path: Path) -> None:
    make_authority(tmp_path, "fl.example.org", PASSPHRASE)
    (tmp_path / "pki" / "ca.crt").write_text((home / "pki" / "ca.crt").read_text())
    with pytest.raises(ConfigError, match="not the key"):
        load_authority(tmp_path, PASSPHRASE)


def test_own_certificates_are_renewed_when_two_thirds_are_over_or_the_address_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path, "fl.example.org", PASSPHRASE)
    first = certificate(tmp_path, "server")
    assert renew_own(authority, tmp_path, "fl.example.org:8443") == []
    assert certificate(tmp_path, "server") == first
    assert renew_own(authority, tmp_path, "10.1.2.3") == ["server"]
    assert set(names(certificate(tmp_path, "server"))) == {"10.1.2.3", "localhost", "127.0.0.1"}

    class Later(datetime):
        days = 0

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=cls.days)

    monkeypatch.setattr(provisioning, "datetime", Later)
    Later.days = 265  # of 398: two thirds are 265.3
    assert renew_own(authority, tmp_path, "10.1.2.3") == []
    Later.days = 266
    assert renew_own(authority, tmp_path, "10.1.2.3") == ["server", "superlink"]
