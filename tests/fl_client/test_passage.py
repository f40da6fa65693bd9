"""What may come in and go out, over real TLS sockets, with messages that Flower itself has made."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, MetricRecord
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
    RegisterNodeFleetRequest,
)
from flwr.proto.message_pb2 import PullObjectRequest
from flwr.proto.node_pb2 import Node

from core.errors import RecordsError
from core.messages import HELD_BACK, SITE_ERROR, Records, update_records
from core.npy import sha256_of
from core.records import audit
from core.records.db import reading
from fl_client import gate as gates
from fl_client.fleet_messages import NOT_APPROVED
from fl_client.site_records import SiteRecords
from fl_client.traffic import Traffic
from tests.fl_client.factories_fleet import coordinator, make_pki
from tests.fl_client.factories_gate import SuperNode, gate
from tests.fl_client.factories_messages import (
    NODE,
    WEIGHTS,
    SuperLink,
    a_task,
    an_update,
    announcement,
    answer_message,
    approving,
    error_message,
    fetch,
    good_answer,
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

    def events(self, action: str) -> list[dict[str, Any]]:
        with reading(self.records._engine) as session:
            return [json.loads(event.body) for event in audit.events(session, action=action)]

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
        yield Site(node, superlink, records, traffic, there.names)


def test_a_good_answer_leaves_as_it_is_and_is_noted_first(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        assert set(hand_over(site.node, answer)) == {200}
        assert site.superlink.objects == objects_of(answer)
        (noted,) = site.events("update.sent")
    assert noted == {
        "study": "glioma",
        "run": "glioma-1",
        "round": 1,
        "bytes": sum(map(len, objects_of(answer).values())),
        "weights_sha256": sha256_of(WEIGHTS + np.float32(0.5)),
    }


def test_nothing_leaves_before_the_last_piece_is_here(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        site.node.call("push-messages", announcement(answer).SerializeToString())
        assert "push-messages" not in site.calls()
        assert not site.events("update.sent")


def test_an_answer_that_cannot_be_noted_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        full = RecordsError("The disk is full", fix="free some")
        with monkeypatch.context() as broken:
            broken.setattr(site.records, "append", lambda *_a, **_k: (_ for _ in ()).throw(full))
            assert hand_over(site.node, good_answer(site.superlink.task))[-1] == 503
        assert not site.superlink.objects
        assert set(hand_over(site.node, good_answer(site.superlink.task))) == {200}
        assert len(site.superlink.answers()) == 1


def test_a_superlink_that_forgot_the_session_gets_it_all_again(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        site.superlink.forgets = 1
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        assert set(hand_over(site.node, answer)) == {200}
        assert site.superlink.objects == objects_of(answer)
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
        hand_over(site.node, good_answer(site.superlink.task))
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
        hand_over(site.node, answer_message(change(update_records(an_update())), site.superlink.task))
        assert site.codes() == [(HELD_BACK, None)]
        assert len(site.superlink.objects) == 1
        (told,) = site.events("reply.refused")
        assert not site.events("update.sent")
    assert reason in told["reason"]
    assert "Jane" not in told["reason"]


def test_a_metric_that_is_text_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = good_answer(site.superlink.task).content
        content["metrics"] = ConfigRecord({**dict(content.metric_records["metrics"]), "name": "Jane Doe"})
        hand_over(site.node, named(Message(content, reply_to=site.superlink.task)))
        assert site.codes() == [(HELD_BACK, None)]


def test_a_further_record_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = good_answer(site.superlink.task).content
        content["more"] = MetricRecord({"a": 1.0})
        hand_over(site.node, named(Message(content, reply_to=site.superlink.task)))
        assert site.codes() == [(HELD_BACK, None)]


def test_bytes_in_another_format_than_numpys_are_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        content = good_answer(site.superlink.task).content
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
        assert [(event["code"], event["bytes"]) for event in site.events("error.sent")] == [(2, 0)]


def test_a_code_that_nobody_knows_is_that_of_a_bug(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        hand_over(site.node, error_message(site.superlink.task, 19700101, ""))
        assert site.codes() == [(SITE_ERROR, None)]


def test_an_answer_to_no_task_is_dropped(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        assert hand_over(site.node, good_answer(site.superlink.task)) == [403]
        assert not site.superlink.announced


def test_an_answer_again_is_dropped(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        assert set(hand_over(site.node, answer)) == {200}
        assert hand_over(site.node, answer) == [403]
        assert len(site.superlink.announced) == 1


def test_a_field_that_nobody_knows_does_not_pass(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        call = announcement(good_answer(site.superlink.task)).SerializeToString()
        assert site.node.call("push-messages", call + b"\xfa\x3f\x04Jane").status_code == 403


def test_an_object_under_anothers_name_does_not_pass(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        assert hand_over(site.node, answer, dict.fromkeys(objects_of(answer), b"Jane Doe"))[1] == 403


@pytest.mark.parametrize("field", ["group_id", "message_type", "run_id", "dst_node_id"])
def test_an_answer_whose_address_is_not_its_tasks_does_not_pass(tmp_path: Path, field: str) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        value = "Jane" if isinstance(getattr(answer.metadata, field), str) else 5
        answer.metadata.__dict__[f"_{field}"] = value
        assert hand_over(site.node, named(answer)) == [403]


def test_an_object_that_tells_other_metadata_than_its_announcement_is_held_back(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        fetch(site.node, site.superlink.task)
        answer = good_answer(site.superlink.task)
        call = PushMessagesRequest.FromString(announcement(answer).SerializeToString())
        answer.metadata.__dict__["_group_id"] = "Jane Doe"
        other = named(answer)
        forged = announcement(other)
        forged.messages_list[0].metadata.group_id = call.messages_list[0].metadata.group_id
        told = site.node.call("push-messages", forged.SerializeToString())
        session = PushMessagesResponse.FromString(told.content).session_id
        for name, content in objects_of(other).items():
            push(site.node, session, name, content)
        assert site.codes() == [(HELD_BACK, None)]


def test_a_node_neither_registers_nor_looks_for_names(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        register = RegisterNodeFleetRequest(public_key=b"key").SerializeToString()
        asked = PullObjectRequest(node=Node(node_id=NODE), object_id="Jane").SerializeToString()
        assert site.node.call("register-node", register).status_code == 403
        assert site.node.call("pull-object", asked).status_code == 403
        assert not site.calls()
