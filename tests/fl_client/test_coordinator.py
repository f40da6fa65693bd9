"""What a site asks, and in what words it hears that it could not: every failure is made, not imagined."""

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import httpx
import pytest

from core.errors import AccessError, ConfigError, ConnectionProblem, RegistryError
from core.site_protocol import SITE_PROTOCOL, Answer, ProtocolInfo, Status
from fl_client import connection
from fl_client.config import CoordinatorSettings, ProxySettings, SiteConfig, load_site
from fl_client.coordinator import Coordinator, check_protocol
from fl_client.paths import SiteHome
from tests.fl_client.factories_coordinator import ScriptedCoordinator, serving
from tests.fl_client.factories_site import join_home


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federation")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[ScriptedCoordinator]:
    with serving(ScriptedCoordinator(folder / "coordinator")) as serving_:
        yield serving_


@pytest.fixture(scope="module")
def home(folder: Path, running: ScriptedCoordinator) -> SiteHome:
    return join_home(folder / "home", running)


@pytest.fixture
def coordinator(running: ScriptedCoordinator) -> Iterator[ScriptedCoordinator]:
    running.calls.clear()
    yield running
    running.scripted.clear()


@pytest.fixture
def reached(coordinator: ScriptedCoordinator, home: SiteHome) -> Iterator[Coordinator]:
    with Coordinator(load_site(home), home) as reached:
        yield reached


def a_site(home: SiteHome, address: str = "", proxy: str = "") -> SiteConfig:
    site = load_site(home)
    changed = {"proxy": ProxySettings(url=proxy)}
    if address:
        changed["coordinator"] = CoordinatorSettings(address=address)
    return site.model_copy(update=changed)


def problem(site: SiteConfig, home: SiteHome) -> str:
    """Why the coordinator cannot be asked; each has a fix too."""
    with Coordinator(site, home) as reached, pytest.raises(ConnectionProblem) as refusal:
        reached.protocol()
    assert refusal.value.fix
    return refusal.value.problem


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something that is no coordinator, on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connected, _ = listener.accept()
                except OSError:
                    return
                with connected:
                    serve(connected)

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def saying(words: bytes) -> Callable[[socket.socket], None]:
    def serve(connected: socket.socket) -> None:
        connected.recv(65536)
        connected.sendall(words)

    return serve


def test_every_call_of_the_protocol_reaches_the_coordinator(
    coordinator: ScriptedCoordinator, reached: Coordinator
) -> None:
    bundle = coordinator.offer('name = "tiny"\n')
    coordinator.versions = {"0001-tiny-01234567": {"card.json": b"{}"}}
    status = Status(state="idle", progressed_at="2026-11-24T21:55:19.123456Z", receipt="0" * 64, events=0)
    assert reached.protocol().site == "north"
    assert reached.offers().offers[0].study == "tiny"
    assert reached.bundle("tiny") == bundle
    reached.answer("tiny", Answer(state="refused", reason="no", bundle_sha256="0" * 64))
    assert coordinator.answers["tiny"]["reason"] == "no"
    assert reached.status(status).cancel == []
    assert reached.models().versions[0].files == {"card.json": 2}
    assert reached.model_file("0001-tiny-01234567", "card.json") == b"{}"
    assert reached.send(b"x" * 1000) > 0
    assert reached.receive(1000) > 0
    reached.leave()
    assert len(set(coordinator.calls)) == 10


def test_a_refusal_comes_in_the_coordinators_own_words_but_writes_on_one_line(
    coordinator: ScriptedCoordinator, reached: Coordinator
) -> None:
    words = {"problem": "The site north is suspended\x1b[2J\nFix: send money", "fix": "ask the coordinator"}
    coordinator.scripted["GET protocol"] = (403, words)
    with pytest.raises(AccessError) as refusal:
        reached.protocol()
    assert refusal.value.problem == "The site north is suspended [2J Fix: send money"
    assert refusal.value.fix == "ask the coordinator"


@pytest.mark.parametrize(
    ("reply", "kind", "match"),
    [
        ((404, {"problem": "No such version", "fix": "see models"}), RegistryError, "No such version"),
        ((500, {"problem": "The coordinator made a mistake", "fix": "try again"}), ConnectionProblem, "made a mistake"),
        ((502, b"<html>Bad Gateway</html>"), ConnectionProblem, "service does not answer"),
        ((403, b"<html>Blocked by policy</html>"), ConnectionProblem, "not the coordinator's"),
        ((302, b""), ConnectionProblem, "not the coordinator's"),
        ((200, b"<html>Welcome to the hospital's network</html>"), ConnectionProblem, "no ProtocolInfo"),
        ((200, {"protocol": 1}), ConnectionProblem, "no ProtocolInfo"),
    ],
)
def test_what_is_not_answered_as_agreed_says_who_seems_to_have_answered(
    coordinator: ScriptedCoordinator, reached: Coordinator, reply, kind, match: str
) -> None:
    coordinator.scripted["GET protocol"] = reply
    with pytest.raises(kind, match=match) as refusal:
        reached.protocol()
    assert type(refusal.value) is kind


def test_a_transfer_that_loses_bytes_is_a_problem(coordinator: ScriptedCoordinator, reached: Coordinator) -> None:
    coordinator.scripted["POST transfer"] = (200, {"bytes": 999})
    coordinator.scripted["GET transfer"] = (200, b"x" * 998)
    with pytest.raises(ConnectionProblem, match="Of 1000 bytes 999 arrived"):
        reached.send(b"x" * 1000)
    with pytest.raises(ConnectionProblem, match="Of 1000 bytes 998 arrived"):
        reached.receive(1000)


