"""The web's certificate from an ACME authority, by Certbot and our scripts, into a running Nginx; its TLS, scanned."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from cryptography import x509

from tests.deploy.factories_acme import Authority, an_authority
from tests.deploy.factories_nginx import DEPLOY, NAME, Front
from tests.deploy.factories_site import Site, a_site, asking
from tests.deploy.factories_tls import scan, served


@dataclass
class Machine:
    """A hospital's machine: Nginx, the server, an authority, and what Certbot keeps.

    Attributes:
        environment: of Certbot and of our scripts.
        certbot: where its files are, as options.
    """

    site: Site
    authority: Authority
    environment: dict[str, str]
    certbot: list[str]

    def issue(self, *more: str) -> None:
        """Get a certificate as hospital IT does."""
        server = ["--server", self.authority.directory, *self.certbot]
        self._run(str(DEPLOY / "certbot" / "issue.sh"), NAME, "it@hospital.test", *more, *server)

    def renew(self) -> None:
        """Renew it as Debian's timer does, but before it is due."""
        self._run("certbot", "renew", "-q", "--force-renewal", "--no-random-sleep-on-renew", *self.certbot)

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    with a_site(folder / "site") as site, an_authority(folder / "acme", site.front.plain_port) as authority:
        settings = {
            "ACME": site.front.folder / "acme",
            "TLS": folder / "site" / "tls",
            "TLS_OWNER": f"{os.getuid()}:{os.getgid()}",
            "RELOAD": f"kill -HUP {site.front.process.pid}",
            "DNS_SERVER": f"127.0.0.1 {authority.dns_port}",
            "DNS_KEY": authority.dns_key,
            "DNS_WAIT_S": 0,
        }
        edge = folder / "edge.env"
        edge.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        environment = {"PATH": path, "GLIOFED_EDGE": str(edge), "REQUESTS_CA_BUNDLE": str(authority.trusted)}
        certbot = [f"--{name}-dir={folder / name}" for name in ("config", "work", "logs")]
        yield Machine(site, authority, environment, certbot)


def test_a_certificate_is_issued_over_port_80_and_nginx_goes_on_with_it(machine: Machine) -> None:
    before = now(machine.site.front)
    assert "development" in before.subject.rfc4514_string()
    machine.issue()
    certificate = until_another(machine.site.front, before)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert ask(machine.site.front, trusting(machine.authority)) == 200  # verified: chain, name and time
    tls = Path(machine.site.front.folder).parent / "tls"
    assert {path.name: path.stat().st_mode & 0o777 for path in tls.iterdir()} == {
        "certificate.pem": 0o600,
        "key.pem": 0o600,
    }


def test_it_is_renewed_under_load_without_a_failed_request(machine: Machine) -> None:
    before, context = now(machine.site.front), trusting(machine.authority)
    with asking([lambda: ask(machine.site.front, context)] * 3) as answered:  # each time over a new line
        machine.renew()
        until_another(machine.site.front, before)
        so_far = answered[200]
        while answered[200] < so_far + 20:
            assert ask(machine.site.front, context) == 200
    assert set(answered) == {200}


def test_where_nobody_reaches_port_80_the_dns_proves_the_name(machine: Machine) -> None:
    before = now(machine.site.front)
    machine.issue("--dns", "--force-renewal")
    until_another(machine.site.front, before)
    machine.renew()  # Certbot has kept how
    told = (machine.authority.dns_key.parent / "log").read_text()
    assert told.count(f"adding an RR at '_acme-challenge.{NAME}' TXT") == 2
    assert told.count(f"deleting an RR at _acme-challenge.{NAME} TXT") == 2


def test_tls_is_mozillas_intermediate_and_the_scan_would_see_a_weak_cipher(machine: Machine) -> None:
    assert scan("127.0.0.1", machine.site.front.port, NAME) == set()
    configuration = machine.site.front.folder / "web.conf"
    strong = configuration.read_text()
    configuration.write_text(strong.replace("ssl_ciphers ", "ssl_ciphers ECDHE-ECDSA-AES128-SHA:"))
    machine.site.front.reload()
    try:
        assert scan("127.0.0.1", machine.site.front.port, NAME) == {"ciphers"}
    finally:
        configuration.write_text(strong)
        machine.site.front.reload()


def trusting(authority: Authority) -> ssl.SSLContext:
    """What trusts an authority's certificates, and no other."""
    return ssl.create_default_context(cafile=str(authority.root))


def ask(front: Front, context: ssl.SSLContext) -> int:
    """Ask for something of the application, by name and over a line of its own."""
    connection = HTTPSConnection("127.0.0.1", front.port, timeout=600)
    with socket.create_connection(("127.0.0.1", front.port), timeout=600) as line:
        connection.sock = context.wrap_socket(line, server_hostname=NAME)
        try:
            connection.request("GET", "/session/ways", headers={"Host": NAME, "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


def now(front: Front) -> x509.Certificate:
    """The certificate that Nginx shows now."""
    return served(NAME, "127.0.0.1", front.port)


def until_another(front: Front, before: x509.Certificate) -> x509.Certificate:
    """Return Nginx's certificate when it is another than before: a reload takes it a moment."""
    while (found := now(front)).serial_number == before.serial_number:
        assert front.process.poll() is None
    return found
