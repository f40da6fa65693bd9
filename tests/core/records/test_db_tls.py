"""The database over TLS: asked for, it is there and the server is the one that was meant, or nothing is sent."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import make_url, text

from core.errors import RecordsError
from core.records.db import open_database
from tests.factories_mariadb import MariaDB, mariadb


def write_certificate(folder: Path, name: str, address: str) -> Path:
    """Write a self-signed certificate for an address, `name`.crt, and its key, `name`.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return folder / f"{name}.crt"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    addresses = {"meant": "127.0.0.1", "elsewhere": "127.0.0.2", "other": "127.0.0.1"}
    return {name: write_certificate(folder, name, address) for name, address in addresses.items()}


def over_tcp(server: MariaDB, authority: Path) -> str:
    url = make_url(server.fresh()).set(host="127.0.0.1", port=server.port, query={"ssl_ca": str(authority)})
    with server.root.begin() as connection:
        connection.execute(text(f"RENAME USER {url.username}@localhost TO {url.username}@'127.0.0.1'"))
    return url.render_as_string(hide_password=False)


def serving(certificate: Path) -> Iterator[MariaDB]:
    with mariadb(f"--ssl-cert={certificate}", f"--ssl-key={certificate.with_suffix('.key')}") as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(certificates: dict[str, Path]) -> Iterator[MariaDB]:
    yield from serving(certificates["meant"])


def test_with_an_authority_the_connection_is_encrypted(tls_server: MariaDB, certificates: dict[str, Path]) -> None:
    engine = open_database(over_tcp(tls_server, certificates["meant"]))
    with engine.connect() as connection:
        assert connection.execute(text("SHOW STATUS LIKE 'Ssl_version'")).one()[1].startswith("TLSv1.")
    engine.dispose()


def test_a_server_of_another_authority_is_refused(tls_server: MariaDB, certificates: dict[str, Path]) -> None:
    with pytest.raises(RecordsError, match="cannot be used"):
        open_database(over_tcp(tls_server, certificates["other"]))


def test_a_server_of_another_name_is_refused(certificates: dict[str, Path]) -> None:
    for server in serving(certificates["elsewhere"]):
        with pytest.raises(RecordsError, match="cannot be used"):
            open_database(over_tcp(server, certificates["elsewhere"]))


def test_a_server_without_tls_is_refused(mariadb_server: MariaDB, certificates: dict[str, Path]) -> None:
    url = over_tcp(mariadb_server, certificates["meant"])
    with pytest.raises(RecordsError, match="cannot be used"):
        open_database(url)
    open_database(url.partition("?")[0]).dispose()  # that it was TLS alone
