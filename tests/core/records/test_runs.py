from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.clock import now
from core.errors import FederationError
from core.records import audit, runs
from core.records.db import open_database, reading, transaction
from core.records.tables import Offer, Run, Site


@pytest.fixture
def records(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'records.db'}")


def a_run(records: Engine, state: str = "offered", run: str = "r", sites: tuple[str, ...] = ("north", "south")) -> None:
    runs.create_run(records, run=run, study="s", folder="/runs/r", sites=[*sites], actor="coordinator", state=state)


def offer(records: Engine, sites: list[str], sha: str = "a" * 64) -> None:
    runs.offer_study(
        records, study="s", toml='name = "s"', bundle=b"fab", bundle_sha256=sha, sites=sites, actor="coordinator"
    )


def answer(records: Engine, site: str, state: str) -> None:
    with transaction(records) as session:
        session.get_one(Offer, ("s", site)).state = state


def enrolled(records: Engine, site: str, state: str = "enrolled") -> None:
    with transaction(records) as session:
        session.add(Site(name=site, state=state, invited_at=now()))


def actions(records: Engine) -> list[str]:
    with reading(records) as session:
        return [event.action for event in audit.events(session)]


def test_every_change_of_a_run_is_an_event_of_the_same_transaction(records: Engine) -> None:
    a_run(records)
    runs.move_run(records, "r", "starting", actor="service")
    runs.move_run(records, "r", "running", actor="server-app", process="7:9")
    runs.move_run(records, "r", "paused", actor="server-app", cause="below quorum")
    row = runs.run_of(records, "r")
    assert (row.state, row.cause, row.process) == ("paused", "below quorum", "7:9")
    assert actions(records) == ["run.offered", "run.starting", "run.running", "run.paused"]


def test_a_run_that_is_entered_twice_is_entered_once(records: Engine) -> None:
    a_run(records)
    runs.move_run(records, "r", "starting", actor="service")
    a_run(records)
    assert runs.run_of(records, "r").state == "starting"
    assert actions(records) == ["run.offered", "run.starting"]


@pytest.mark.parametrize(
    ("state", "next_state"), [("offered", "running"), ("finished", "starting"), ("paused", "running")]
)
def test_a_run_may_not_skip_a_state_and_nothing_is_written(records: Engine, state: str, next_state: str) -> None:
    a_run(records, state)
    with pytest.raises(FederationError, match=f"is {state} and cannot become {next_state}"):
        runs.move_run(records, "r", next_state, actor="service")
    assert runs.run_of(records, "r").state == state
    assert actions(records) == [f"run.{state}"]


def test_every_state_that_may_follow_is_a_state() -> None:
    assert set().union(*runs.MAY_BECOME.values()) <= set(runs.MAY_BECOME)


def test_a_wish_is_kept_until_the_run_changes(records: Engine) -> None:
    a_run(records, "running")
    runs.wish(records, "r", "stop", actor="coordinator")
    assert runs.run_of(records, "r").wish == "stop"
    runs.move_run(records, "r", "stopped", actor="service")
    assert runs.run_of(records, "r").wish is None
    assert actions(records) == ["run.running", "run.stop-asked", "run.stopped"]


def test_a_finished_run_can_be_neither_stopped_nor_resumed(records: Engine) -> None:
    a_run(records, "finished")
    for wanted in ("stop", "resume"):
        with pytest.raises(FederationError, match=f"cannot {wanted}"):
            runs.wish(records, "r", wanted, actor="coordinator")


def test_an_unknown_run_is_named(records: Engine) -> None:
    with pytest.raises(FederationError, match="no run x"):
        runs.run_of(records, "x")


def test_a_study_is_offered_once_a_site_and_later_to_others(records: Engine) -> None:
    offer(records, ["north"])
    answer(records, "north", "approved")
    offer(records, ["north", "south"])
    assert {site: one.state for site, one in runs.answers_of(records, "s").items()} == {
        "north": "approved",
        "south": "pending",
    }
    assert actions(records) == ["study.offered", "study.offered"]


def test_a_changed_study_of_the_same_name_is_refused(records: Engine) -> None:
    offer(records, ["north"])
    with pytest.raises(FederationError, match="Another study named s"):
        offer(records, ["south"], "b" * 64)
    assert list(runs.answers_of(records, "s")) == ["north"]


def test_only_enrolled_sites_that_approved_take_part(records: Engine) -> None:
    sites = ("away", "east", "north", "south", "west")
    a_run(records, sites=sites)
    offer(records, [*sites])
    for site, state in (("away", "left"), ("east", "suspended"), ("north", "enrolled"), ("south", "enrolled")):
        enrolled(records, site, state)
    enrolled(records, "west")
    for site in ("away", "east", "north"):
        answer(records, site, "approved")
    answer(records, "west", "refused")
    assert runs.taking_part(records, runs.run_of(records, "r")) == ("north",)


def test_in_a_simulation_all_sites_take_part(records: Engine) -> None:
    a_run(records)
    assert runs.taking_part(records, runs.run_of(records, "r")) == ("north", "south")


def test_a_version_is_registered_once_and_ends_its_run(records: Engine) -> None:
    a_run(records, "running")
    for _ in range(2):
        runs.register_version(records, "r", name="0001-s-abcd", weights_sha256="f" * 64)
    row = runs.run_of(records, "r")
    assert (row.state, row.version) == ("finished", "0001-s-abcd")
    assert [(one.name, one.state) for one in runs.versions(records)] == [("0001-s-abcd", "candidate")]
    assert actions(records) == ["run.running", "version.registered", "run.finished"]


def test_runs_are_listed_by_state(records: Engine) -> None:
    a_run(records, "paused", "one")
    a_run(records, "running", "two")
    assert [run.id for run in runs.runs_in(records, "running")] == ["two"]
    assert sorted(run.id for run in runs.runs_in(records)) == ["one", "two"]
    assert isinstance(runs.runs_in(records)[0], Run)
