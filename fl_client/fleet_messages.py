"""Flower's wire between SuperNode and SuperLink, read strictly: what this file does not know does not pass.

A message travels as a tree of objects, each named by its SHA-256: `<kind> <children> <length>`, a zero byte, the body.
First `push-messages` brings the message's metadata and the tree of names, then each `push-object` an object; the other
way it is `pull-messages` and `pull-object`. What cannot be read so is refused everywhere here: UpdateRejected.

Source: flwr 1.41, `flwr/proto/{fleet,message,run,recorddict}.proto`, `flwr/app/message/`, the calls under `/v1/fleet/`.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from flwr.proto.fab_pb2 import GetFabRequest, GetFabResponse
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest, GetRunResponse
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.message import Message as Proto

from core.errors import UpdateRejected

PREFIX = "/v1/fleet/"
MEDIA_TYPE = "application/protobuf"

# Calls, each the last part of its path.
ACTIVATE = "activate-node"
DEACTIVATE = "deactivate-node"
HEARTBEAT = "send-node-heartbeat"
GET_RUN = "get-run"
GET_FAB = "get-fab"
PULL_MESSAGES = "pull-messages"
PUSH_MESSAGES = "push-messages"
PULL_OBJECT = "pull-object"
PUSH_OBJECT = "push-object"
CONFIRM_MESSAGE = "confirm-message-received"

# What SuperNode may ask. A node that is enrolled neither registers nor unregisters itself.
_REQUESTS: dict[str, type[Proto]] = {
    ACTIVATE: ActivateNodeRequest,
    DEACTIVATE: DeactivateNodeRequest,
    HEARTBEAT: SendNodeHeartbeatRequest,
    GET_RUN: GetRunRequest,
    GET_FAB: GetFabRequest,
    PULL_MESSAGES: PullMessagesRequest,
    PUSH_MESSAGES: PushMessagesRequest,
    PULL_OBJECT: PullObjectRequest,
    PUSH_OBJECT: PushObjectRequest,
    CONFIRM_MESSAGE: ConfirmMessageReceivedRequest,
}

# An answer to pull-messages that brings none, so that SuperNode asks again later; one to push-object.
NO_MESSAGES: bytes = PullMessagesResponse().SerializeToString()
STORED: bytes = PushObjectResponse(stored=True).SerializeToString()

NOT_APPROVED = 7  # Flower's code of an error reply

_SHA256 = re.compile(r"[0-9a-f]{64}")
# More than a call has that brings nothing but names and numbers.
SMALL_BYTES = 2**12
# More chunks of 5 MB than the largest answer has.
_MOST_OBJECTS = 500

ProtoT = TypeVar("ProtoT", bound=Proto)


@dataclass(frozen=True)
class Envelope:
    """A message without what it carries.

    Attributes:
        id: its name, the SHA-256 of its object.
        run: Flower's number of its run.
        kind: `train` or `evaluate`.
        answers: the id of the message that it answers, or empty.
        objects: names of all objects of its tree, each once, children before parents, so its own comes last.
        error: Flower's or our code, None where it carries content.
        message: what `push-messages` and `pull-messages` hold of it.
        ends: when nobody waits for its answer any more, in seconds since 1970.
    """

    id: str
    run: int
    kind: str
    answers: str
    objects: tuple[str, ...]
    error: int | None
    message: Message
    ends: float


def check_request(call: str, body: bytes) -> int:
    """Return the number of the node that makes a call, 0 where the call does not name it.

    Raises: UpdateRejected: it is none of SuperNode's calls as this release knows them.
    """
    if call not in _REQUESTS or (len(body) > SMALL_BYTES and call not in (PUSH_MESSAGES, PUSH_OBJECT)):
        raise unknown("a call")
    request: Any = strictly(_REQUESTS[call], body)
    names = [
        getattr(request, field) for field in ("object_id", "message_object_id", "hash_str") if hasattr(request, field)
    ]
    if not all(map(_SHA256.fullmatch, names)) or (call == PULL_MESSAGES and request.message_ids):
        raise unknown("a name")
    return int(request.node_id) if call == DEACTIVATE else int(request.node.node_id) if call != ACTIVATE else 0


def message_in(answer: bytes) -> Envelope | None:
    """Return the message that an answer to pull-messages brings, or None."""
    brought = strictly(PullMessagesResponse, answer)
    return _envelope(brought.messages_list, brought.message_object_trees) if brought.messages_list else None


def answer_in(body: bytes) -> Envelope:
    """Return the answer that push-messages announces."""
    request = strictly(PushMessagesRequest, body)
    if len(request.clientapp_runtime_list) > 1 or not all(map(isfinite, request.clientapp_runtime_list)):
        raise unknown("a list of run times")
    return _envelope(request.messages_list, request.message_object_trees)


def announced(answer: Envelope, session: str) -> bytes:
    """Return what SuperLink would answer to an announcement: all objects are wanted."""
    return _bytes(
        PushMessagesResponse(results={answer.id: 0}, objects_to_push=list(answer.objects), session_id=session)
    )


def wanted_in(answer: bytes) -> tuple[str, list[str]]:
    """Return the session and the names of the objects that SuperLink wants of an announced answer."""
    told = strictly(PushMessagesResponse, answer)
    return told.session_id, list(told.objects_to_push)


def object_in(body: bytes) -> tuple[str, str, bytes]:
    """Return session, name and content of a pushed object, whose name is its SHA-256.

    Raises: UpdateRejected: it is not.
    """
    pushed = strictly(PushObjectRequest, body)
    content = bytes(pushed.object_content)
    if hashlib.sha256(content).hexdigest() != pushed.object_id:
        raise unknown("an object whose name is not its SHA-256")
    return pushed.session_id, pushed.object_id, content


def pushed_object(node: int, run: int, session: str, name: str, content: bytes) -> bytes:
    """Return the push-object call of an object."""
    return _bytes(
        PushObjectRequest(
            node=Node(node_id=node), run_id=run, session_id=session, object_id=name, object_content=content
        )
    )


def was_stored(answer: bytes) -> bool:
    """Say whether SuperLink has stored an object."""
    return bool(strictly(PushObjectResponse, answer).stored)


def pulled_object(body: bytes, answer: bytes) -> tuple[str, bytes] | None:
    """Return name and content of an object that a pull-object call brought, or None where it brought none."""
    told = strictly(PullObjectResponse, answer)
    return (strictly(PullObjectRequest, body).object_id, bytes(told.object_content)) if told.object_available else None


def is_on_its_way(answer: bytes) -> bool:
    """Say whether an answer to pull-object tells that the object is known but has not arrived yet."""
    if len(answer) > 100:  # it brings the object
        return False
    told = strictly(PullObjectResponse, answer)
    return bool(told.object_found and not told.object_available)


def run_question(node: int, run: int) -> bytes:
    """Return the get-run call about a run."""
    return _bytes(GetRunRequest(node=Node(node_id=node), run_id=run))


def bundle_of(answer: bytes) -> str:
    """Return the SHA-256 of the app bundle that a run is of, as an answer to get-run names it."""
    return str(strictly(GetRunResponse, answer).run.fab_hash)


def bundle_in(answer: bytes) -> str:
    """Return the SHA-256 of the app bundle that an answer to get-fab brings.

    Raises: UpdateRejected: it cannot be read, or says another.
    """
    fab = strictly(GetFabResponse, answer).fab
    digest = hashlib.sha256(fab.content).hexdigest()
    if fab.hash_str != digest:
        raise unknown("a bundle whose name is not its SHA-256")
    return digest


def deactivation(node: int) -> bytes:
    """Return the deactivate-node call of a node."""
    return _bytes(DeactivateNodeRequest(node_id=node))


def _envelope(messages: Sequence[Message], trees: Sequence[ObjectTree]) -> Envelope:
    if len(messages) != 1 or len(trees) != 1:
        raise unknown("not one message")
    (message,), (tree,) = messages, trees
    names = tuple(dict.fromkeys(_names(tree)))
    if len(names) > _MOST_OBJECTS or not all(map(_SHA256.fullmatch, names)) or message.content.ByteSize():
        raise unknown("a tree of objects")
    told = message.metadata
    if names[-1] != told.message_id and told.reply_to_message_id:
        raise unknown("a message whose name is not its object's")
    error = message.error.code if message.HasField("error") else None
    return Envelope(
        id=told.message_id,
        run=told.run_id,
        kind=told.message_type,
        answers=told.reply_to_message_id,
        objects=names,
        error=error,
        message=message,
        ends=told.created_at + told.ttl,
    )


def _names(tree: ObjectTree) -> Iterator[str]:
    for child in tree.children:
        yield from _names(child)
    yield tree.object_id


def strictly(kind: type[ProtoT], body: bytes) -> ProtoT:
    """Read a message that holds nothing beside what this release knows, written in the one usual way."""
    try:
        read: ProtoT = kind.FromString(body)
    except DecodeError:
        raise unknown("bytes that are no message") from None
    read.DiscardUnknownFields()
    if read.ByteSize() != len(body):
        raise unknown("a message with more in it than is known")
    return read


def _bytes(message: Proto) -> bytes:
    return bytes(message.SerializeToString())


def unknown(what: str) -> UpdateRejected:
    """Return the error for what this release does not know; it repeats nothing of it."""
    return UpdateRejected(
        f"Flower's wire holds {what} that this release does not know", fix="bring both sides to the same release"
    )
