"""The gate over real TLS sockets: SuperNode's side by httpx, as SuperNode does, the coordinator's by the tests' own."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, DeactivateNodeRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest

from fl_client import gate as gates
from fl_client.fleet_messages import NO_MESSAGES
from fl_client.flower_process import hang_bell
from fl_client.gate import GateSettings, pause_s, serve
from fl_client.relay import Answer
from fl_client.site_records import SiteRecords
from fl_client.traffic import SILENCE_S, Passed, Traffic, end_silent
from tests.fl_client.factories_fleet import Call, coordinator, make_pki, ok
from tests.fl_client.factories_gate import SuperNode, connected, gate, one_after_another
from tests.fl_client.factories_messages import (
    NODE,
    RUN,
    SuperLink,
    a_task,
    approving,
    pull_of,
    pulling,
    task_message,
)

TASK = task_message(a_task())
MESSAGE = SuperLink(TASK, b"").pull_messages(b"").SerializeToString()
PULL, PIECE = pulling(), pull_of(TASK.metadata.message_id)
BEAT = SendNodeHeartbeatRequest(node=Node(node_id=NODE), heartbeat_interval=30).SerializeToString()
CONFIRM = ConfirmMessageReceivedRequest(
    node=Node(node_id=NODE), run_id=RUN, message_object_id=TASK.metadata.message_id
).SerializeToString()
REFUSED = Answer(403, "application/json", b'{"problem": "Site north is suspended", "fix": "ask the coordinator"}')


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return make_pki(tmp_path)


@pytest.fixture
def approved(tmp_path: Path) -> tuple[SiteRecords, SuperLink]:
    records, bundle = approving(tmp_path)
    return records, SuperLink(TASK, bundle)


def pulls(superlink: SuperLink, *answers: Answer | type[Exception]) -> Callable[[Call], Answer]:
    """Answer pull-messages with these answers in turn, and all else as SuperLink does."""
    one = one_after_another(*answers)
    return lambda call: one(call) if call.name == "pull-messages" else superlink.answer(call)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PAUSES_S", (0.001, 0.01))
    monkeypatch.setattr(gates, "OBJECT_PAUSE_S", 0.001)


Approved = tuple[SiteRecords, SuperLink]


def test_a_wait_for_messages_ends_with_the_message_and_not_before(pki: Path, approved: Approved) -> None:
    records, superlink = approved
    answering = pulls(superlink, ok(NO_MESSAGES), ok(NO_MESSAGES), ok(NO_MESSAGES), ok(MESSAGE), ok(NO_MESSAGES))
    with (
        coordinator(pki, answering) as there,
        gate(pki, there.address, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        assert node.call("pull-messages", PULL).content == MESSAGE
        assert [call.body for call in there.calls if call.name == "pull-messages"] == [PULL] * 4


def test_a_wait_goes_on_while_the_coordinator_restarts(pki: Path, approved: Approved) -> None:
    records, superlink = approved
    answering = pulls(superlink, ConnectionResetError, Answer(502, "", b""), Answer(500, "", b""), ok(MESSAGE))
    traffic = Traffic()
    with (
        coordinator(pki, answering) as there,
        gate(pki, there.address, traffic=traffic, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        assert node.call("pull-messages", PULL).content == MESSAGE
        assert traffic.cause is None


def test_a_wait_ends_empty_at_last(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HOLD_S", 0.0)
    traffic = Traffic()
    with coordinator(pki, lambda call: ok(NO_MESSAGES)) as there, gate(pki, there.address, traffic=traffic) as port:
        with SuperNode(pki, port) as node:
            answer = node.call("pull-messages", PULL)
        assert (answer.status_code, answer.content) == (200, NO_MESSAGES)
        assert traffic.polled_at


def test_a_signature_that_grew_old_in_a_wait_is_made_anew(pki: Path) -> None:
    """Flower believes it for 300 seconds; SuperNode would end itself on a 401."""
    answering = one_after_another(ok(NO_MESSAGES), Answer(401, "", b""))
    traffic = Traffic()
    with (
        coordinator(pki, answering) as there,
        gate(pki, there.address, traffic=traffic) as port,
        SuperNode(pki, port) as node,
    ):
        answer = node.call("pull-messages", PULL)
        assert (answer.status_code, answer.content) == (200, NO_MESSAGES)
        assert traffic.cause is None


def test_no_message_is_fetched_for_a_supernode_that_has_gone(pki: Path, approved: Approved) -> None:
    records, superlink = approved
    asked, gone = Event(), Event()

    def answering(call: Call) -> Answer:
        if call.name != "pull-messages":
            return superlink.answer(call)
        number = there.names().count("pull-messages")
        if number == 2:
            asked.set()
            gone.wait(30)
        return ok(MESSAGE if number == 3 else NO_MESSAGES)

    with coordinator(pki, answering) as there, gate(pki, there.address, records=records) as port:
        with connected(pki, port) as dying:
            head = f"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PULL)}\r\n\r\n"
            dying.sendall(head.encode() + PULL)
            asked.wait(30)
        gone.set()
        with SuperNode(pki, port) as node:
            assert node.call("pull-messages", PULL).content == MESSAGE


def test_an_object_that_is_on_its_way_is_waited_for(pki: Path) -> None:
    coming = PullObjectResponse(object_found=True, object_available=False).SerializeToString()
    here = PullObjectResponse(object_found=True, object_available=True, object_content=b"x").SerializeToString()
    answering = one_after_another(ok(coming), ok(coming), ok(here))
    with coordinator(pki, answering) as there, gate(pki, there.address) as port, SuperNode(pki, port) as node:
        assert node.call("pull-object", PIECE).content == here
        assert len(there.calls) == 3


@pytest.mark.parametrize(
    "failure", [Answer(500, "", b""), Answer(413, "", b"<html>"), Answer(404, "", b""), ConnectionResetError]
)
def test_what_would_end_supernode_becomes_a_failure_that_it_tries_again_after(
    pki: Path, failure: Answer | type[Exception]
) -> None:
    traffic = Traffic()
    answering = one_after_another(failure, ok(b"later"))
    with (
        coordinator(pki, answering) as there,
        gate(pki, there.address, traffic=traffic) as port,
        SuperNode(pki, port) as node,
    ):
        answer = node.call("send-node-heartbeat", BEAT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert traffic.cause is not None
        assert node.call("send-node-heartbeat", BEAT).content == b"later"
        assert traffic.cause is None


def test_a_coordinator_that_is_away_is_named(pki: Path) -> None:
    traffic = Traffic()
    with coordinator(pki) as there:
        address = there.address
    with gate(pki, address, traffic=traffic) as port, SuperNode(pki, port) as node:
        assert node.call("send-node-heartbeat", BEAT).status_code == 503
        assert traffic.cause is not None
        assert address in traffic.cause.problem


def test_a_refused_site_is_told_why_and_does_not_ask_on_and_on(pki: Path) -> None:
    traffic = Traffic()
    with (
        coordinator(pki, lambda call: REFUSED) as there,
        gate(pki, there.address, traffic=traffic) as port,
        SuperNode(pki, port) as node,
    ):
        assert [node.call("send-node-heartbeat", BEAT).status_code for _ in range(5)] == [503] * 5
        assert len(there.calls) == 1
        assert traffic.cause is not None
        assert (traffic.cause.problem, traffic.cause.fix) == ("Site north is suspended", "ask the coordinator")


def test_a_site_that_is_taken_back_goes_on(pki: Path, approved: Approved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "REFUSED_RESTS_S", (0.0, 0.0))
    records, superlink = approved
    with (
        coordinator(pki, pulls(superlink, REFUSED, ok(MESSAGE))) as there,
        gate(pki, there.address, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        assert node.call("pull-messages", PULL).content == MESSAGE


def test_bytes_are_counted_by_run(pki: Path, approved: Approved) -> None:
    records, superlink = approved
    traffic = Traffic()
    with (
        coordinator(pki, superlink.answer) as there,
        gate(pki, there.address, traffic=traffic, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        node.call("pull-messages", PULL)
        before, total = traffic.of_run(RUN), traffic.passed
        piece = node.call("pull-object", PIECE).content
    assert traffic.of_run(RUN) == before + Passed(len(PIECE), len(piece))
    assert traffic.passed == total + Passed(len(PIECE), len(piece))


def test_what_was_refused_is_not_counted(pki: Path) -> None:
    traffic = Traffic()
    with (
        coordinator(pki, lambda call: REFUSED) as there,
        gate(pki, there.address, traffic=traffic) as port,
        SuperNode(pki, port) as node,
    ):
        node.call("pull-object", PIECE)
    assert traffic.passed == Passed()


def test_the_bell_rings_once_all_of_a_message_is_here(pki: Path) -> None:
    with coordinator(pki) as there, hang_bell(pki / "superexec.bell") as bell, gate(pki, there.address) as port:
        bell.setblocking(False)
        with SuperNode(pki, port) as node:
            node.call("pull-object", PIECE)
            with pytest.raises(BlockingIOError):
                bell.recv(1)
            node.call("confirm-message-received", CONFIRM)
        assert bell.recv(1)


def test_pauses_grow_with_the_wait_between_two_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PAUSES_S", (0.2, 3.0))
    assert [pause_s(idle) for idle in (0, 4, 20, 60, 3600)] == [0.2, 0.2, 1.0, 3.0, 3.0]


def test_serving_ends_when_it_is_cancelled(pki: Path) -> None:
    async def run() -> int:
        ports: list[int] = []
        with coordinator(pki, lambda call: ok(b"here")) as there:
            settings = GateSettings(there.address, "", pki, 0, pki / "silent", pki / "bell", pki / "node.id")
            records = SiteRecords("north", f"sqlite:///{pki / 'records.db'}")
            serving = asyncio.create_task(serve(settings, Traffic(), records, ports.append))
            await asyncio.sleep(0)
            with SuperNode(pki, ports[0]) as node:
                answer = await asyncio.to_thread(
                    node.call, "get-run", GetRunRequest(node=Node(node_id=NODE)).SerializeToString()
                )
            assert answer.content == b"here"
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
        return ports[0]

    port = asyncio.run(run())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_silent_supernode_is_told_to_end_once(tmp_path: Path) -> None:
    ticking: Iterator[float] = iter([0.0, *[SILENCE_S + 1] * 100])
    traffic = Traffic(lambda: next(ticking))
    told = tmp_path / "supernode.silent"
    end_silent(told, traffic)
    assert told.exists()
    told.unlink()
    end_silent(told, traffic)
    assert not told.exists()


def test_a_node_that_was_killed_is_let_in_at_once(pki: Path) -> None:
    """SuperLink holds it to be there until its heartbeat lapses, a minute long, unless it is told."""
    refusal = Answer(400, "application/json", b'{"code": 2004, "detail": "could not be activated"}')
    let_in = ok(ActivateNodeResponse(node_id=NODE).SerializeToString())
    there_still = [True]

    def answering(call: Call) -> Answer:
        if call.name == "deactivate-node":
            assert DeactivateNodeRequest.FromString(call.body).node_id == NODE
            there_still[0] = False
        return refusal if call.name == "activate-node" and there_still[0] else let_in

    activate = ActivateNodeRequest(public_key=b"key", heartbeat_interval=30).SerializeToString()
    with coordinator(pki, answering) as there:
        with gate(pki, there.address) as port, SuperNode(pki, port) as node:
            node.call("send-node-heartbeat", BEAT)
        with (
            gate(pki, there.address) as port,
            SuperNode(pki, port) as node,
        ):  # a gate that was started anew knows it too
            assert node.call("activate-node", activate).status_code == 200
        assert there.names()[1:] == ["activate-node", "deactivate-node", "activate-node"]
