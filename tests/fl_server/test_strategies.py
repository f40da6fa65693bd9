from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from core.errors import UpdateRejected
from core.messages import Evaluation, evaluation_records, update_records
from core.npy import sha256_of
from fl_server import strategies
from fl_server.strategies import FederatedAveraging, pooled_counts, records_of, task_content
from tests.fl_server.factories_answers import (
    INITIAL,
    MANIFEST,
    RECEIPT,
    SITES,
    STEPS,
    a_grid,
    a_journal,
    a_study,
    a_task,
    an_update,
    content_of,
    honest,
    opened,
    reply,
    validation_counts,
)

STUDY = a_study()


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_strategy(**federation: float) -> FederatedAveraging:
    return FederatedAveraging(a_study(**federation), MANIFEST, SITES, a_journal(Path()))


def ask(strategy: FederatedAveraging, grid: Grid, kind: str = "train") -> list[Message]:
    """Send round 3's task and return it as it reached each site."""
    strategy.journal.clear()
    opened(strategy.journal, "update" if kind == "train" else "evaluation")
    arrays, config = task_content(a_task(strategy.study))
    configure = strategy.configure_train if kind == "train" else strategy.configure_evaluate
    messages = list(configure(3, arrays, config, grid))
    for number, message in enumerate(messages):
        message.metadata.__dict__["_message_id"] = str(number)
    return messages


def answers(strategy: FederatedAveraging, grid: Grid, kind: str = "train") -> list[Message]:
    return [honest(strategy.asked.sites[m.metadata.dst_node_id], m)[0] for m in ask(strategy, grid, kind)]


def test_only_expected_sites_are_asked_whoever_else_is_connected() -> None:
    strategy = a_strategy()
    ask(strategy, a_grid(honest, ("site-b", "stranger", "", "site-a")))
    assert sorted(strategy.asked.sites.values()) == ["site-a", "site-b"]


def test_a_name_that_two_nodes_carry_is_nobodys() -> None:
    grid = a_grid(honest, ("site-a", "site-b"))
    nodes = grid.get_nodes()
    nodes[1].name = "site-a"
    grid.get_nodes = lambda: nodes  # type: ignore[method-assign]
    assert a_strategy().online(grid) == {}


def test_a_task_names_its_round_and_expires_when_the_round_closes() -> None:
    (message, *_) = ask(a_strategy(deadline_s=60, grace_s=30), a_grid(honest))
    assert (message.metadata.ttl, message.metadata.group_id, message.metadata.message_type) == (90, "3", "train")


def test_the_average_weighs_each_site_by_its_cases() -> None:
    strategy = a_strategy()
    averaged, pooled = strategy.aggregate_train(3, answers(strategy, a_grid(honest)))
    # (10 * 1 + 20 * 2 + 30 * 6) / 60
    assert averaged is not None
    assert pooled is not None
    np.testing.assert_allclose(averaged["weights"].numpy(), np.full(4, 230 / 60), rtol=1e-7)
    assert pooled["cases"] == 12.0


def test_an_answer_keeps_no_weights_in_memory_and_none_are_left_of_an_earlier_round() -> None:
    strategy, grid = a_strategy(), a_grid(honest)
    for number in (1, 2):
        arrived = answers(strategy, grid)
        assert not list(strategy.journal), number
        assert all(strategy.may_count(reply) for reply in arrived)
        assert not any(reply.content.array_records for reply in arrived)
        sent = {sha256_of(np.full(4, step, np.float32)) for step in STEPS.values()}
        assert {path.stem for path in Path("objects").glob("*.npy")} == sent
    strategy.aggregate_train(3, arrived)
    assert all(update.weights.size == 0 for update in strategy.outcome.updates.values())
    assert strategy.outcome.hashes["site-b"] == sha256_of(np.full(4, 2, np.float32))
    np.testing.assert_array_equal(strategy.journal["site-b"].weights, np.full(4, 2, np.float32))


def test_below_the_quorum_there_is_no_average() -> None:
    strategy = a_strategy(quorum=3)
    assert strategy.aggregate_train(3, answers(strategy, a_grid(honest))[:2]) == (None, None)
    assert sorted(strategy.outcome.updates) == ["site-a", "site-b"]


def test_evaluations_are_pooled() -> None:
    strategy = a_strategy()
    pooled = strategy.aggregate_evaluate(3, answers(strategy, a_grid(honest), "evaluate"))
    assert pooled is not None
    assert (pooled["cases"], pooled["loss"]) == (12.0, 12.0)
    assert strategy.aggregate_evaluate(3, answers(strategy, a_grid(honest, ("site-a",)), "evaluate")) is None


