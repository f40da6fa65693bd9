"""The edge as a real Nginx in front of a real SuperLink and the site API: what passes, what not, and who says so."""

import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node

from fl_server.edge_configuration import edge_configuration
from fl_server.site_api import EDGE_REFUSALS, UNKNOWN_CALL
from fl_server.superlink import superlink_process, write_flower
from tests.factories_ports import free_port
from tests.fl_server.factories_coordinator import (
    Coordinator,
    Identity,
    accepts,
    client,
    coordinator,
    edge,
    enrolled,
    outdated,
    refusals,
    running,
    stranger,
    wait_for,
)
from tests.fl_server.intruder import Shown, attempts, tricks

FLEET = "/v1/fleet/pull-messages"
PROTOBUF = {"Content-Type": "application/protobuf"}


@dataclass(frozen=True)
class Deployment:
    """A coordinator whose edge and SuperLink run."""

    of: Coordinator
    superlink: int
    north: Identity


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    port = free_port()
    with coordinator() as of:
        north = enrolled(of, "north")  # before Flower is set up: its node is made up
        write_flower(of.home, port)
        with running(superlink_process(of.home, port)), edge(of, port):
            wait_for(lambda: accepts("127.0.0.1", port), "SuperLink listens")
            yield Deployment(of, port, north)


