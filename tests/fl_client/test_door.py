"""The gate's listening side over real TLS sockets: what it lets in, what it refuses, and how long it can wait."""

import hashlib
import json
import random
from pathlib import Path
from threading import Event

import pytest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest

from fl_client import door
from fl_client.fleet_messages import MEDIA_TYPE
from fl_client.relay import Answer
from tests.fl_client.factories_fleet import Call, coordinator, make_pki, ok
from tests.fl_client.factories_gate import SuperNode, connected, gate, signature

# A call that the gate passes on without a look at its answer.
BODY = bytes(GetRunRequest(node=Node(node_id=7), run_id=11).SerializeToString())


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return make_pki(tmp_path)


def test_five_megabytes_come_in_unchanged(pki: Path) -> None:
    brought = random.Random(2).randbytes(5_242_909)
    with (
        coordinator(pki, lambda call: ok(brought)) as there,
        gate(pki, there.address) as port,
        SuperNode(pki, port) as node,
    ):
        answer = node.call("get-run", BODY)
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(brought).digest()
        assert (there.calls[0].path, there.calls[0].site, there.calls[0].body) == ("/v1/fleet/get-run", "north", BODY)


def test_of_the_headers_only_the_signature_leaves_the_site(pki: Path) -> None:
    others = {"flwr-note": "n", "cookie": "c", "x-client-verify": "SUCCESS", "x-real-ip": "1", "accept": "a"}
    with coordinator(pki) as there, gate(pki, there.address) as port, SuperNode(pki, port) as node:
        node.call("get-run", BODY, **others)
        headers = {name.lower(): value for name, value in there.calls[0].headers.items()}
        assert headers.pop("host") == there.address
        assert headers == {
            **node.signed,
            "content-type": MEDIA_TYPE,
            "accept": MEDIA_TYPE,
            "content-length": str(len(BODY)),
            "accept-encoding": "identity",
        }


def test_flowers_word_on_versions_comes_back(pki: Path) -> None:
    told = Answer(200, MEDIA_TYPE, b"", (("flwr-version-incompatibility-message", "old"), ("server", "x")))
    with coordinator(pki, lambda call: told) as there, gate(pki, there.address) as port, SuperNode(pki, port) as node:
        headers = node.call("get-run", BODY).headers
        assert headers["flwr-version-incompatibility-message"] == "old"
        assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/control/start-run"),
        ("POST", "/v1/runtime/acquire-task"),
        ("POST", "/v1/site/status"),
        ("POST", "/v1/fleet/"),
        ("POST", "/v1/fleet/../control/start-run"),
        ("POST", "/v1/fleet/%2e%2e/control/start-run"),
        ("POST", "/v1/fleet/pull-messages/"),
        ("POST", "/v1/fleet/pull-messages?x=1"),
        ("POST", "//v1/fleet/pull-messages"),
        ("POST", "https://elsewhere.example/v1/fleet/pull-messages"),
        ("GET", "/v1/fleet/pull-messages"),
        ("PUT", "/v1/fleet/pull-messages"),
        ("DELETE", "/v1/fleet/pull-messages"),
        ("OPTIONS", "*"),
        ("CONNECT", "elsewhere.example:443"),
        ("GET", "/health"),
        ("GET", "/docs"),
    ],
)
def test_whatever_else_is_refused_and_nobody_is_asked(pki: Path, method: str, path: str) -> None:
    with coordinator(pki) as there, gate(pki, there.address) as port:
        answer = raw(
            pki,
            port,
            f"{method} {path} HTTP/1.1\r\nHost: x\r\n{signed(pki)}Content-Length: 0\r\nConnection: close\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"problem", "fix"}
        assert there.connections == 0


@pytest.mark.parametrize(
    "header", ["Transfer-Encoding: chunked", "Content-Length: -1", "Content-Length: 99999999999", "A: b"]
)
def test_a_body_of_unknown_or_immense_length_is_refused(pki: Path, header: str) -> None:
    with coordinator(pki) as there, gate(pki, there.address) as port:
        head = f"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\n{signed(pki)}{header}\r\n\r\n"
        assert raw(pki, port, head).startswith(b"HTTP/1.1 403 ")
        assert there.connections == 0


def signed(pki: Path) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in signature(pki / "node.key").items())


def raw(pki: Path, port: int, head: str) -> bytes:
    """Send exactly this and return all that comes."""
    with connected(pki, port) as wrapped:
        wrapped.sendall(head.encode())
        return b"".join(iter(lambda: wrapped.recv(2**16), b""))


def test_a_long_answer_keeps_supernode_waiting(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its HTTP client gives up when nothing comes for 30 seconds; an interim response is something."""
    monkeypatch.setattr(door, "INTERIM_S", 0.01)
    enough = Event()

    def answering(_call: Call) -> Answer:
        enough.wait(30)
        return ok(b"at last")

    with coordinator(pki, answering) as there, gate(pki, there.address) as port, connected(pki, port) as node:
        head = f"POST /v1/fleet/get-run HTTP/1.1\r\nHost: x\r\n{signed(pki)}Content-Length: {len(BODY)}\r\n\r\n"
        node.sendall(head.encode() + BODY)
        got = b""
        while got.count(b"HTTP/1.1 102 Processing\r\n\r\n") < 3:
            got += node.recv(2**16)
        enough.set()
        while b"at last" not in got:
            got += node.recv(2**16)
        assert b"HTTP/1.1 200 " in got


def test_httpx_waits_through_interim_responses(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "INTERIM_S", 0.01)
    told, enough, tell = [], Event(), door.Door.still_here

    def still_here(self: door.Door) -> None:
        tell(self)
        told.append(self)
        if len(told) == 3:
            enough.set()

    def answering(_call: Call) -> Answer:
        enough.wait(30)
        return ok(b"at last")

    monkeypatch.setattr(door.Door, "still_here", still_here)
    with coordinator(pki, answering) as there, gate(pki, there.address) as port, SuperNode(pki, port) as node:
        assert node.call("get-run", BODY).content == b"at last"
        assert len(told) >= 3


def test_what_ends_the_answering_is_no_silence(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer SuperNode would wait for ever."""
    monkeypatch.setattr("fl_client.gate.Gate.answer", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
    with coordinator(pki) as there, gate(pki, there.address) as port, SuperNode(pki, port) as node:
        assert node.call("get-run", BODY).status_code == 503
        assert node.call("get-run", BODY).status_code == 503
