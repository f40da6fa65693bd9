"""The objects that a message of Flower's consists of, read strictly: each must be as Flower itself writes it.

`<kind> <children> <length>`, a zero byte, the body: JSON with the names of children, a record, or a piece of an array.

Source: flwr 1.41, `flwr/app/message/` and `flwr/proto/recorddict.proto`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from flwr.proto.recorddict_pb2 import ConfigRecord, ConfigRecordValue, MetricRecord, MetricRecordValue

from core.npy import NPY, npy_array
from fl_client.fleet_messages import strictly, unknown
from fl_client.trainer_socket import Packed

_HEAD = re.compile(rb"([A-Za-z]{1,20}) ((?:[0-9a-f]{64}(?:,[0-9a-f]{64})*)?) ([0-9]{1,10})\0")
_HEAD_BYTES = 2**16


def content_of(name: str, objects: Mapping[str, bytes], most_bytes: int) -> Packed:
    """Unpack what a message carries; its own metadata are not looked at.

    Args:
        name: the message's.
        objects: all of its tree, by name.
        most_bytes: of an array, also where its pieces are few and often repeated.
    Raises: UpdateRejected: the objects are not exactly those of one message, or one is not as Flower writes it.
    """
    try:
        return _content_of(name, objects, most_bytes)
    except (ValueError, TypeError, RecursionError):
        raise unknown("an object") from None


def _content_of(name: str, objects: Mapping[str, bytes], most_bytes: int) -> Packed:
    opened = _Opened(objects, most_bytes)
    (content,), _ = opened.get(name, "Message")
    records = opened.references(content, "RecordDict")
    if records.keys() - {"arrays", "config", "metrics"}:
        raise unknown("a record")
    arrays = opened.references(records["arrays"], "ArrayRecord") if "arrays" in records else {}
    found = Packed(
        {array: opened.array(place) for array, place in arrays.items()},
        opened.values(records.get("config"), "ConfigRecord", ConfigRecord),
        opened.values(records.get("metrics"), "MetricRecord", MetricRecord),
    )
    if opened.seen != objects.keys():
        raise unknown("an object that belongs to nothing")
    return found


def _opened(content: bytes, kind: str) -> tuple[list[str], memoryview]:
    head = _HEAD.match(content[:_HEAD_BYTES])
    if head is None or head[1] != kind.encode() or int(head[3]) != len(content) - head.end():
        raise unknown("an object")
    return head[2].decode().split(",") if head[2] else [], memoryview(content)[head.end() :]


class _Opened:
    """The objects of a message as they are looked into, one after another."""

    def __init__(self, objects: Mapping[str, bytes], most_bytes: int) -> None:
        self._objects = objects
        self._most_bytes = most_bytes
        self.seen: set[str] = set()

    def get(self, name: str, kind: str) -> tuple[list[str], memoryview]:
        """Return an object's children and its body."""
        self.seen.add(name)
        return _opened(self._objects.get(name, b""), kind)

    def _json(self, name: str, kind: str) -> tuple[list[str], dict[str, Any]]:
        children, body = self.get(name, kind)
        try:
            told = json.loads(bytes(body))
        except ValueError:
            told = None
        if not isinstance(told, dict) or json.dumps(told).encode() != body:
            raise unknown("an object's JSON")
        return children, told

    def references(self, name: str, kind: str) -> dict[str, str]:
        """Return an object that names its children."""
        children, told = self._json(name, kind)
        if sorted(set(map(str, told.values()))) != sorted(children):
            raise unknown("an object's children")
        return told

    def array(self, name: str) -> bytes:
        """Return an array's bytes, put together of its chunks."""
        children, told = self._json(name, "Array")
        places = told.pop("arraychunk_ids", None)
        if told.keys() != {"dtype", "shape", "stype"} or told["stype"] != NPY or not isinstance(places, list):
            raise unknown("an array")
        if not all(type(place) is int and 0 <= place < len(children) for place in places):
            raise unknown("an array's chunks")
        pieces = [self.get(children[place], "ArrayChunk")[1] for place in places]
        if sum(map(len, pieces)) > self._most_bytes:
            raise unknown("an array larger than the study's model")
        data = b"".join(pieces)
        array = npy_array(data)
        if (str(array.dtype), list(array.shape)) != (told["dtype"], told["shape"]):
            raise unknown("an array that is not what it says")
        return data

    def values(self, name: str | None, kind: str, proto: type[Any]) -> dict[str, Any]:
        """Return a record of numbers, or of text and numbers."""
        if name is None:
            return {}
        children, body = self.get(name, kind)
        record: Any = strictly(proto, bytes(body))
        found = {item.key: _value(item.value) for item in record.items}
        if children or len(found) != len(record.items):
            raise unknown("a record's names")
        return found


def _value(value: ConfigRecordValue | MetricRecordValue) -> str | int | float | list[float]:
    kind = value.WhichOneof("value")
    if kind in ("double", "sint64", "uint64", "string"):
        plain: str | int | float = getattr(value, kind)
        return plain
    if kind in ("double_list", "sint_list", "uint_list"):
        return list(getattr(value, kind).vals)
    raise unknown("a value that is neither text nor a number")
