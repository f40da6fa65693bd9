"""What may come in and go out, over real TLS sockets, with messages that Flower itself has made."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
    RegisterNodeFleetRequest,
)
from flwr.proto.message_pb2 import PullObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_object_tree

from core.errors import RecordsError
from core.messages import HELD_BACK, SITE_ERROR, Records, Update, read_update, update_records
from core.npy import NPY, sha256_of
from core.records import audit
from core.records.db import reading
from fl_client import gate as gates
from fl_client.fleet_messages import NOT_APPROVED
from fl_client.passage import TRIES
from fl_client.site_records import SiteRecords
from fl_client.supernode import make_node_key
from fl_client.traffic import Traffic
from fl_server.strategies import array_of, records_of
from tests.fl_client.factories_fleet import Call, coordinator, make_pki
from tests.fl_client.factories_gate import SuperNode, gate, signature
from tests.fl_client.factories_messages import (
    NODE,
    SHAPE,
    WEIGHTS,
    SuperLink,
    a_task,
    an_update,
    announcement,
    answer_message,
    approving,
    error_message,
    fetch,
    hand_over,
    named,
    objects_of,
    pulling,
    push,
    task_message,
)


@dataclass
class Site:
    """A site's gate between SuperNode and SuperLink."""

    node: SuperNode
    superlink: SuperLink
    records: SiteRecords
    traffic: Traffic
    calls: Callable[[], list[str]]
    there: Callable[[], list[Call]]

    def update(self) -> Update:
        return replace(an_update(), receipt=self.records.head())

    def answer(self) -> Message:
        return answer_message(update_records(self.update()), self.superlink.task)

    def events(self, action: str) -> list[dict[str, Any]]:
        with reading(self.records._engine) as session:
            return [json.loads(event.body) for event in audit.events(session, action=action)]

    def held_back(self) -> dict[str, Any]:
        """What the site's log says of the one answer that was held back, of which the coordinator got the code."""
        assert self.codes() == [(HELD_BACK, None)]
        (told,) = self.events("reply.refused")
        return told

    def codes(self) -> list[tuple[int, str | None]]:
        return [(one.error.code, one.error.reason) for one in self.superlink.answers() if one.has_error()]


