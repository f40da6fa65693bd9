import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import Message, PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node

from core.errors import UpdateRejected
from fl_client import fleet_messages as fleet
from tests.fl_client.factories_messages import NODE, RUN, a_task, announcement, good_answer, pulling, task_message

TASK = task_message(a_task())
ANSWER = good_answer(TASK)


def test_an_answer_without_messages_brings_none() -> None:
    assert fleet.message_in(b"") is None
    assert fleet.message_in(fleet.NO_MESSAGES) is None


def test_an_announcement_says_what_is_answered_and_what_it_consists_of() -> None:
    read = fleet.answer_in(announcement(ANSWER).SerializeToString())
    assert (read.id, read.answers, read.run, read.kind, read.error) == (
        ANSWER.object_id, TASK.metadata.message_id, RUN, "train", None,
    )  # fmt: skip
    assert read.objects[-1] == ANSWER.object_id
    assert len(read.objects) == len(set(read.objects)) == 7


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff",
        PushMessagesRequest().SerializeToString(),
        PushMessagesRequest(messages_list=[Message(), Message()]).SerializeToString(),
        announcement(ANSWER).SerializeToString() + announcement(ANSWER).SerializeToString(),
        announcement(ANSWER).SerializeToString() + b"\xfa\x3f\x04Jane",
    ],
    ids=["no message", "none", "two", "twice", "a field that nobody knows"],
)
def test_what_is_not_known_is_refused(body: bytes) -> None:
    with pytest.raises(UpdateRejected, match="does not know"):
        fleet.answer_in(body)


def test_a_call_names_its_node() -> None:
    assert fleet.check_request("pull-messages", pulling()) == NODE
    assert fleet.check_request("deactivate-node", fleet.deactivation(NODE)) == NODE


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("register-node", b""),
        ("unregister-node", b""),
        ("start-run", b""),
        ("pull-messages", PullMessagesRequest(node=Node(node_id=1), message_ids=["Jane"]).SerializeToString()),
        ("push-object", PushObjectRequest(object_id="Jane").SerializeToString()),
        ("get-fab", b""),
    ],
)
def test_a_call_that_supernode_does_not_make_is_refused(call: str, body: bytes) -> None:
    with pytest.raises(UpdateRejected):
        fleet.check_request(call, body)


def test_a_pushed_object_must_have_its_own_name() -> None:
    call = fleet.pushed_object(NODE, RUN, "s", "ab" * 32, b"x")
    with pytest.raises(UpdateRejected, match="SHA-256"):
        fleet.object_in(call)


def test_more_than_one_message_at_a_time_is_refused() -> None:
    with pytest.raises(UpdateRejected):
        fleet.message_in(PullMessagesResponse(messages_list=[Message(), Message()]).SerializeToString())


def test_an_object_is_on_its_way_where_it_is_known_and_not_there() -> None:
    def answer(found: bool, available: bool, content: bytes = b"") -> bytes:
        response = PullObjectResponse(object_found=found, object_available=available, object_content=content)
        return response.SerializeToString()

    assert fleet.is_on_its_way(answer(found=True, available=False))
    assert not fleet.is_on_its_way(answer(found=False, available=False))
    assert not fleet.is_on_its_way(answer(found=True, available=True, content=b"x"))
    assert not fleet.is_on_its_way(answer(found=True, available=True, content=b"x" * 1000))
