"""A real `fl-web run`: its processes over HTTPS, its users, and coarse cases of which no two are the same."""

import io
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import httpx
import pyotp
import tomli_w

from core.records.db import open_database
from core.supervision import states_of
from tests.factories_ports import free_port
from tests.webapp.factories import PASSWORD, a_patient
from webapp.accounts import create_user
from webapp.config import WebConfig
from webapp.serving import load_web, place_of
from webapp.vault import Vault

IDENTITY = "P000000000"
_UID = re.compile(rb"(1\.2\.826\.0\.1\.3680043\.8\.498\.\d{20})\d{12}")
_PIXELS = b"\xe0\x7f\x10\x00OW\x00\x00"


@dataclass
class Running:
    """A server of processes.

    Attributes:
        config: as its processes read it.
        home: of the model versions.
        port: on 127.0.0.1.
        secrets: of each user's second factor.
        socket: that it listens on instead, for Nginx.
        process: the supervisor's.
        name: its own, where it is one of several on a folder.
    """

    config: WebConfig
    home: Path
    port: int
    secrets: dict[str, str]
    socket: Path | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None)
    name: str = ""

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def place(self) -> Path:
        """Where its processes are noted."""
        return place_of(self.config.data, self.name)

    def start(self) -> None:
        """Start it, and return when it can predict."""
        where = ["--socket", str(self.socket)] if self.socket else ["--port", str(self.port)]
        where += ["--name", self.name] if self.name else []
        argv = [sys.executable, "-m", "webapp", "run", "--data", str(self.config.data), *where]
        with (self.config.data / "run.log").open("ab") as log:
            environment = {**os.environ, "FL_HOME": str(self.home)}
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        self.until_ready()

    def until_ready(self) -> None:
        """Return when it can predict."""
        assert self.process is not None
        while True:
            if self._listens():
                with suppress(httpx.TransportError, OSError), self._looking() as client:
                    if client.get("/readyz").status_code == 200:
                        return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                raise AssertionError((self.config.data / "run.log").read_text("utf-8", "replace"))

    def reload(self) -> None:
        """Tell it to read its settings anew, and return when whoever served before is gone."""
        assert self.process is not None
        before = self.serving()
        self.process.send_signal(signal.SIGHUP)
        while before & (now := self.serving()) or not now:
            time.sleep(0.05)

    def serving(self) -> set[int]:
        """The processes that answer requests."""
        (web,) = (state.pid for state in states_of(self.place) if state.name == "web")
        return {int(pid) for pid in Path(f"/proc/{web}/task/{web}/children").read_text().split()}

    def _listens(self) -> bool:
        if self.socket is None:
            return True
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _looking(self) -> httpx.Client:
        if self.socket is None:
            return self.client()
        return httpx.Client(base_url="http://localhost", transport=httpx.HTTPTransport(uds=str(self.socket)))

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def client(self, name: str | None = None) -> httpx.Client:
        """A client that trusts the server's certificate, signed in as a user, or as nobody."""
        client = httpx.Client(base_url=self.url, verify=trusting(self.config.data), timeout=600)
        if name is not None:
            sign_in(client, name, self.secrets[name])
        return client

    def processes(self, name: str) -> list[int]:
        """The running process of that name, `web` or `worker`, and then its children; none where it does not run."""
        leader = next((state.pid for state in states_of(self.place) if state.name == name), None)
        if leader is None or not Path(f"/proc/{leader}").exists():
            return []
        return [leader, *sorted(pid for pid in _of_session(leader) if pid != leader)]

    def kill(self, name: str, *, child: bool = False) -> bool:
        """Kill a process, or its first child instead; say whether there was one."""
        there = self.processes(name)[1 if child else 0 :]
        with suppress(ProcessLookupError):
            for pid in there[:1]:
                os.kill(pid, signal.SIGKILL)
                return True
        return False


@contextmanager
def running(
    folder: Path,
    home: Path,
    users: Mapping[str, str],
    database: str = "",
    *,
    socket_at: Path | None = None,
    **sections: Mapping[str, object],
) -> Iterator[Running]:
    """Run a server while the block runs.

    Args:
        folder: of its data.
        home: holds an approved model version.
        users: each one's role.
        database: its address; else SQLite.
        socket_at: where it listens for Nginx, instead of a port.
        sections: of web.toml, what differs.
    """
    data, scratch = folder / "data", folder / "scratch"
    for made in (data, scratch):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings: dict[str, dict[str, object]] = {
        "site": {"database": database, "registry": str(home / "registry"), "scratch": str(scratch)},
        "server": {"requests_a_minute": 1_000_000},
        "sign_in": {"attempts_a_minute": 1_000_000},
    }
    for section, values in sections.items():
        settings.setdefault(section, {}).update(values)
    (data / "web.toml").write_text(tomli_w.dumps({"data": str(data), **settings}))
    config = load_web(data)
    engine, vault, secrets = open_database(config.database_url), Vault(config.keys_path), {}
    for name, role in users.items():
        uri = create_user(engine, vault, name, role, PASSWORD, by="service").totp_uri
        secrets[name] = parse_qs(urlparse(uri).query)["secret"][0]
    engine.dispose()
    server = Running(config, home, free_port(), secrets, socket_at)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def trusting(data: Path) -> ssl.SSLContext:
    """What trusts the certificate of a server's folder, and no other."""
    return ssl.create_default_context(cafile=str(data / "tls" / "certificate.pem"))


def sign_in(client: httpx.Client, name: str, secret: str) -> None:
    """Sign a client in, and let it send what changes need."""
    while True:
        answer = client.post("/session", json={"name": name, "password": PASSWORD, "code": pyotp.TOTP(secret).now()})
        if answer.status_code != 429:  # where many do so at once
            break
        time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]


class DistinctCases:
    """DICOM cases made from one in memory: each of another patient, with UIDs and pixels of its own.

    Args:
        folder: of the one, whose patient is IDENTITY, and whose pixels are not compressed.
    """

    def __init__(self, folder: Path) -> None:
        self._files: list[tuple[str, bytes, bytes]] = []
        for path in sorted(folder.rglob("*.dcm")):
            header, mark, rest = path.read_bytes().partition(_PIXELS)
            assert mark, "the scanner's files are compressed"
            self._files.append((str(path.relative_to(folder)), header, mark + rest))

    def zipped(self, number: int) -> bytes:
        """Case `number`, less than a billion, as a zip."""
        told, tail = b"P%09d" % number, b"%012d" % number
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, header, pixels in self._files:
                header = _UID.sub(lambda found: found[1] + tail, header).replace(IDENTITY.encode(), told)
                noisy = bytearray(pixels)
                for bit in range(30):  # the lowest bit of thirty pixels of a row spells the number
                    place = len(_PIXELS) + 4 + 2 * bit
                    noisy[place] = noisy[place] & 0xFE | (number >> bit & 1)
                archive.writestr(name, header + bytes(noisy))
        return content.getvalue()


def coarse_cases(folder: Path) -> DistinctCases:
    """Coarse cases, of which the first is written to a folder."""
    return DistinctCases(a_patient(folder, IDENTITY))


def _of_session(leader: int) -> Iterator[int]:
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((place / "stat").read_text().rpartition(") ")[2].split()[3]) == leader:
                yield int(place.name)