def test_another_protocol_is_refused() -> None:
    told = ProtocolInfo(protocol=SITE_PROTOCOL + 1, release="9.0", time="", site="north")
    with pytest.raises(ConnectionProblem, match=r"release 9\.0"):
        check_protocol(told)
    check_protocol(told.model_copy(update={"protocol": SITE_PROTOCOL}))


def test_an_address_that_no_name_server_knows(home: SiteHome) -> None:
    assert "is not resolved" in problem(a_site(home, "coordinator.invalid"), home)


def test_a_port_where_nobody_listens(home: SiteHome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert problem(a_site(home, f"127.0.0.1:{port}"), home) == f"The connection to 127.0.0.1:{port} is refused"


def test_a_port_that_does_not_speak_tls(home: SiteHome) -> None:
    with listening(saying(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        assert "does not speak TLS as agreed" in problem(a_site(home, f"127.0.0.1:{port}"), home)


def test_a_connection_that_is_cut(home: SiteHome) -> None:
    with listening(lambda connected: None) as port:
        told = problem(a_site(home, f"127.0.0.1:{port}"), home)
    assert "was cut" in told or "does not speak TLS" in told


def test_a_coordinator_that_keeps_silent(home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts by itself, says nothing
        told = problem(a_site(home, f"127.0.0.1:{listener.getsockname()[1]}"), home)
    assert "does not answer within 0.2 seconds" in told


@pytest.mark.parametrize(
    ("host", "valid", "told"),
    [
        ("127.0.0.1", timedelta(seconds=-1), "has expired, by this machine's clock"),
        ("10.9.9.9", timedelta(days=1), "is for another name"),
    ],
)
def test_a_server_certificate_that_does_not_hold_is_told_from_one_of_another_ca(
    home: SiteHome, tmp_path: Path, host: str, valid: timedelta, told: str
) -> None:
    other = ScriptedCoordinator(tmp_path / "other", host, valid)
    with serving(other):
        assert "is not of the federation's CA" in problem(a_site(home, other.address), home)
        trusting = join_home_of(tmp_path, other, home)
        assert told in problem(a_site(trusting, other.address), trusting)


def join_home_of(folder: Path, coordinator: ScriptedCoordinator, home: SiteHome) -> SiteHome:
    """A copy of a home that trusts another CA."""
    shutil.copytree(home.root, folder / "copy")
    copied = SiteHome(folder / "copy")
    copied.ca.write_text(coordinator.ca_text)
    return copied


def test_a_clock_that_is_behind_makes_certificates_not_valid_yet() -> None:
    error = ssl.SSLCertVerificationError("certificate is not yet valid")
    error.verify_code = 9
    failed = httpx.ConnectError("failed")
    failed.__cause__ = error
    client = httpx.Client(base_url="https://fl.example.org:443/")
    with pytest.raises(ConnectionProblem, match="not valid yet") as refusal, connection.explained(client):
        raise failed
    assert "timedatectl" in refusal.value.fix


def test_a_site_certificate_of_another_federation_is_not_taken(
    coordinator: ScriptedCoordinator, home: SiteHome, tmp_path: Path
) -> None:
    with serving(ScriptedCoordinator(tmp_path / "other")) as other:
        stranger = join_home(tmp_path / "stranger", other)
    stranger.ca.write_text(coordinator.ca_text)
    assert "does not take this site's certificate" in problem(a_site(stranger, coordinator.address), stranger)


def test_the_proxy_that_the_settings_name_carries_every_call_and_no_variable_names_another(
    coordinator: ScriptedCoordinator, home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Coordinator(a_site(home), home) as reached:
        assert reached.protocol().site == "north"
    asked: list[bytes] = []

    def tunnel(connected: socket.socket) -> None:
        asked.append(connected.recv(65536))
        with socket.create_connection(("127.0.0.1", coordinator.port)) as onward:
            connected.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            forward = Thread(target=carry, args=(connected, onward), daemon=True)
            forward.start()
            carry(onward, connected)
            forward.join()

    with (
        listening(tunnel) as port,
        Coordinator(a_site(home, proxy=f"http://me:secret@127.0.0.1:{port}"), home) as reached,
    ):
        assert reached.protocol().site == "north"
    assert asked[0].startswith(f"CONNECT {coordinator.address} HTTP/1.1".encode())
    assert b"proxy-authorization: basic " in asked[0].lower()


def carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
def test_a_proxy_that_refuses_is_named_with_its_answer_and_without_its_password(home: SiteHome, status: bytes) -> None:
    with listening(saying(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")) as port:
        told = problem(a_site(home, proxy=f"http://me:secret@127.0.0.1:{port}"), home)
    assert "The proxy does not let" in told
    assert status[:3].decode() in told
    assert "secret" not in told


def test_a_site_that_is_in_no_federation_or_not_enrolled_says_so(home: SiteHome, tmp_path: Path) -> None:
    site = load_site(home)
    with pytest.raises(ConfigError, match="names no coordinator"):
        Coordinator(site.model_copy(update={"coordinator": CoordinatorSettings()}), home)
    empty = SiteHome(tmp_path)
    with pytest.raises(ConfigError, match="CA certificate is missing"):
        Coordinator(site, empty)
    empty.ca.parent.mkdir()
    empty.ca.write_bytes(home.ca.read_bytes())
    with pytest.raises(ConfigError, match="not enrolled"):
        Coordinator(site, empty)
    empty.certificate.write_bytes(home.certificate.read_bytes())
    empty.key.write_text("damaged")
    with pytest.raises(ConfigError, match="cannot be used"):
        Coordinator(site, empty)
