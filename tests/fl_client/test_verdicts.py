import json

import pytest
from flwr.supercore.error import ApiErrorCode, FlowerError

from fl_client.relay import Answer
from fl_client.verdicts import NOT_ACTIVATED, Verdict, flower_code, verdict_on

# The statuses after which SuperNode 1.41 tries again, or drops a message and goes on; any other ends its work.
BEARABLE = {200, 403, 503}


def flower(status: int, code: int) -> Answer:
    return Answer(status, "application/json", json.dumps({"code": code, "detail": "words"}).encode())


def edge(status: int) -> Answer:
    return Answer(status, "application/json", b'{"problem": "Site north is suspended", "fix": "ask the coordinator"}')


def test_what_succeeds_passes_as_it_is() -> None:
    assert verdict_on("pull-messages", Answer(200, "", b"")) == Verdict(200)


@pytest.mark.parametrize("call", ["activate-node", "send-node-heartbeat", "pull-messages", "push-object", "get-fab"])
@pytest.mark.parametrize(
    "status", [201, 302, 400, 401, 403, 404, 405, 409, 412, 413, 429, 495, 500, 501, 502, 503, 504]
)
@pytest.mark.parametrize("make", [flower, lambda status, _: edge(status), lambda status, _: Answer(status, "", b"")])
def test_no_answer_whatever_ends_supernode(call: str, status: int, make) -> None:
    if status < 300:
        return
    assert verdict_on(call, make(status, 2010)).status in BEARABLE - {200}


def test_a_heartbeat_is_always_tried_again() -> None:
    """Its thread ends for good after any other status, and the node is offline while its loop runs on."""
    for status in (400, 401, 403, 404, 409, 412, 413, 500):
        assert verdict_on("send-node-heartbeat", flower(status, 2002)).status == 503


def test_a_refusal_of_the_edge_keeps_its_words_and_is_no_reason_to_hurry() -> None:
    verdict = verdict_on("pull-messages", edge(403))
    assert verdict == Verdict(503, "Site north is suspended", "ask the coordinator", refused=True)


def test_the_edges_failure_is_no_refusal() -> None:
    assert not verdict_on("pull-messages", edge(503)).refused
    assert not verdict_on("push-object", edge(413)).refused


def test_a_run_that_is_over_is_told_to_supernode() -> None:
    """Flower answers 403 with a code of its own: SuperNode then drops the message, which is nobody's problem."""
    assert verdict_on("push-object", flower(403, 2012)) == Verdict(403)


def test_a_run_that_vanished_is_over_too() -> None:
    """Tried again it would be asked for without end; unchanged, its 404 would end SuperNode."""
    assert verdict_on("get-run", flower(404, 2007)) == Verdict(403)
    assert verdict_on("get-fab", flower(404, 2008)) == Verdict(403)


def test_a_node_that_crashed_waits_until_it_is_let_in_again() -> None:
    verdict = verdict_on("activate-node", flower(412, 2004))
    assert (verdict.status, verdict.refused) == (503, False)
    assert "a minute" in verdict.fix


def test_a_wrong_clock_is_named() -> None:
    answer = Answer(401, "application/json", b'{"detail": "Invalid SuperNode authentication"}')
    verdict = verdict_on("pull-messages", answer)
    assert (verdict.status, verdict.refused) == (503, True)
    assert "clock" in verdict.problem


def test_the_coordinators_words_are_not_repeated_without_end() -> None:
    body = json.dumps({"problem": "p" * 10_000, "fix": "f" * 10_000}).encode()
    verdict = verdict_on("pull-messages", Answer(403, "", body))
    assert len(verdict.problem) == len(verdict.fix) == 300


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (json.dumps({"code": 2004, "detail": "Failed to activate SuperNode"}).encode(), 2004),
        (json.dumps({"detail": "Invalid SuperNode authentication"}).encode(), None),
        (json.dumps({"code": True, "detail": "x"}).encode(), None),
        (json.dumps({"problem": "a", "fix": "b"}).encode(), None),
        (b"<html>", None),
        (b"[1]", None),
        (b"", None),
    ],
)
def test_only_an_error_of_flowers_own_has_a_code(body: bytes, code: int | None) -> None:
    assert flower_code(body) == code


def test_flowers_own_errors_are_read_as_flower_writes_them() -> None:
    error = FlowerError(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED, "for the server's log")
    assert flower_code(json.dumps(error.to_json("Failed to activate SuperNode")).encode()) == NOT_ACTIVATED
