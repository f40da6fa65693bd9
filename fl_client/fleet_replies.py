"""Answers to tasks as they leave: the gate writes each itself, of nothing but what it has checked.

Of the answer that SuperNode hands over no byte goes on, whatever else may have been in it: not its metadata, which are
the task's, not its headers, names and trees, which are made anew here. `<kind> <children> <length>`, a zero byte, the
body; an object's name is its SHA-256.

Source: flwr 1.41, `flwr/app/message/`, `flwr/supercore/inflatable/`, `flwr/proto/{message,recorddict}.proto`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE as CHUNK_BYTES
from flwr.proto.error_pb2 import Error
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.recorddict_pb2 import (
    ConfigRecord,
    ConfigRecordValue,
    DoubleList,
    MetricRecord,
    MetricRecordValue,
    RecordDict,
)
from numpy.typing import NDArray

from core.messages import Records
from core.npy import NPY, npy_bytes
from fl_client.fleet_messages import Envelope


@dataclass(frozen=True)
class Reply:
    """An answer as it leaves.

    Attributes:
        call: the push-messages call that announces it.
        objects: what follows, by name.
    """

    call: bytes
    objects: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of all that leaves."""
        return len(self.call) + sum(map(len, self.objects.values()))


def error_reply(task: Envelope, code: int, moment: float) -> Reply:
    """Make the answer to a task that has none, with an error code and not a word more.

    Args:
        task: what is answered.
        code: Flower's or ours.
        moment: seconds since 1970.
    """
    return _reply(task, moment, _Objects(), None, Error(code=code))


def content_reply(task: Envelope, content: Records, moment: float) -> Reply:
    """Make the answer to a task that has one.

    Args:
        task: what is answered.
        content: checked; metrics are floats and lists of floats.
        moment: seconds since 1970.
    """
    objects = _Objects()
    config = ConfigRecord(
        items=[ConfigRecord.Item(key=name, value=_config(value)) for name, value in content.config.items()]
    )
    metrics = MetricRecord(
        items=[MetricRecord.Item(key=name, value=_metric(value)) for name, value in content.metrics.items()]
    )
    records = {
        "arrays": objects.named("ArrayRecord", {name: objects.array(one) for name, one in content.arrays.items()}),
        "config": objects.put("ConfigRecord", config.SerializeToString()),
        "metrics": objects.put("MetricRecord", metrics.SerializeToString()),
    }
    return _reply(task, moment, objects, objects.named("RecordDict", records), None)


def _reply(
    task: Envelope, moment: float, objects: "_Objects", content: ObjectTree | None, error: Error | None
) -> Reply:
    asked = task.message.metadata
    told = Metadata(
        run_id=asked.run_id, src_node_id=asked.dst_node_id, dst_node_id=asked.src_node_id,
        reply_to_message_id=asked.message_id, group_id=asked.group_id, message_type=asked.message_type,
        created_at=moment, ttl=asked.created_at + asked.ttl - moment,
        src_task_id=asked.dst_task_id, dst_task_id=asked.src_task_id,
    )  # fmt: skip
    body = Message(metadata=told, error=error).SerializeToString(deterministic=True)
    tree = objects.put("Message", body, [content] if content else [])
    told.message_id = tree.object_id
    message = Message(metadata=told, error=error, content=RecordDict() if content else None)
    call = PushMessagesRequest(
        node=Node(node_id=asked.dst_node_id),
        messages_list=[message],
        message_object_trees=[tree],
        clientapp_runtime_list=[0.0],
    )
    return Reply(call.SerializeToString(), objects.contents)


class _Objects:
    """The objects of an answer as they are made, children before parents."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, kind: str, body: bytes | memoryview, children: Sequence[ObjectTree] = ()) -> ObjectTree:
        """Make an object and return its tree."""
        head = f"{kind} {','.join(child.object_id for child in children)} {len(body)}\0"
        content = b"".join((head.encode(), body))
        name = hashlib.sha256(content).hexdigest()
        self.contents[name] = content
        return ObjectTree(object_id=name, children=children)

    def named(self, kind: str, children: dict[str, ObjectTree]) -> ObjectTree:
        """Make an object that gives names to others."""
        names = {name: child.object_id for name, child in children.items()}
        return self.put(kind, json.dumps(names).encode(), list(children.values()))

    def array(self, values: NDArray[Any]) -> ObjectTree:
        """Make an array of pieces; those that are the same, as of zeros, are one object."""
        data = memoryview(npy_bytes(values))
        pieces = [
            self.put("ArrayChunk", data[start : start + CHUNK_BYTES]) for start in range(0, len(data), CHUNK_BYTES)
        ]
        unique = {piece.object_id: piece for piece in pieces}
        places = list(unique)
        about = {
            "dtype": str(values.dtype),
            "shape": list(values.shape),
            "stype": NPY,
            "arraychunk_ids": [places.index(piece.object_id) for piece in pieces],
        }
        return self.put("Array", json.dumps(about).encode(), list(unique.values()))


def _config(value: str | int | float) -> ConfigRecordValue:
    if isinstance(value, str):
        return ConfigRecordValue(string=value)
    return ConfigRecordValue(sint64=value) if isinstance(value, int) else ConfigRecordValue(double=value)


def _metric(value: float | list[float]) -> MetricRecordValue:
    if isinstance(value, list):
        return MetricRecordValue(double_list=DoubleList(vals=value))
    return MetricRecordValue(double=value)