def problem(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return str(answer.json()["problem"])


def push(megabytes: float) -> bytes:
    content = os.urandom(int(megabytes * 2**20))
    node = Node(node_id=1)
    return PushObjectRequest(node=node, run_id=1, object_id="a" * 64, object_content=content).SerializeToString()


def test_an_enrolled_site_reaches_flowers_own_check_and_nobody_else_does(deployed: Deployment) -> None:
    with client(deployed.of, deployed.north) as north:
        answer = north.post(FLEET, headers=PROTOBUF)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid SuperNode authentication"})
    with client(deployed.of) as nobody:
        assert problem(nobody.post(FLEET, headers=PROTOBUF)) == "No client certificate was shown"


def test_an_objects_five_megabytes_pass_and_what_flower_never_sends_does_not(deployed: Deployment) -> None:
    with client(deployed.of, deployed.north) as north:
        assert north.post("/v1/fleet/push-object", content=push(5.5), headers=PROTOBUF).status_code == 401
        assert problem(north.post("/v1/fleet/push-object", content=push(17))) == EDGE_REFUSALS["large"].problem
        pieces = (push(1) for _ in range(5))
        assert north.post("/v1/fleet/push-object", content=pieces, headers=PROTOBUF).status_code in (400, 401)


def test_nothing_of_flower_but_its_fleet_calls_is_reached_even_by_a_site(deployed: Deployment) -> None:
    ca = ssl.create_default_context(cafile=str(deployed.of.home / "pki" / "ca.crt"))
    flower = httpx.get(f"https://127.0.0.1:{deployed.superlink}/openapi.json", verify=ca, trust_env=False).json()
    routes = [(method.upper(), path) for path, methods in flower["paths"].items() for method in methods]
    fleet = [(method, path) for method, path in routes if path.startswith("/v1/fleet/")]
    assert len(fleet) == 12
    assert len(routes) > 70
    with client(deployed.of, deployed.north) as north:
        for method, path in routes:
            answer = north.request(method, path)
            if (method, path) in fleet:
                assert answer.status_code in (400, 401, 415, 422), path  # Flower's own words
            else:
                assert answer.status_code == 403, path
                assert method == "HEAD" or problem(answer) == UNKNOWN_CALL.problem, path


def test_a_path_that_two_servers_could_read_in_two_ways_stops_at_the_edge_even_for_a_site(deployed: Deployment) -> None:
    of, north = deployed.of, deployed.north
    shown = Shown("an enrolled site", str(north.certificate), str(north.key))
    calls = [call for call in tricks("/v1/control/list-runs", north.serial) if not call.headers]
    assert len(calls) > 40
    for attempt in attempts(of.host, [of.port], of.port, str(of.home / "pki" / "ca.crt"), shown, calls):
        assert attempt.status == 403, attempt
        problems = {UNKNOWN_CALL.problem, EDGE_REFUSALS["malformed"].problem}
        assert attempt.call.method == "HEAD" or json.loads(attempt.text)["problem"] in problems, attempt


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_fleet_calls_are_posts(deployed: Deployment, method: str) -> None:
    with client(deployed.of, deployed.north) as north:
        assert north.request(method, FLEET).status_code == 403


@pytest.mark.parametrize("fault", ["expired", "of another authority"])
def test_what_tls_makes_of_a_certificate_is_named_and_written_down(deployed: Deployment, fault: str) -> None:
    identity = outdated(deployed.of, "old") if fault == "expired" else stranger(deployed.of, "north")
    expected = "has expired" if fault == "expired" else "is not of this federation"
    with client(deployed.of, identity) as shown:
        for method, path in (("POST", FLEET), ("GET", "/v1/site/protocol"), ("GET", "/docs")):
            sentence = problem(shown.request(method, path))
            assert sentence == f"The client certificate {expected}"
            written = [json.loads(event.body) for event in refusals(deployed.of)]
            same = [body for body in written if body["serial"] == identity.serial]
            assert [b for b in same if (b["what"], b["why"]) == (f"{method} {path}", sentence)]


def test_a_caller_cannot_say_itself_who_it_is(deployed: Deployment) -> None:
    spoofed = {
        "X-Client-Verify": "SUCCESS",
        "X-Client-Serial": deployed.north.serial,
        "X_Client_Serial": deployed.north.serial,
        "X-Original-URI": "/v1/site/ca.crt",
        "X-Original-Method": "GET",
        "X-Real-IP": "203.0.113.7",
        "X-Site": "north",
    }
    with client(deployed.of, headers=spoofed) as nobody:
        for method, path in (("POST", FLEET), ("GET", "/v1/site/protocol"), ("GET", "/check")):
            assert problem(nobody.request(method, path)) == "No client certificate was shown"
    assert {json.loads(event.body)["source"] for event in refusals(deployed.of)} == {"127.0.0.1"}


def test_a_call_without_tls_is_told_so(deployed: Deployment) -> None:
    answer = httpx.get(f"http://{deployed.of.address}/v1/site/protocol", trust_env=False)
    assert problem(answer) == "The call came without TLS"


def handshake(of: Coordinator, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> str:
    context = ssl.create_default_context(cafile=str(of.home / "pki" / "ca.crt"))
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((of.host, of.port)) as raw, context.wrap_socket(raw, server_hostname=of.host) as tls:
        return str(tls.version())


def test_old_tls_and_weak_ciphers_are_refused(deployed: Deployment) -> None:
    assert handshake(deployed.of, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(deployed.of, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        handshake(deployed.of, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)), pytest.warns(DeprecationWarning):
        handshake(deployed.of, ssl.TLSVersion.TLSv1_1)


def test_no_answer_tells_which_release_of_what_serves_it(deployed: Deployment) -> None:
    with client(deployed.of, deployed.north) as north, client(deployed.of) as nobody:
        for answer in (
            north.get("/v1/site/protocol"),
            north.post(FLEET),
            nobody.get("/"),
            nobody.get("/v1/site/ca.crt"),
        ):
            assert answer.headers["server"] == "nginx"
            assert "x-site" not in answer.headers


def test_the_log_of_calls_has_neither_queries_nor_polls_nor_refusals(deployed: Deployment) -> None:
    with client(deployed.of, deployed.north) as north:
        north.get("/v1/site/transfer?bytes=17")
        north.get("/v1/site/offers")
    log = (deployed.of.home / "logs" / "calls.log").read_text()
    assert "GET /v1/site/transfer 200" in log
    assert "GET /v1/site/offers 200" in log
    assert not [word for word in ("bytes=17", " 403 ", " 401 ", "/v1/fleet/") if word in log]


def test_it_listens_where_it_was_told_and_nowhere_else(tmp_path: Path) -> None:
    text = edge_configuration(tmp_path, ("10.1.2.3", 443), 9092, None)
    assert [line.strip() for line in text.splitlines() if "listen " in line] == ["listen 10.1.2.3:443 ssl http2;"]
    assert "user " not in text
    assert "listen [fd00::1]:443 " in edge_configuration(tmp_path, ("fd00::1", 443), 9092, "gliofed")
    assert "user gliofed;" in edge_configuration(tmp_path, ("fd00::1", 443), 9092, "gliofed")


def test_every_refusal_of_the_edge_has_its_sentence() -> None:
    text = edge_configuration(Path("/x"), ("h", 1), 2, None)
    assert set(re.findall(r"/refused/([a-z]+)", text)) == {"refused", *EDGE_REFUSALS}