@contextmanager
def a_site(folder: Path, task: Message | None = None, state: str = "approved", other: bytes = b"") -> Iterator[Site]:
    pki = make_pki(folder)
    records, bundle = approving(folder, state)
    superlink, traffic = SuperLink(task or task_message(a_task()), other or bundle), Traffic()
    with (
        coordinator(pki, superlink.answer) as there,
        gate(pki, there.address, traffic=traffic, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        yield Site(node, superlink, records, traffic, there.names, lambda: there.calls)


def test_a_good_answer_leaves_with_the_bytes_that_flower_gives_it_and_is_noted_first(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        update = site.update()
        assert set(hand_over(site.node, site.answer())) == {200}
        (left,), (noted,) = site.superlink.answers(), site.events("update.sent")
        (call,) = site.superlink.announced
    read = read_update(records_of(left.content, SHAPE.size))
    assert (read.weights == update.weights).all()
    assert replace(read, weights=WEIGHTS) == replace(update, weights=WEIGHTS)
    assert site.superlink.objects == objects_of(left)
    assert call.message_object_trees[0] == get_object_tree(left)
    # All but the metadata, which are the gate's, and the order of metrics is as Flower itself has written it.
    content = Message(plain(left.content), reply_to=site.superlink.task)
    assert objects_of(content).keys() - {content.object_id} == objects_of(left).keys() - {left.object_id}
    assert noted == {
        "study": "glioma",
        "run": "glioma-1",
        "round": 1,
        "bytes": call.ByteSize() + sum(map(len, site.superlink.objects.values())),
        "weights_sha256": sha256_of(WEIGHTS + np.float32(0.5)),
    }


def plain(content: RecordDict) -> RecordDict:
    """The same content, made by Flower anew from numpy and numbers."""
    weights = content.array_records["arrays"]["weights"].numpy()
    return RecordDict(
        {
            "arrays": ArrayRecord({"weights": array_of(weights)}),
            "config": ConfigRecord(dict(content.config_records["config"])),
            "metrics": MetricRecord(dict(content.metric_records["metrics"])),
        }
    )


def test_nothing_leaves_before_the_last_piece_is_here(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        site.node.call("push-messages", announcement(answer).SerializeToString())
        assert "push-messages" not in site.calls()
        assert not site.events("update.sent")


def test_an_answer_that_cannot_be_noted_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        full = RecordsError("The disk is full", fix="free some")
        with monkeypatch.context() as broken:
            broken.setattr(site.records, "append", lambda *_a, **_k: (_ for _ in ()).throw(full))
            assert hand_over(site.node, site.answer())[-1] == 503
        assert not site.superlink.objects
        assert set(hand_over(site.node, site.answer())) == {200}
        assert len(site.superlink.answers()) == 1


def test_a_superlink_that_forgot_the_session_gets_it_all_again(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        site.superlink.forgets = 1
        fetch(site.node, site.superlink.task)
        assert set(hand_over(site.node, site.answer())) == {200}
        assert len(site.superlink.announced) == 2
        assert site.superlink.announced[0] == site.superlink.announced[1]
        assert len(site.superlink.answers()) == 2
        assert len(site.events("update.sent")) == 1


@pytest.mark.parametrize("state", ["pending", "refused"])
def test_a_task_of_a_study_that_is_not_approved_does_not_come_in(tmp_path: Path, state: str) -> None:
    with a_site(tmp_path, state=state) as site:
        hold_nothing(site)
        assert site.codes() == [(NOT_APPROVED, None)]
        assert site.events("bundle.refused") == [{"bundle_sha256": hashlib.sha256(site.superlink.bundle).hexdigest()}]
        assert site.traffic.cause is not None
        assert "is not approved here" in site.traffic.cause.problem


def test_a_bundle_with_one_byte_more_is_another(tmp_path: Path) -> None:
    with a_site(tmp_path, other=b"PK another bundle") as site:
        hold_nothing(site)
        assert site.codes() == [(NOT_APPROVED, None)]
        asked = GetFabRequest(node=Node(node_id=NODE), hash_str="ab" * 32, run_id=1).SerializeToString()
        assert site.node.call("get-fab", asked).status_code == 403


def hold_nothing(site: Site) -> None:
    """SuperNode asks for a message and gets none."""
    held, gates.HOLD_S = gates.HOLD_S, 0.0
    try:
        answer = site.node.call("pull-messages", pulling())
    finally:
        gates.HOLD_S = held
    assert answer.status_code == 200
    assert not PullMessagesResponse.FromString(answer.content).messages_list


def test_a_study_that_is_refused_while_it_trains_sends_nothing_any_more(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        site.records.answer("glioma", "refused", "")
        hand_over(site.node, site.answer())
        assert site.codes() == [(HELD_BACK, None)]


def changed(**values: object) -> Callable[[Records], Records]:
    def change(_records: Records) -> Records:
        return update_records(replace(an_update(), **values))  # type: ignore[arg-type]

    return change


def with_config(**config: str | float) -> Callable[[Records], Records]:
    return lambda records: replace(records, config={**records.config, **config})


def with_metrics(**metrics: float | list[float]) -> Callable[[Records], Records]:
    return lambda records: replace(records, metrics={**records.metrics, **metrics})


def weights(values: Any) -> Callable[[Records], Records]:
    return lambda records: replace(records, arrays={"weights": values})


MAY_NOT_LEAVE: dict[str, tuple[Callable[[Records], Records], str]] = {
    "a NaN": (weights(np.where(np.arange(WEIGHTS.size) == 3, np.nan, WEIGHTS).astype(np.float32)), "NaN"),
    "another dtype": (weights(WEIGHTS.astype(np.float64)), "<f8"),
    "half precision": (weights(WEIGHTS.astype(np.float16)), "<f2"),
    "another shape": (weights(WEIGHTS[:-1]), "shape"),
    "a huge norm": (weights(WEIGHTS + np.float32(1e6)), "moved by"),
    "two arrays": (lambda r: replace(r, arrays={**r.arrays, "scan": WEIGHTS[:9]}), "not agreed"),
    "another name for the weights": (lambda r: replace(r, arrays={"scan": WEIGHTS}), "lacks"),
    "an earlier round": (changed(round=0), "round"),
    "another site": (changed(site="south"), "another site"),
    "another model": (changed(manifest="0" * 64), "another model"),
    "text in the receipt": (with_config(receipt="Jane Doe"), "receipt"),
    "text beside the receipt": (with_config(note="Jane Doe"), "not agreed"),
    "a number beside the metrics": (with_metrics(age=61.0), "not agreed"),
    "a longer list": (with_metrics(**{"validation.loss": [1.0, 2.0]}), "length"),
    "part of a case": (with_metrics(**{"training.cases": 7.5}), "whole"),
    "an infinite count": (with_metrics(**{"training.loss": float("inf")}), "finite"),
}


@pytest.mark.parametrize("name", MAY_NOT_LEAVE)
def test_what_the_study_may_not_send_is_held_back(tmp_path: Path, name: str) -> None:
    change, reason = MAY_NOT_LEAVE[name]
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        hand_over(site.node, answer_message(change(update_records(site.update())), site.superlink.task))
        assert site.codes() == [(HELD_BACK, None)]
        assert len(site.superlink.objects) == 1
        (told,) = site.events("reply.refused")
        assert not site.events("update.sent")
    assert reason in told["reason"]
    assert "Jane" not in told["reason"]


def test_a_metric_that_is_text_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = site.answer().content
        content["metrics"] = ConfigRecord({**dict(content.metric_records["metrics"]), "name": "Jane Doe"})
        hand_over(site.node, named(Message(content, reply_to=site.superlink.task)))
        assert site.codes() == [(HELD_BACK, None)]


def test_a_further_record_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = site.answer().content
        content["more"] = MetricRecord({"a": 1.0})
        hand_over(site.node, named(Message(content, reply_to=site.superlink.task)))
        assert site.codes() == [(HELD_BACK, None)]


def test_bytes_in_another_format_than_numpys_are_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = site.answer().content
        array = content.array_records["arrays"]["weights"]
        content.array_records["arrays"]["weights"] = Array(array.dtype, array.shape, "pickle", array.data)
        hand_over(site.node, named(Message(content, reply_to=site.superlink.task)))
        assert site.codes() == [(HELD_BACK, None)]


def test_of_an_error_only_its_code_leaves(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        hand_over(site.node, error_message(site.superlink.task, 2, "no such file /data/DOE^JANE/flair.dcm"))
        assert site.codes() == [(2, None)]
        assert b"JANE" not in b"".join(site.superlink.objects.values())
        (call,) = site.superlink.announced
        left = call.ByteSize() + sum(map(len, site.superlink.objects.values()))
        assert [(event["code"], event["bytes"]) for event in site.events("error.sent")] == [(2, left)]


def test_a_code_that_nobody_knows_is_that_of_a_bug(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        hand_over(site.node, error_message(site.superlink.task, 19700101, ""))
        assert site.codes() == [(SITE_ERROR, None)]


def test_an_answer_to_no_task_is_dropped(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        assert hand_over(site.node, site.answer()) == [403]
        assert not site.superlink.announced


def test_an_answer_again_is_dropped(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        assert set(hand_over(site.node, answer)) == {200}
        assert hand_over(site.node, answer) == [403]
        assert len(site.superlink.announced) == 1


def test_a_field_that_nobody_knows_does_not_pass(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        call = announcement(site.answer()).SerializeToString()
        assert site.node.call("push-messages", call + b"\xfa\x3f\x04Jane").status_code == 403


def test_an_object_under_anothers_name_does_not_pass(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        assert hand_over(site.node, answer, dict.fromkeys(objects_of(answer), b"Jane Doe"))[1] == 403


@pytest.mark.parametrize("field", ["group_id", "message_type", "run_id", "dst_node_id"])
def test_an_answer_whose_address_is_not_its_tasks_does_not_pass(tmp_path: Path, field: str) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        value = "Jane" if isinstance(getattr(answer.metadata, field), str) else 5
        answer.metadata.__dict__[f"_{field}"] = value
        assert hand_over(site.node, named(answer)) == [403]


def smuggle(site: Site, answer: Message, change: Callable[[PushMessagesRequest, dict[str, bytes]], None]) -> bytes:
    """Hand an answer over that a change was made to, and return every byte that reached the coordinator."""
    call, objects = announcement(answer), objects_of(answer)
    change(call, objects)
    told = PushMessagesResponse.FromString(site.node.call("push-messages", call.SerializeToString()).content)
    for name in told.objects_to_push:
        assert push(site.node, told.session_id, name, objects[name]) == 200
    calls = [one.SerializeToString() for one in site.superlink.announced]
    return b"".join([*calls, *site.superlink.objects.values()])


def in_metadata(call: PushMessagesRequest, _objects: dict[str, bytes]) -> None:
    told = call.messages_list[0].metadata
    told.created_at, told.ttl, told.src_task_id, told.dst_task_id = 19700101.0, 1e9, 1970, 19700101
    call.clientapp_runtime_list[0] = 19700101.0
    call.node.node_id = 19700101


def in_the_tree(call: PushMessagesRequest, _objects: dict[str, bytes]) -> None:
    tree = call.message_object_trees[0]
    tree.children.extend([tree.children[0]] * 3)


def in_the_header_of_the_array(_call: PushMessagesRequest, _objects: dict[str, bytes]) -> None:
    """See `an_array_with`."""


MAY_NOT_BE_SEEN = {"metadata": in_metadata, "tree": in_the_tree, "header": in_the_header_of_the_array}


def an_array_with(note: str) -> Array:
    """Weights whose .npy header holds a comment, which numpy reads past."""
    weights = WEIGHTS + np.float32(0.5)
    about = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({weights.size},)}} # {note}"
    head = about.ljust(245).encode() + b"\n"
    return Array("float32", weights.shape, NPY, b"\x93NUMPY\x01\x00\xf6\x00" + head + weights.tobytes())


@pytest.mark.parametrize("place", MAY_NOT_BE_SEEN)
def test_what_is_hidden_beside_the_numbers_stays_here(tmp_path: Path, place: str) -> None:
    """Nothing that SuperNode hands over goes on as it is: the gate writes what leaves."""
    with a_site(tmp_path / "plain") as site:
        fetch(site.node, site.superlink.task)
        assert set(hand_over(site.node, site.answer())) == {200}
        (expected,) = site.superlink.answers()
    with a_site(tmp_path / "hidden") as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        answer.content.array_records["arrays"]["weights"] = an_array_with("Jane Doe 19700101")
        left = smuggle(site, named(Message(answer.content, reply_to=site.superlink.task)), MAY_NOT_BE_SEEN[place])
        (found,) = site.superlink.answers()
        assert len(site.events("update.sent")) == 1
    assert b"Jane" not in left
    assert found.content.array_records == expected.content.array_records
    metadata = found.metadata
    assert abs(metadata.created_at - time.time()) < 600
    assert metadata.created_at + metadata.ttl == pytest.approx(
        site.superlink.task.metadata.created_at + site.superlink.task.metadata.ttl
    )
    assert site.superlink.announced[0].node.node_id == NODE
    assert list(site.superlink.announced[0].clientapp_runtime_list) == [0.0]


def test_a_receipt_that_is_no_head_of_this_sites_log_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        forged = replace(site.update(), receipt="0123456789abcdef" * 4)
        hand_over(site.node, answer_message(update_records(forged), site.superlink.task))
        told = site.held_back()
    assert "no head of this site's log" in told["reason"]


def test_an_answer_that_is_too_large_is_held_back_and_its_other_pieces_are_not_kept(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        update = replace(site.update(), weights=np.zeros(3_000_000, np.float32))
        update.weights[:] = np.arange(3_000_000)
        statuses = hand_over(site.node, answer_message(update_records(update), site.superlink.task))
        assert statuses[0] == 200
        told = site.held_back()
    assert "larger" in told["reason"]


def test_a_few_bytes_that_stand_for_many_are_held_back(tmp_path: Path) -> None:
    """An array may name a piece as often as it likes."""
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = site.answer()

        def repeat(call: PushMessagesRequest, objects: dict[str, bytes]) -> None:
            tree = call.message_object_trees[0]
            array = tree.children[0].children[0].children[0]
            head, body = objects[array.object_id].split(b"\0")
            about = json.dumps({**json.loads(body), "arraychunk_ids": [0] * 1000}).encode()
            grown = b"%b %d\0%b" % (head.rpartition(b" ")[0], len(about), about)
            renamed = {array.object_id: hashlib.sha256(grown).hexdigest()}
            array.object_id = renamed[array.object_id]
            objects[array.object_id] = grown
            for parent in (tree.children[0].children[0], tree.children[0], tree):
                content = objects[parent.object_id]
                for old, new in renamed.items():
                    content = content.replace(old.encode(), new.encode())
                renamed[parent.object_id] = hashlib.sha256(content).hexdigest()
                parent.object_id = renamed[parent.object_id]
                objects[parent.object_id] = content
            call.messages_list[0].metadata.message_id = tree.object_id

        smuggle(site, answer, repeat)
        told = site.held_back()
    assert "larger" in told["reason"]


def test_why_an_answer_was_held_back_is_told_here_and_not_to_the_coordinator(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        hidden = replace(site.update(), weights=WEIGHTS[:1970])
        hand_over(site.node, answer_message(update_records(hidden), site.superlink.task))
        (told,) = site.events("reply.refused")
        assert site.traffic.cause is not None
        assert "1970" in told["reason"]
        assert "1970" not in site.traffic.cause.problem + site.traffic.cause.fix


def test_an_answer_that_ends_its_reader_is_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        monkeypatch.setattr("fl_client.passage.inspect", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
        assert set(hand_over(site.node, site.answer())) == {200}
        assert site.codes() == [(HELD_BACK, None)]


def test_a_task_that_comes_while_the_records_cannot_be_read_is_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_site(tmp_path) as site:
        locked = RecordsError("The database is locked", fix="wait")
        monkeypatch.setattr(site.records, "approved_study", lambda _: (_ for _ in ()).throw(locked))
        hold_nothing(site)
        assert site.codes() == [(SITE_ERROR + RecordsError.exit_code, None)]


def test_a_bundle_of_another_approved_study_is_not_the_tasks_bundle(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        site.superlink.bundle = b"PK another one"
        asked = GetFabRequest(node=Node(node_id=NODE), hash_str="ab" * 32, run_id=1).SerializeToString()
        assert site.node.call("get-fab", asked).status_code == 403
        assert site.codes() == [(NOT_APPROVED, None)]


def test_a_gate_that_was_started_anew_lets_the_bundle_of_an_approved_study_in(tmp_path: Path) -> None:
    """SuperNode has the task from before; what it answers is dropped, and it is asked again at once."""
    with a_site(tmp_path) as site:
        asked = GetFabRequest(node=Node(node_id=NODE), hash_str="ab" * 32, run_id=1).SerializeToString()
        assert site.node.call("get-fab", asked).status_code == 200
        assert hand_over(site.node, site.answer()) == [403]
        assert site.calls()[-1] == "activate-node"


def test_an_answer_that_superlink_never_stores_is_handed_over_again_and_leaves_later(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        site.superlink.forgets = TRIES
        fetch(site.node, site.superlink.task)
        answer = site.answer()
        assert hand_over(site.node, answer)[-1] == 503
        assert not site.superlink.objects
        assert set(hand_over(site.node, answer)) == {200}
        assert len({one.messages_list[0].metadata.message_id for one in site.superlink.announced}) == 1
        assert len(site.events("update.sent")) == 1


def test_nobody_waits_for_an_answer_whose_task_is_over(tmp_path: Path) -> None:
    task = task_message(a_task())
    task.metadata.__dict__["_created_at"] -= 3600
    with a_site(tmp_path, named(task)) as site:
        fetch(site.node, site.superlink.task)
        site.superlink.forgets = 1000
        assert set(hand_over(site.node, site.answer())) == {200}


def test_a_call_that_supernode_has_not_signed_reaches_nobody(tmp_path: Path) -> None:
    """Every account of this machine reaches the gate's port."""
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        calls = site.calls()
        stranger = make_node_key(tmp_path / "other.key", tmp_path / "other.pub")
        assert stranger
        signed = site.node.signed
        for headers in (
            {},
            {**signed, "flwr-timestamp": "2026-01-01T00:00:00+00:00"},
            {**signed, "flwr-signature": "Jane"},
            signature(tmp_path / "other.key"),
            {**signature(tmp_path / "other.key"), "flwr-public-key": signed["flwr-public-key"]},
            {**signed, "flwr-public-key": signature(tmp_path / "other.key")["flwr-public-key"]},
        ):
            site.node.signed = headers
            assert site.node.call("pull-messages", pulling()).status_code == 403
            assert [*hand_over(site.node, site.answer())] == [403]
        assert site.calls() == calls
        site.node.signed = signed
        assert set(hand_over(site.node, site.answer())) == {200}


def test_of_a_calls_headers_only_the_signature_goes_with_it(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        site.node.call("pull-messages", pulling(), **{"flwr-note": "Jane", "accept": "Jane", "x-note": "Jane"})
        assert "Jane" not in "".join("".join(call.headers.values()) for call in site.there())


def test_a_long_call_that_should_be_short_does_not_pass(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        long = ActivateNodeRequest(public_key=b"J" * 5000, heartbeat_interval=30).SerializeToString()
        assert site.node.call("activate-node", long).status_code == 403
        assert not site.calls()


def test_a_node_neither_registers_nor_looks_for_names(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        register = RegisterNodeFleetRequest(public_key=b"key").SerializeToString()
        asked = PullObjectRequest(node=Node(node_id=NODE), object_id="Jane").SerializeToString()
        assert site.node.call("register-node", register).status_code == 403
        assert site.node.call("pull-object", asked).status_code == 403
        assert not site.calls()
