"""An ACME authority (Pebble) and the DNS that it asks (BIND), as processes of their own on loopback."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

from core.certificates import Use, certificate_text, issue, new_key, private_text
from tests.deploy.factories_nginx import NAME
from tests.factories_ports import free_port, listens

_ZONE = """$TTL 60
@ IN SOA ns.hospital.test. it.hospital.test. (1 60 60 600 60)
@ IN NS ns.hospital.test.
ns IN A 127.0.0.1
"""
LOOPBACK = "127.0.0.1"
_NAMED = """
include "{folder}/tsig.key";
options {{
  directory "{folder}";
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
}};
controls {{ }};
zone "hospital.test" {{
  type master;
  file "{folder}/zone";
  update-policy {{ grant gliofed name _acme-challenge.{name}. TXT; }};
}};
"""


@dataclass
class Authority:
    """An ACME authority.

    Attributes:
        directory: its address, for certbot's --server.
        trusted: the certificate of its own HTTPS.
        root: of the certificates that it issues.
        dns_port, dns_key: of the name server, and who may write the record of a challenge there.
    """

    directory: str
    trusted: Path
    root: Path
    dns_port: int
    dns_key: Path


@contextmanager
def an_authority(
    folder: Path, http_port: int, names: Mapping[str, str] | None = None, at: str = LOOPBACK
) -> Iterator[Authority]:
    """Run an authority while the block runs.

    Args:
        folder: to make.
        http_port: where it asks for HTTP-01 answers.
        names: those of hospital.test that its DNS knows, and their addresses.
        at: the address of its own.
    """
    folder.mkdir()
    with ExitStack() as stack:
        dns_port = stack.enter_context(_dns(folder / "dns", names or {NAME: LOOPBACK}))
        yield stack.enter_context(_pebble(folder, http_port, dns_port, at))


@contextmanager
def _dns(folder: Path, names: Mapping[str, str]) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    key = subprocess.run([_program("tsig-keygen"), "gliofed"], check=True, capture_output=True, text=True).stdout
    (folder / "tsig.key").write_text(key)
    known = [f"{name.removesuffix('.hospital.test')} IN A {address}\n" for name, address in names.items()]
    (folder / "zone").write_text(_ZONE + "".join(known))
    (folder / "named.conf").write_text(_NAMED.format(folder=folder, port=port, name=NAME))
    argv = [_program("named"), "-g", "-n", "1", "-c", str(folder / "named.conf")]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as named:
        try:
            while b"running" not in (folder / "log").read_bytes():
                assert named.poll() is None, (folder / "log").read_text()
            yield port
        finally:
            named.terminate()


@contextmanager
def _pebble(folder: Path, http_port: int, dns_port: int, at: str) -> Iterator[Authority]:
    key = new_key()
    made = issue("Pebble", key.public_key(), timedelta(days=1), Use.SERVER, key, hosts=("localhost", LOOPBACK, at))
    (folder / "key.pem").write_text(private_text(key))
    (folder / "trusted.pem").write_text(certificate_text(made))
    port, management = free_port(), free_port()
    settings = {
        "listenAddress": f"{at}:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "trusted.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    argv = [_program("pebble"), "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns_port}"]
    # It wants every name proven every time, and refuses no nonce at random: Certbot gives up at two in a row.
    unkind = {"PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", **unkind}
    trusting = ssl.create_default_context(cafile=str(folder / "trusted.pem"))
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log, env=environment) as pebble:
        try:
            while not (listens(port, at) and listens(management)):
                assert pebble.poll() is None, (folder / "log").read_text()
            root = folder / "root.pem"
            root.write_text(httpx.get(f"https://127.0.0.1:{management}/roots/0", verify=trusting).text)
            directory = f"https://{at}:{port}/dir"
            yield Authority(directory, folder / "trusted.pem", root, dns_port, folder / "dns" / "tsig.key")
        finally:
            pebble.terminate()


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed"
    return found
