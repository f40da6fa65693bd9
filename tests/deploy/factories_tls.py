"""What a server shows before a word of HTTP: its certificate, and how its TLS compares with Mozilla's advice."""

import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from cryptography import x509

SSLYZE = Path(sys.prefix) / "sslyze" / "bin" / "sslyze"


def served(name: str, address: str = "", port: int = 443) -> x509.Certificate:
    """The certificate that is shown for a name now, unverified."""
    context = ssl._create_unverified_context()
    line = socket.create_connection((address or name, port), timeout=600)
    with context.wrap_socket(line, server_hostname=name) as wrapped:
        content = wrapped.getpeercert(binary_form=True)
    assert content
    return x509.load_der_x509_certificate(content)


def scan(address: str, port: int, name: str) -> set[str]:
    """Return what is not as Mozilla's intermediate demands, but for what a test's authority causes."""
    argv = [str(SSLYZE), "--mozilla_config=intermediate", f"{address}:{port}", f"--sni={name}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    _, compared, verdict = done.stdout.partition("Checking results against Mozilla")
    assert compared, done.stdout + done.stderr
    found = set(re.findall(r"^ *\* (\w+):", verdict, re.MULTILINE))
    return found - {"certificate_path_validation", "maximum_certificate_lifespan"}
