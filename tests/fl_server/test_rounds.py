import json
import logging
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error, Message

from core.errors import FederationError
from core.messages import SITE_ERROR, update_records
from fl_server.checkpoints import RunState
from fl_server.exchange import IMPOSTOR, NO_ANSWER, NOT_CONNECTED
from fl_server.meanings import MEANINGS, meaning_of
from fl_server.rounds import Plan, run_rounds
from tests.fl_server.factories_answers import (
    INITIAL,
    MANIFEST,
    RECEIPTS,
    SITES,
    Answer,
    a_grid,
    a_journal,
    a_study,
    an_update,
    honest,
    reply,
)

SECRET = "/data/patient_007/flair.nii.gz"
# What one round of all three sites adds: (10 * 1 + 20 * 2 + 30 * 6) / 60.
STEP = 230 / 60


def a_plan(folder: Path, closed: Callable[[RunState], None] = lambda _: None) -> Plan:
    return Plan("glioma-1", folder, lambda: SITES, a_journal(folder), closed)


def run(folder: Path, answer: Answer, sites: tuple[str, ...] = SITES, **federation: float) -> RunState:
    return run_rounds(a_grid(answer, sites), a_study(**federation), MANIFEST, INITIAL, a_plan(folder))


def wrong_once(site: str, round_number: int, wrong: Answer) -> Answer:
    """Let one site do something else in one round."""

    def answer(asked: str, task: Message) -> list[Message]:
        return (wrong if (asked, task.metadata.group_id) == (site, str(round_number)) else honest)(asked, task)

    return answer


def crash(_site: str, task: Message) -> list[Message]:
    return [Message(Error(2, f"<class 'OSError'>:<'{SECRET}'>"), reply_to=task)]


def never(_site: str, _task: Message) -> list[Message]:
    return []


def spoil(site: str, task: Message) -> list[Message]:
    update = an_update(site, int(task.metadata.group_id), INITIAL)
    return [reply(update_records(replace(update, weights=np.full(4, np.nan, np.float32))), task)]


def test_rounds_follow_one_another_and_end_with_an_evaluation(tmp_path: Path) -> None:
    state = run(tmp_path, honest)
    assert [(record.round, record.counted, list(record.sites)) for record in state.history] == [
        (1, True, list(SITES)),
        (2, True, list(SITES)),
        (3, True, list(SITES)),
    ]
    np.testing.assert_allclose(state.weights, np.full(4, 2 * STEP), rtol=1e-6)
    assert state.history[0].sites["site-b"].examples == 20
    assert state.history[0].validation["cases"] == 12.0
    assert not state.history[2].sites["site-b"].training


@pytest.mark.parametrize(
    ("wrong", "where", "reason"),
    [
        (crash, "failed", "the site's app stopped with an error that it did not report itself (code 2)"),
        (never, "failed", NO_ANSWER),
        (spoil, "rejected", "The weights hold NaN or infinity"),
    ],
)
def test_one_site_that_fails_one_round_does_not_fail_the_run(tmp_path: Path, wrong: Answer, where, reason) -> None:
    state = run(tmp_path, wrong_once("site-c", 1, wrong))
    assert getattr(state.history[0], where) == {"site-c": reason}
    assert list(state.history[0].sites) == ["site-a", "site-b"]
    assert list(state.history[1].sites) == list(SITES)
    # (10 * 1 + 20 * 2) / 30 in round 1, all three in round 2.
    np.testing.assert_allclose(state.weights, np.full(4, 50 / 30 + STEP), rtol=1e-6)


def test_a_second_answer_and_one_to_an_earlier_round_are_left_aside(tmp_path: Path) -> None:
    kept: list[Message] = []

    def late_and_twice(site: str, task: Message) -> list[Message]:
        (answer,) = honest(site, task)
        if site != "site-a":
            return [answer, answer]
        late = list(kept)
        kept[:] = [answer]
        return late + ([] if task.metadata.group_id == "1" else [answer])

    state = run(tmp_path, late_and_twice)
    assert state.history[0].failed == {"site-a": NO_ANSWER}
    assert list(state.history[1].sites) == list(SITES)
    assert not state.history[1].rejected
    np.testing.assert_allclose(state.weights, np.full(4, (20 * 2 + 30 * 6) / 50 + STEP), rtol=1e-6)


def test_nobody_can_answer_in_anothers_place(tmp_path: Path) -> None:
    def impostor(site: str, task: Message) -> list[Message]:
        (answer,) = honest("site-b", task)
        answer.metadata.__dict__["_src_node_id"] = 3
        return [answer]

    state = run(tmp_path, wrong_once("site-a", 1, impostor))
    assert state.history[0].failed == {"site-a": IMPOSTOR}


