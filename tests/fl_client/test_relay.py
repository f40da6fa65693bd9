"""Over real TLS sockets, against a coordinator of the tests' own."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from core.errors import ConfigError, ConnectionProblem
from fl_client import relay as relays
from fl_client.relay import Relay
from tests.fl_client.factories_fleet import Call, coordinator, make_pki, ok, renew


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return make_pki(tmp_path)


@contextmanager
def proxy(*, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> Iterator[tuple[int, list[bytes]]]:
    """A forward proxy that knows CONNECT; what each connection began with is in the list."""
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []

    def carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while part := source.recv(2**16):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # one of the two has gone

    def attend(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(2**16)
        heads.append(head)
        client.sendall(answer)
        host, port = head.split()[1].decode().split(":")
        with client:
            if b" 200 " in answer:
                with socket.create_connection((host, int(port))) as server:
                    out = Thread(target=carry, args=(client, server), daemon=True)
                    out.start()
                    carry(server, client)
                    out.join()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            Thread(target=attend, args=(client,), daemon=True).start()

    Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], heads
    finally:
        listener.close()


def test_the_site_shows_its_certificate_and_keeps_its_connection(pki: Path) -> None:
    with coordinator(pki, lambda call: ok(call.body[::-1])) as there:
        relay = Relay(there.address, pki)
        assert relay.post("/v1/fleet/x", {"flwr-a": "1"}, b"abc").body == b"cba"
        assert relay.post("/v1/fleet/x", {}, b"").body == b""
        assert [call.site for call in there.calls] == ["north", "north"]
        assert there.connections == 1
        relay.close()


def test_a_connection_that_was_closed_while_it_rested_is_replaced(pki: Path) -> None:
    with coordinator(pki) as there:
        relay = Relay(there.address, pki)
        relay.post("/v1/fleet/x", {}, b"")
        ((resting, _),) = relay._idle
        resting.sock.shutdown(socket.SHUT_RDWR)
        assert relay.post("/v1/fleet/x", {}, b"").status == 200
        assert there.connections == 2
        relay.close()


def test_a_connection_that_rested_long_is_not_trusted(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "REST_S", 0.0)
    with coordinator(pki) as there:
        relay = Relay(there.address, pki)
        for _ in range(3):
            relay.post("/v1/fleet/x", {}, b"")
        assert there.connections == 3
        relay.close()


def test_a_call_that_was_cut_off_is_a_problem_with_a_name(pki: Path) -> None:
    def cut(call: Call) -> None:
        raise ConnectionResetError

    with coordinator(pki, cut) as there, pytest.raises(ConnectionProblem, match=there.address):
        Relay(there.address, pki).post("/v1/fleet/x", {}, b"")


def test_nobody_there_is_a_problem_with_a_name(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionProblem, match="cannot be reached"):
        Relay(f"127.0.0.1:{port}", pki).post("/v1/fleet/x", {}, b"")


def test_a_coordinator_of_another_ca_gets_nothing(pki: Path, tmp_path: Path) -> None:
    stranger = make_pki(tmp_path / "stranger")
    with coordinator(stranger) as there:
        with pytest.raises(ConnectionProblem, match="TLS"):
            Relay(there.address, pki).post("/v1/fleet/x", {}, b"secret")
        assert not there.calls


def test_a_coordinator_of_another_name_gets_nothing(pki: Path) -> None:
    with coordinator(pki) as there:
        with pytest.raises(ConnectionProblem, match="TLS"):
            Relay(f"localhost:{there.port}", pki).post("/v1/fleet/x", {}, b"secret")
        assert not there.calls


def test_old_tls_is_not_spoken(pki: Path) -> None:
    assert Relay("127.0.0.1:1", pki)._context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_renewed_certificate_is_used_from_the_next_call_on(pki: Path) -> None:
    with coordinator(pki) as there:
        relay = Relay(there.address, pki)
        relay.post("/v1/fleet/x", {}, b"")
        renew(pki, "north-renewed")
        relay.post("/v1/fleet/x", {}, b"")
        assert [call.site for call in there.calls] == ["north", "north-renewed"]
        relay.close()


def test_a_certificate_without_its_key_waits_for_it(pki: Path, tmp_path: Path) -> None:
    """Two files cannot change in one moment: in between, what was there before goes on."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("ca.key", "ca.crt"):
        (other / name).write_bytes((pki / name).read_bytes())
    renew(other, "north-renewed")
    with coordinator(pki) as there:
        relay = Relay(there.address, pki)
        relay.post("/v1/fleet/x", {}, b"")
        (other / "site.crt").replace(pki / "site.crt")
        relay.post("/v1/fleet/x", {}, b"")
        (other / "site.key").replace(pki / "site.key")
        relay.post("/v1/fleet/x", {}, b"")
        assert [call.site for call in there.calls] == ["north", "north", "north-renewed"]
        relay.close()


def test_through_a_proxy_nothing_goes_past_it(pki: Path) -> None:
    with coordinator(pki, lambda call: ok(b"here")) as there, proxy() as (port, heads):
        relay = Relay(there.address, pki, f"http://north:p%40ss@127.0.0.1:{port}")
        assert relay.post("/v1/fleet/x", {}, b"x").body == b"here"
        assert relay.post("/v1/fleet/x", {}, b"x").body == b"here"
        assert there.connections == len(heads) == 1
        first, *headers = heads[0].decode().split("\r\n")
        assert first.split()[:2] == ["CONNECT", there.address]
        assert "Proxy-Authorization: Basic bm9ydGg6cEBzcw==" in headers  # base64 of north:p@ss
        relay.close()


def test_a_proxy_that_refuses_is_named_without_the_password(pki: Path) -> None:
    with proxy(answer=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as (port, _):
        relay = Relay("127.0.0.1:9", pki, f"http://north:secret@127.0.0.1:{port}")
        with pytest.raises(ConnectionProblem, match=r"through the proxy.*407") as told:
            relay.post("/v1/fleet/x", {}, b"")
    assert "secret" not in str(told.value) + told.value.fix


@pytest.mark.parametrize("url", ["https://proxy:3128", "http://", "http://proxy", "proxy:3128", "http://proxy:x"])
def test_a_proxy_that_is_none_is_refused(pki: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"proxy\.url"):
        Relay("127.0.0.1:9", pki, url)


def test_a_site_without_its_certificate_is_told_to_join(pki: Path) -> None:
    (pki / "site.key").unlink()
    with pytest.raises(ConfigError) as told:
        Relay("127.0.0.1:9", pki)
    assert "join" in told.value.fix
