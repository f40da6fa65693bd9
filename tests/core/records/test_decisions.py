"""What is decided and wished of model versions, on every database: the row and its event, or neither."""

import json

import pytest
from sqlalchemy import Engine

from core.errors import FederationError
from core.records import audit, runs
from core.records.db import reading, transaction
from core.records.decisions import decide_version, refuse_wish, state_of, wish_version, wished_versions
from core.records.tables import Version

NAME = "0001-s-ffffffff"
SHA = "f" * 64


@pytest.fixture
def records(engine: Engine) -> Engine:
    runs.create_run(engine, run="r", study="s", folder="/r", sites=["north"], actor="coordinator", state="running")
    runs.register_version(engine, "r", name=NAME, weights_sha256=SHA)
    return engine


def row(records: Engine) -> Version:
    with reading(records) as session:
        return session.get_one(Version, NAME)


def told(records: Engine, kind: str = "version.") -> list[tuple[str, str, dict]]:
    """Actor, action and body of each event of versions, but that of the registration."""
    with reading(records) as session:
        found = [(event.actor, event.action, json.loads(event.body)) for event in audit.events(session)]
    return [one for one in found if one[1].startswith(kind) and one[1] != "version.registered"]


def test_a_decision_changes_the_row_and_the_log_together(records: Engine) -> None:
    assert state_of(records, NAME) == "candidate"
    decide_version(records, NAME, "approved", actor="coordinator")
    assert (state_of(records, NAME), row(records).decided_at is None) == ("approved", False)
    assert told(records) == [("coordinator", "version.approved", {"version": NAME, "weights_sha256": SHA})]


def test_a_wish_waits_in_the_row_under_the_name_of_who_wished(records: Engine) -> None:
    assert wished_versions(records) == []
    wish_version(records, NAME, "approve", actor="ada")
    (wished,) = wished_versions(records)
    assert (wished.name, wished.wish, wished.wished_by, wished.state) == (NAME, "approve", "ada", "candidate")
    assert told(records) == [("ada", "version.approve-asked", {"version": NAME, "weights_sha256": SHA})]


def test_the_same_wish_again_changes_nothing(records: Engine) -> None:
    wish_version(records, NAME, "approve", actor="ada")
    wish_version(records, NAME, "approve", actor="bob")
    assert row(records).wished_by == "ada"
    assert len(told(records)) == 1


def test_a_decision_settles_what_was_wished_and_names_who_wished(records: Engine) -> None:
    wish_version(records, NAME, "approve", actor="ada")
    decide_version(records, NAME, "approved", actor="service", wished_by="ada")
    assert wished_versions(records) == []
    assert row(records).wished_by is None
    actor, action, body = told(records)[-1]
    assert (actor, action, body["wished_by"]) == ("service", "version.approved", "ada")


def test_a_wish_that_cannot_be_done_ends_with_its_cause_in_row_and_log(records: Engine) -> None:
    wish_version(records, NAME, "approve", actor="ada")
    refuse_wish(records, NAME, "Its weights are torn. " + "x" * 600, actor="service")
    assert wished_versions(records) == []
    after = row(records)
    assert (after.state, after.wish, after.wished_by, len(after.cause or "")) == ("candidate", None, None, 500)
    actor, action, body = told(records)[-1]
    assert (actor, action, body["wished_by"]) == ("service", "version.approve-refused", "ada")
    assert body["cause"].startswith("Its weights are torn. ")
    wish_version(records, NAME, "approve", actor="bob")
    assert (row(records).cause, row(records).wish) == (None, "approve"), "it can be wished again"


def test_a_wish_that_was_settled_meanwhile_is_not_refused(records: Engine) -> None:
    decide_version(records, NAME, "approved", actor="coordinator")
    refuse_wish(records, NAME, "too late", actor="service")
    assert (row(records).state, row(records).cause) == ("approved", None)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [("candidate", "retire"), ("approved", "approve"), ("retired", "approve"), ("retired", "retire")],
)
def test_only_candidates_are_approved_and_only_approved_ones_retired(records: Engine, state: str, wanted: str) -> None:
    with transaction(records) as session:
        session.get_one(Version, NAME).state = state
    with pytest.raises(FederationError, match=f"is {state} and cannot become"):
        wish_version(records, NAME, wanted, actor="ada")
    assert told(records) == []


def test_an_unknown_version_is_named(records: Engine) -> None:
    for call in (
        lambda: wish_version(records, "0002-s-00000000", "approve", actor="ada"),
        lambda: decide_version(records, "0002-s-00000000", "approved", actor="ada"),
        lambda: refuse_wish(records, "0002-s-00000000", "x", actor="ada"),
        lambda: state_of(records, "0002-s-00000000"),
    ):
        with pytest.raises(FederationError, match="no model version 0002-s-00000000"):
            call()
