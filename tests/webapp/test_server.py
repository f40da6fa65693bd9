"""`fl-web run` as hospital IT starts it: real processes over HTTPS, what they write, and how they stop."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import httpx
import pyotp
import pytest

from tests.factories_ports import free_port
from tests.webapp.factories import PASSWORD, a_home, a_patient


def fl_web(*arguments: str, home: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "webapp", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=said, env=environment(home), check=False)


def environment(home: Path) -> dict[str, str]:
    return {
        "FL_HOME": str(home),
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
        "TERM": "dumb",
        "FL_SITE__SCRATCH": str(home),
    }


@contextmanager
def serving(data: Path, home: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run a server while the block runs, and yield its address and its supervisor."""
    port = free_port()
    command = [sys.executable, "-m", "webapp", "run", "--port", str(port), "--data", str(data)]
    process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL)
    try:
        yield f"https://127.0.0.1:{port}", process
    finally:
        process.terminate()
        assert process.wait(60) == 0


def until(url: str, path: str, data: Path) -> None:
    """Return when an address answers 200."""
    certificate = data / "tls" / "certificate.pem"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if certificate.exists():
                context = ssl.create_default_context(cafile=certificate)
                if httpx.get(url + path, verify=context, timeout=5).status_code == 200:
                    return
        time.sleep(0.1)
    raise AssertionError("".join(path.read_text() for path in (data / "logs").glob("*.log")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("home"))


def test_two_commands_serve_a_prediction_and_stopping_loses_none(home: Path, tmp_path: Path) -> None:
    data, scans = tmp_path / "web", a_patient(tmp_path / "Meier^Erika")
    made = fl_web("create-user", "anna", "--role", "clinician", "--data", str(data), "--json", home=home, said=PASSWORD)
    assert made.returncode == 0, made.stderr
    secret = parse_qs(urlparse(json.loads(made.stdout)["totp_uri"]).query)["secret"][0]
    files = [("files", (str(p.relative_to(scans.parent)), p.read_bytes())) for p in sorted(scans.rglob("*.dcm"))]
    with serving(data, home) as (url, supervisor):
        until(url, "/healthz", data)
        client = httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=data / "tls" / "certificate.pem"))
        until(url, "/readyz", data)
        said = {"name": "anna", "password": PASSWORD, "code": pyotp.TOTP(secret).now()}
        signed = client.post("/session", json=said, timeout=60)
        assert signed.status_code == 200, signed.text
        assert "__Host-gliofed" in signed.headers["Set-Cookie"]
        client.headers["X-CSRF-Token"] = signed.json()["csrf"]
        # Asked for, and then the server is told to stop while it works.
        queued = client.post("/predict", files=files, headers={"Prefer": "wait=0"}, timeout=120)
        assert queued.status_code == 202, queued.text
        address = queued.headers["Location"]
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
    with serving(data, home) as (url, _):
        until(url, "/readyz", data)
        client.base_url = httpx.URL(url)
        done = client.get(address, headers={"Prefer": "wait=100"}, timeout=120).json()
        assert done["state"] == "done", done
        assert done["result"]["volumes_ml"].keys() == {"necrosis", "edema", "enhancing", "whole"}
        picture = client.get(f"{address}/files/T1wCE.nii.gz", timeout=60)
        assert picture.content[:2] == b"\x1f\x8b"
        contract = client.get("/openapi.json").json()
        assert {"/predict", "/log", "/healthz", "/session"} <= contract["paths"].keys()
    client.close()
    verified = fl_web("verify-audit", "--data", str(data), home=home)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("Intact: ")
    logs = "".join(path.read_text() for path in (data / "logs").iterdir())
    assert "/predict" in logs
    assert not [word for word in ("Meier", "Erika", "MRN-4711", secret, PASSWORD) if word in logs]
    outside = [path for path in data.rglob("*") if path.stat().st_mode & 0o007 and path.name != "certificate.pem"]
    assert not [path for path in outside if path.is_file() and path.parent == data]


def test_a_users_mistake_is_told_without_a_traceback(home: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "web")
    for arguments, said in (
        (("create-user", "Anna Meier", "--role", "clinician", "--data", data), PASSWORD),
        (("create-user", "anna", "--role", "surgeon", "--data", data), PASSWORD),
        (("create-user", "anna", "--role", "clinician", "--data", data), "short"),
        (("create-user", "anna", "--role", "clinician", "--data", data), ""),
        (("verify-audit", "--data", str(tmp_path / "nowhere")), ""),
    ):
        done = fl_web(*arguments, home=home, said=said)
        assert done.returncode != 0, arguments
        assert "Problem: " in done.stderr, done.stderr
        assert "Fix: " in done.stderr
        assert "Traceback" not in done.stderr
