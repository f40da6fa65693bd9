"""Messages as Flower itself makes them, a SuperLink that hands one out and takes the answer, and SuperNode's side."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.fab_pb2 import Fab, GetFabResponse
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunResponse, Run
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from core.messages import Records, Task, Update, task_of, update_records
from core.presets import preset_of
from core.site_protocol import StudyOffer
from core.study import FederationSettings, ModelSettings, Study
from core.updates import COHORT, TRAINING
from fl_client.relay import Answer
from fl_client.site_records import SiteRecords
from fl_server.strategies import task_content
from tests.fl_client.factories_fleet import Call, ok
from tests.fl_client.factories_gate import SuperNode
from tests.fl_client.factories_studies import bundled
from tests.fl_server.factories_answers import content_of, validation_counts

RUN, NODE = 2**63 + 11, 7
STUDY = Study(
    name="glioma", model=ModelSettings(preset="tiny"), federation=FederationSettings(rounds=2, max_update_norm=1e3)
)
SHAPE = preset_of(STUDY.model)
WEIGHTS = np.linspace(-1, 1, SHAPE.size, dtype=np.float32)
HEAD = "a" * 64


def approving(folder: Path, state: str = "approved") -> tuple[SiteRecords, bytes]:
    """A site's records that hold an answer to the study, and the study's bundle."""
    records = SiteRecords("north", f"sqlite:///{folder / 'records.db'}")
    toml, bundle = bundled(folder / "app", STUDY)
    sha256 = hashlib.sha256(bundle).hexdigest()
    offer = StudyOffer(
        study=STUDY.name, toml=toml, bundle_sha256=sha256, rounds_close="when all have answered", sites=["north"],
        state="pending", reason="", offered_at="2026-03-04T05:06:07.000000Z",
    )  # fmt: skip
    records.learn(offer, bundle)
    if state != "pending":
        records.answer(STUDY.name, state, "")
    return records, bundle


def a_task(number: int = 1) -> Task:
    return task_of(STUDY, number, WEIGHTS, SHAPE.digest, "glioma-1", HEAD)


def task_message(task: Task, kind: str = "train") -> Message:
    # Flower makes no message outside a task.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    arrays, config = task_content(task)
    message = Message(RecordDict({"arrays": arrays, "config": config}), NODE, kind, ttl=600, group_id=str(task.round))
    message.metadata.__dict__["_run_id"] = RUN
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


def an_update(number: int = 1) -> Update:
    return Update(
        site="north",
        round=number,
        weights=WEIGHTS + np.float32(0.5),
        manifest=SHAPE.digest,
        examples=8,
        training={**dict.fromkeys(TRAINING, 0.5), "cases": 8.0},
        validation=validation_counts(),
        cohort={**dict.fromkeys(COHORT, 0.0), "training": 8.0, "validation": 4.0},
        receipt="b" * 64,
    )


def answer_message(records: Records, task: Message) -> Message:
    return named(Message(content_of(records), reply_to=task))


def good_answer(task: Message) -> Message:
    return answer_message(update_records(an_update(int(task.metadata.group_id))), task)


def error_message(task: Message, code: int, reason: str) -> Message:
    return named(Message(Error(code, reason), reply_to=task))


def named(message: Message) -> Message:
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


def objects_of(message: Message) -> dict[str, bytes]:
    return {name: one.deflate() for name, one in get_all_nested_objects(message).items()}


def announcement(message: Message) -> PushMessagesRequest:
    proto = message_to_proto(message)
    proto.ClearField("content")
    if message.has_content():
        proto.content.SetInParent()
    return PushMessagesRequest(
        node=Node(node_id=NODE),
        messages_list=[proto],
        message_object_trees=[get_object_tree(message)],
        clientapp_runtime_list=[0.25],
    )


@dataclass
class SuperLink:
    """Hands one message out and keeps what comes back, as SuperLink does.

    Attributes:
        task: the message.
        bundle: what a run's app is.
        announced: what was announced to it, oldest first.
        objects: what was stored, by name.
        forgets: how many sessions it loses before it stores anything.
    """

    task: Message
    bundle: bytes
    announced: list[PushMessagesRequest] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    forgets: int = 0
    handed_out: int = 0

    def answer(self, call: Call) -> Answer:
        return ok(getattr(self, call.name.replace("-", "_"))(call.body).SerializeToString())

    def answers(self) -> list[Message]:
        """The answers of which all is here."""
        found = [inflate_object_from_contents(one.messages_list[0].metadata.message_id, dict(self.objects))
                 for one in self.announced if one.messages_list[0].metadata.message_id in self.objects]  # fmt: skip
        return [one for one in found if isinstance(one, Message)]

    def pull_messages(self, _body: bytes) -> PullMessagesResponse:
        self.handed_out += 1
        if self.handed_out > 1:
            return PullMessagesResponse()
        proto = message_to_proto(self.task)
        proto.ClearField("content")
        return PullMessagesResponse(messages_list=[proto], message_object_trees=[get_object_tree(self.task)])

    def get_run(self, _body: bytes) -> GetRunResponse:
        return GetRunResponse(run=Run(run_id=RUN, fab_hash=hashlib.sha256(self.bundle).hexdigest()))

    def get_fab(self, _body: bytes) -> GetFabResponse:
        return GetFabResponse(fab=Fab(hash_str=hashlib.sha256(self.bundle).hexdigest(), content=self.bundle))

    def pull_object(self, body: bytes) -> PullObjectResponse:
        content = objects_of(self.task)[PullObjectRequest.FromString(body).object_id]
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def push_messages(self, body: bytes) -> PushMessagesResponse:
        request = PushMessagesRequest.FromString(body)
        self.announced.append(request)
        missing = [name for name in _names(request.message_object_trees[0]) if name not in self.objects]
        return PushMessagesResponse(objects_to_push=missing, session_id=f"session-{len(self.announced)}")

    def push_object(self, body: bytes) -> PushObjectResponse:
        request = PushObjectRequest.FromString(body)
        knows = request.session_id == f"session-{len(self.announced)}" and len(self.announced) > self.forgets
        if knows:
            self.objects[request.object_id] = request.object_content
        return PushObjectResponse(stored=knows)


def fetch(node: SuperNode, task: Message) -> None:
    """Fetch a message and all that it carries, as SuperNode does."""
    brought = PullMessagesResponse.FromString(node.call("pull-messages", pulling()).content)
    assert [one.metadata.message_id for one in brought.messages_list] == [task.metadata.message_id]
    for name in objects_of(task):
        assert node.call("pull-object", pull_of(name)).status_code == 200
    confirmed = ConfirmMessageReceivedRequest(
        node=Node(node_id=NODE), run_id=RUN, message_object_id=task.metadata.message_id
    )
    node.call("confirm-message-received", confirmed.SerializeToString())


def pull_of(name: str) -> bytes:
    return bytes(PullObjectRequest(node=Node(node_id=NODE), run_id=RUN, object_id=name).SerializeToString())


def pulling() -> bytes:
    return bytes(PullMessagesRequest(node=Node(node_id=NODE)).SerializeToString())


def hand_over(node: SuperNode, answer: Message, objects: dict[str, bytes] | None = None) -> list[int]:
    """Hand an answer over as SuperNode does, and return each call's status."""
    call = announcement(answer)
    announced = node.call("push-messages", call.SerializeToString())
    statuses = [announced.status_code]
    if announced.status_code == 200:
        told = PushMessagesResponse.FromString(announced.content)
        for name in told.objects_to_push:
            content = (objects or objects_of(answer))[name]
            statuses.append(push(node, told.session_id, name, content))
    return statuses


def push(node: SuperNode, session: str, name: str, content: bytes) -> int:
    call = PushObjectRequest(
        node=Node(node_id=NODE), run_id=RUN, session_id=session, object_id=name, object_content=content
    )
    return node.call("push-object", call.SerializeToString()).status_code


def _names(tree: ObjectTree) -> list[str]:
    found = [name for child in tree.children for name in _names(child)]
    return list(dict.fromkeys([*found, tree.object_id]))
