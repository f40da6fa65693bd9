"""A real Prometheus on loopback, with the files under deploy/prometheus but for places, times and a queue's depth."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.factories_ports import free_port
from tests.webapp.factories_running import Running

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
# For what comes within seconds on an idle machine.
_LONGEST_S = 120


@dataclass(frozen=True)
class Prometheus:
    """One that scrapes and judges every second.

    Attributes:
        client: of its API.
        token: it shows this to the server.
    """

    client: httpx.Client
    token: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what its API says."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        answer.raise_for_status()
        return answer.json()["data"]

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """The labels of what fires, by alert."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def until(self, holds: Callable[["Prometheus"], bool]) -> None:
        """Return when something holds."""
        end = time.monotonic() + _LONGEST_S
        while not holds(self):
            assert time.monotonic() < end, (self.firing(), self.ask("targets")["activeTargets"])
            time.sleep(0.1)


@contextmanager
def prometheus(folder: Path, server: Running) -> Iterator[Prometheus]:
    """Let a Prometheus of its own watch a server while the block runs.

    Args:
        folder: of its data.
        server: its administrator `ada` makes the token.
    """
    folder.mkdir()
    port = free_port()
    config = _configuration(folder, server)
    argv = [
        _program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not _is_ready(client):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                    raise AssertionError((folder / "log").read_text())
            yield Prometheus(client, (folder / "token").read_text())
    finally:
        process.terminate()
        process.wait(60)


def promtool(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([_program("promtool"), *argv], capture_output=True, text=True, check=False)


def _configuration(folder: Path, server: Running) -> Path:
    with closing(server.client("ada")) as client:
        made = client.post("/tokens", json={"label": "prometheus", "days": 1})
    (folder / "token").write_text(made.json()["token"])
    # How long and how many is for promtool to test.
    rules = re.sub(r"\n +for: .*", "", (FOLDER / "alerts.yml").read_text())
    assert 'state="queued"} > 20\n' in rules
    (folder / "rules.yml").write_text(rules.replace('state="queued"} > 20\n', 'state="queued"} > 2\n'))
    text = (FOLDER / "prometheus.yml").read_text()
    for before, after in (
        ("/etc/prometheus/gliofed-alerts.yml", str(folder / "rules.yml")),
        ("/etc/prometheus/gliofed-ca.pem", str(server.config.data / "tls" / "certificate.pem")),
        ("/etc/prometheus/gliofed.token", str(folder / "token")),
        ("127.0.0.1:8443", f"127.0.0.1:{server.port}"),
        ("127.0.0.1:9093", f"127.0.0.1:{free_port()}"),  # nobody: this machine's own must not be told
        ("127.0.0.1:9100", f"127.0.0.1:{free_port()}"),
        ("_interval: 30s", "_interval: 1s"),
    ):
        assert before in text
        text = text.replace(before, after)
    config = folder / "prometheus.yml"
    config.write_text(text)
    return config


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, "run tests/services.sh"
    return found
