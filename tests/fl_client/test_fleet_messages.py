import json

import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata, PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node

from fl_client import fleet_messages as fleet


def test_an_answer_without_messages_brings_none() -> None:
    assert not fleet.brings_messages(b"")
    assert not fleet.brings_messages(fleet.NO_MESSAGES)
    assert fleet.brings_messages(PullMessagesResponse(messages_list=[Message()]).SerializeToString())


def test_what_cannot_be_read_is_left_to_supernode() -> None:
    assert fleet.brings_messages(b"\xff\xff\xff")
    assert not fleet.is_on_its_way(b"\xff\xff\xff")
    assert fleet.run_of(fleet.PUSH_OBJECT, b"\xff\xff\xff", b"") is None


def test_an_object_is_on_its_way_where_it_is_known_and_not_there() -> None:
    def answer(found: bool, available: bool, content: bytes = b"") -> bytes:
        response = PullObjectResponse(object_found=found, object_available=available, object_content=content)
        return response.SerializeToString()

    assert fleet.is_on_its_way(answer(found=True, available=False))
    assert not fleet.is_on_its_way(answer(found=False, available=False))
    assert not fleet.is_on_its_way(answer(found=True, available=True, content=b"x"))
    assert not fleet.is_on_its_way(answer(found=True, available=True, content=b"x" * 1000))


def test_the_run_is_read_from_the_call_or_its_answer() -> None:
    run = 2**63 + 5  # Flower's numbers fill 64 bits
    messages = [Message(metadata=Metadata(run_id=run))]
    assert (
        fleet.run_of("push-object", PushObjectRequest(run_id=run, object_content=b"x").SerializeToString(), b"") == run
    )
    assert fleet.run_of("pull-object", PullObjectRequest(run_id=run).SerializeToString(), b"") == run
    assert fleet.run_of("push-messages", PushMessagesRequest(messages_list=messages).SerializeToString(), b"") == run
    pulled = PullMessagesResponse(messages_list=messages).SerializeToString()
    asked = PullMessagesRequest(node=Node(node_id=1)).SerializeToString()
    assert fleet.run_of("pull-messages", asked, pulled) == run
    assert fleet.run_of("pull-messages", asked, b"") is None
    assert fleet.run_of("send-node-heartbeat", b"", b"") is None


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
    assert fleet.flower_code(body) == code


def test_flowers_own_errors_are_read_as_flower_writes_them() -> None:
    from flwr.supercore.error import ApiErrorCode, FlowerError

    error = FlowerError(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED, "for the server's log")
    assert fleet.flower_code(json.dumps(error.to_json("Failed to activate SuperNode")).encode()) == fleet.NOT_ACTIVATED
