"""What SuperNode and SuperLink say to each other, as far as the gate must know; nothing else here reads Flower's wire.

Source: flwr 1.41, `flwr/proto/{fleet,message}.proto` and the calls under `/v1/fleet/`.
"""

import json

from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

PREFIX = "/v1/fleet/"
MEDIA_TYPE = "application/protobuf"

# Calls, each the last part of its path.
ACTIVATE = "activate-node"
HEARTBEAT = "send-node-heartbeat"
PULL_MESSAGES = "pull-messages"
PUSH_MESSAGES = "push-messages"
PULL_OBJECT = "pull-object"
PUSH_OBJECT = "push-object"
CONFIRM_MESSAGE = "confirm-message-received"

# An answer to pull-messages that brings none, so that SuperNode asks again later.
NO_MESSAGES = PullMessagesResponse().SerializeToString()

# Flower's code for a node that cannot become active: unknown, or its predecessor crashed less than a minute ago.
NOT_ACTIVATED = 2004


def brings_messages(answer: bytes) -> bool:
    """Say whether an answer to pull-messages brings any; one that cannot be read is SuperNode's to refuse."""
    try:
        return bool(PullMessagesResponse.FromString(answer).messages_list)
    except DecodeError:
        return True


def is_on_its_way(answer: bytes) -> bool:
    """Say whether an answer to pull-object tells that the object is known but has not arrived yet."""
    if len(answer) > 100:  # it brings the object
        return False
    try:
        told = PullObjectResponse.FromString(answer)
    except DecodeError:
        return False
    return bool(told.object_found and not told.object_available)


def run_of(call: str, request: bytes, answer: bytes) -> int | None:
    """Return Flower's number of the run that a call is about, where that can be told and weighs anything."""
    try:
        if call == PUSH_OBJECT:
            return int(PushObjectRequest.FromString(request).run_id)
        if call == PULL_OBJECT:
            return int(PullObjectRequest.FromString(request).run_id)
        if call == PUSH_MESSAGES:
            messages = PushMessagesRequest.FromString(request).messages_list
        elif call == PULL_MESSAGES:
            messages = PullMessagesResponse.FromString(answer).messages_list
        else:
            return None
    except DecodeError:
        return None
    return int(messages[0].metadata.run_id) if messages else None


def flower_code(answer: bytes) -> int | None:
    """Return the code of an error that Flower itself answers, or None where the answer is somebody else's."""
    try:
        told = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("detail"), str):
        return None
    code = told.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None