def broken_answers() -> list[tuple[str, Any, str]]:
    """Return ways in which a site's answer to round 3 can be wrong, as the content it would send."""
    good = update_records(an_update("site-a", 3, INITIAL))
    nan = np.array([0, np.nan, 0, 0], np.float32)

    def with_array(array: Array) -> RecordDict:
        content = content_of(good)
        content["arrays"] = ArrayRecord({"weights": array})
        return content

    extra_record = content_of(good)
    extra_record["more"] = MetricRecord({"age": 44})
    text_list = content_of(good)
    text_list["config"] = ConfigRecord({**good.config, "site": ["Jane Doe"]})
    pickled = Array("float32", (4,), "numpy.ndarray", b"\x80\x04K\x01.")
    torn = Array("float32", (4,), "numpy.ndarray", Array(INITIAL).data[:-3])
    other_kind = Array("float32", (4,), "torch.tensor", Array(INITIAL).data)
    archive = BytesIO()
    np.savez(archive, weights=INITIAL)

    def with_header(header: bytes) -> RecordDict:
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 16
        return with_array(Array("float32", (4,), "numpy.ndarray", data))

    def with_data(data: bytes) -> RecordDict:
        return with_array(Array("float32", (4,), "numpy.ndarray", data))

    objects = Array("object", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'shape': (1,)}")
    return [
        ("NaN", content_of(replace(good, arrays={"weights": nan})), "NaN"),
        ("shape", content_of(replace(good, arrays={"weights": np.zeros(5, np.float32)})), "shape"),
        ("another array", content_of(replace(good, arrays={"more": INITIAL})), "weights"),
        ("metric", content_of(replace(good, metrics={**good.metrics, "training.age": 44.0})), "not agreed"),
        ("site", content_of(replace(good, config={**good.config, "site": "site-b"})), "another site"),
        ("stale", content_of(replace(good, config={**good.config, "round": 2})), "round 2 instead of 3"),
        ("record", extra_record, "records that were not agreed"),
        ("list", text_list, "more than text and numbers"),
        ("nothing", RecordDict(), "protocol"),
        ("torn archive", with_data(b"PK\x03\x04 and no more"), "numpy's format"),
        ("archive", with_data(archive.getvalue()), "numpy's format"),
        ("unclosed header", with_header(b"{'descr': '<f4', (("), "cannot be read"),
        ("deep header", with_header(b"-" * 3000 + b"1"), "cannot be read"),
        ("huge", with_data(Array(np.zeros(2000, np.float32)).data), "larger than the study's model"),
        ("pickle", with_array(pickled), "numpy's format"),
        ("torn", with_array(torn), "cannot be read"),
        ("kind", with_array(other_kind), "numpy's format"),
        ("objects", with_array(objects), "cannot be read"),
        ("evaluation", content_of(evaluation_records(Evaluation("site-a", 3, validation_counts(), RECEIPT))), "lacks"),
    ]


@pytest.mark.parametrize(("content", "reason"), [pytest.param(c, r, id=name) for name, c, r in broken_answers()])
def test_a_broken_update_is_rejected_with_its_reason_and_the_others_count(content: RecordDict, reason: str) -> None:
    strategy = a_strategy()
    first, *others = ask(strategy, a_grid(honest))
    replies = [Message(content, reply_to=first), *(honest(s, m)[0] for s, m in zip(SITES[1:], others, strict=True))]
    assert not strategy.may_count(replies[0])
    averaged, _ = strategy.aggregate_train(3, replies)
    assert list(strategy.outcome.rejected) == ["site-a"]
    assert reason in strategy.outcome.rejected["site-a"]
    assert "Jane" not in str(strategy.outcome.rejected)
    # (20 * 2 + 30 * 6) / 50
    assert averaged is not None
    np.testing.assert_allclose(averaged["weights"].numpy(), np.full(4, 4.4), rtol=1e-7)


def test_an_answer_is_decoded_and_checked_once_in_each_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, checked = a_strategy(), []
    check = strategies.check_update
    monkeypatch.setattr(
        strategies, "check_update", lambda update, **how: (checked.append(update.site), check(update, **how))
    )
    for _ in range(2):
        arrived = answers(strategy, a_grid(honest))
        assert all(strategy.may_count(reply) for reply in arrived)
        strategy.aggregate_train(3, arrived)
    assert checked == [*SITES, *SITES]


def test_an_update_is_no_answer_to_an_evaluation() -> None:
    strategy = a_strategy()
    task = ask(strategy, a_grid(honest), "evaluate")[0]
    update = update_records(an_update("site-a", 3, INITIAL))
    changed = replace(update, metrics={"validation.loss": 1.0})
    with pytest.raises(UpdateRejected):
        strategy.read(reply(changed, task))


def test_counts_are_pooled_in_the_order_of_names() -> None:
    arrived = {"b": {"loss": 0.2}, "c": {"loss": 0.3}, "a": {"loss": 0.1}}
    assert pooled_counts(arrived) == {"loss": 0.1 + 0.2 + 0.3}
    assert 0.2 + 0.3 + 0.1 != 0.1 + 0.2 + 0.3


def test_integer_metrics_arrive_as_floats() -> None:
    content = RecordDict({"metrics": MetricRecord({"cases": 3, "scores": [1, 2]})})
    assert records_of(content, 4).metrics == {"cases": 3.0, "scores": [1.0, 2.0]}