def test_an_error_that_flower_reports_from_its_own_node_is_mapped_to_the_site(tmp_path: Path) -> None:
    def offline(_site: str, task: Message) -> list[Message]:
        answer = Message(Error(5, "Node unavailable"), reply_to=task)
        answer.metadata.__dict__["_src_node_id"] = 1
        return [answer]

    state = run(tmp_path, wrong_once("site-b", 2, offline))
    assert state.history[1].failed == {"site-b": "the site's node went offline (code 5)"}


def test_below_quorum_the_run_pauses_with_reasons_and_goes_on_with_the_weights_it_had(tmp_path: Path) -> None:
    def lonely(site: str, task: Message) -> list[Message]:
        return (honest if site == "site-a" or task.metadata.group_id == "1" else crash)(site, task)

    for _ in range(2):
        with pytest.raises(FederationError, match="Round 2 stayed below its quorum of 2") as paused:
            run(tmp_path, lonely)
        assert "site-b" in paused.value.problem
        assert "resume" in paused.value.fix
    tries = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("try-*"))]
    assert [(one["round"], one["counted"]) for one in tries] == [(1, True), (2, False), (2, False)]
    resumed = run(tmp_path, honest)
    np.testing.assert_array_equal(resumed.weights, run(tmp_path / "uninterrupted", honest).weights)
    assert [record.round for record in resumed.history] == [1, 2, 2, 2, 3]


def test_each_try_is_told_once_it_is_on_disk_and_no_update_outlives_it(tmp_path: Path) -> None:
    told = []

    def closed(state: RunState) -> None:
        number = len(state.history)
        told.append((state.history[-1].round, number, (tmp_path / f"try-{number:04d}.json").exists()))
        assert len(list((tmp_path / "objects").glob("*.json"))) == len(SITES), (
            "what one process tells, the next may need"
        )

    run_rounds(a_grid(honest), a_study(), MANIFEST, INITIAL, a_plan(tmp_path, closed))
    assert told == [(1, 1, True), (2, 2, True), (3, 3, True)]
    assert not list((tmp_path / "objects").iterdir())


def test_a_round_cites_each_sites_log_and_the_hash_of_what_it_sent(tmp_path: Path) -> None:
    state = run(tmp_path, honest)
    assert {site: brought.receipt for site, brought in state.history[0].sites.items()} == RECEIPTS
    sent = np.full(4, 2, np.float32)
    assert state.history[0].sites["site-b"].weights_sha256 == sha256(sent.tobytes()).hexdigest()
    assert state.history[2].sites["site-b"].weights_sha256 == ""


def test_a_site_that_is_not_connected_is_recorded_and_a_run_without_quorum_stops(tmp_path: Path) -> None:
    state = run(tmp_path / "two", honest, ("site-a", "site-b"))
    assert all(record.failed == {"site-c": NOT_CONNECTED} for record in state.history)
    with pytest.raises(FederationError, match="below its quorum"):
        run(tmp_path / "one", honest, ("site-a",))


def test_a_site_that_joins_the_study_later_takes_part_from_the_next_round(tmp_path: Path) -> None:
    joined = [SITES[:2], SITES, SITES]
    plan = replace(a_plan(tmp_path), sites=lambda: joined[min(2, len(list(tmp_path.glob("try-*"))))])
    state = run_rounds(a_grid(honest), a_study(), MANIFEST, INITIAL, plan)
    assert [list(record.sites) for record in state.history] == [["site-a", "site-b"], [*SITES], [*SITES]]
    assert not state.history[0].failed


def test_a_finished_run_asks_nobody_again(tmp_path: Path) -> None:
    first = run(tmp_path, honest)
    again = run(tmp_path, lambda *_: pytest.fail("a site was asked"))
    assert again.history == first.history


def test_neither_records_nor_logs_hold_a_sites_error_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run(tmp_path, wrong_once("site-c", 1, crash))
    assert "patient_007" not in caplog.text
    assert all(b"patient_007" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Error(8, SECRET), "the site's app stopped responding (code 8)"),
        (Error(77, SECRET), "an error without a known meaning (code 77)"),
        (Error(SITE_ERROR, SECRET), "an unexpected error at the site (code 100)"),
        (Error(SITE_ERROR + 6), "the site's cohort is not prepared for this study (code 106)"),
    ],
)
def test_an_errors_meaning_never_repeats_its_text(error: Error, said: str) -> None:
    assert meaning_of(error.code) == said
    assert all(meaning[0].islower() for meaning in MEANINGS.values())
