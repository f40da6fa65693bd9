import json
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from core.clock import now
from core.records import audit, rounds, runs
from core.records.db import reading
from core.records.rounds import Arrival, Question
from core.records.tables import Round

QUESTION = Question("r", 1, "update", "1" * 64)
NORTH = Arrival("north", "2" * 64, "3" * 64, 1000, "4" * 64)
SOUTH = replace(NORTH, site="south", weights_sha256="5" * 64)


@pytest.fixture
def records(engine: Engine) -> Engine:
    for run in ("r", "other"):
        runs.create_run(engine, run=run, study="s", folder="/r", sites=["north"], actor="coordinator", state="running")
    return engine


def bodies(records: Engine, action: str) -> list[dict[str, object]]:
    with reading(records) as session:
        return [json.loads(event.body) for event in audit.events(session, action=action)]


def open_round(records: Engine, question: Question = QUESTION) -> str:
    return rounds.open_round(records, question, sites=2, strategy="fedavg", seed=7)


def close_round(records: Engine, run: str = "r", number_of_try: int = 1) -> None:
    row = Round(
        run=run, number_of_try=number_of_try, round=1, counted=True, sites=["north"], left_out={"south": "away"},
        loss=0.5, auc=None, seconds=1.5, closed_at=now(),
    )  # fmt: skip
    rounds.close_round(
        records, row, weights={"north": "d" * 64}, receipts={"north": "e" * 64}, aggregate="f" * 64, strategy="fedavg"
    )


def test_a_try_is_kept_once_with_what_each_side_cites_and_what_it_came_to(records: Engine) -> None:
    head = open_round(records)
    for _ in range(2):
        close_round(records)
    assert [(one.round, one.left_out) for one in rounds.rounds_of(records, "r")] == [(1, {"south": "away"})]
    with reading(records) as session:
        opened = audit.events(session, action="round.opened")[0]
        assert opened.hash == head
        assert audit.cites(session, head)
    (closed,) = bodies(records, "round.closed")
    assert (closed["receipts"], closed["weights"]) == ({"north": "e" * 64}, {"north": "d" * 64})
    assert (closed["aggregate_sha256"], closed["strategy"]) == ("f" * 64, "fedavg")


def test_a_round_says_what_it_asks_whom_and_how_it_will_average(records: Engine) -> None:
    open_round(records)
    rounds.ask_sites(records, QUESTION, ["north", "south"])
    asked = {"run": "r", "round": 1, "kind": "update", "incoming_sha256": "1" * 64}
    assert bodies(records, "round.opened") == [{**asked, "sites": 2, "strategy": "fedavg", "seed": 7}]
    assert bodies(records, "round.asked") == [{**asked, "sites": ["north", "south"]}]


def test_what_has_arrived_since_the_last_close_is_there_however_often_the_round_is_taken_up(records: Engine) -> None:
    open_round(records)
    rounds.note_arrival(records, QUESTION, SOUTH)
    open_round(records)
    rounds.note_arrival(records, QUESTION, NORTH)
    assert list(rounds.arrivals_of(records, QUESTION).items()) == [("north", NORTH), ("south", SOUTH)]
    close_round(records)
    assert not rounds.arrivals_of(records, QUESTION)
    rounds.note_arrival(records, QUESTION, SOUTH)
    assert rounds.arrivals_of(records, QUESTION) == {"south": SOUTH}


def test_a_sites_newest_answer_is_the_one_that_counts(records: Engine) -> None:
    for arrival in (NORTH, replace(NORTH, weights_sha256="9" * 64)):
        rounds.note_arrival(records, QUESTION, arrival)
    assert rounds.arrivals_of(records, QUESTION)["north"].weights_sha256 == "9" * 64


@pytest.mark.parametrize(
    "other", [{"run": "other"}, {"round": 2}, {"kind": "evaluation"}, {"incoming_sha256": "0" * 64}]
)
def test_an_answer_to_another_question_is_none_to_this_one(records: Engine, other: dict[str, object]) -> None:
    rounds.note_arrival(records, replace(QUESTION, **other), NORTH)  # type: ignore[arg-type]
    rounds.note_arrival(records, QUESTION, SOUTH)
    assert list(rounds.arrivals_of(records, QUESTION)) == ["south"]


def test_another_run_that_closes_its_round_changes_nothing_here(records: Engine) -> None:
    rounds.note_arrival(records, QUESTION, NORTH)
    for number in range(1, 130):
        rounds.ask_sites(records, QUESTION, ["south"]) if number % 2 else close_round(records, "other", number)
    assert list(rounds.arrivals_of(records, QUESTION)) == ["north"]
