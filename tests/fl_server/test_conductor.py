import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w
from sqlalchemy import Engine

from core.clock import after
from core.errors import FederationError, RecordsError
from core.processes import this_process
from core.records import runs
from core.records.db import open_database, transaction
from core.records.tables import Offer, Run
from core.study import FederationSettings, Study
from fl_server import conductor as module
from fl_server.conductor import MOST_STARTS, REFUSED_S, START_S, Conductor

SITES = ["east", "north", "south"]
GONE = "1:0"


@dataclass
class Flower:
    """Stands where Flower's runs are started, and writes down what it was asked."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    broken: bool = False

    def start(self, folder: Path, run: str) -> str:
        if self.broken:
            raise FederationError("The SuperLink does not answer", fix="start it")
        self.started.append(f"{folder.name} {run}")
        return str(100 + len(self.started))

    def stop(self, flower_run: str) -> None:
        self.stopped.append(flower_run)
        raise FederationError("It has ended", fix="nothing")


@pytest.fixture
def records(tmp_path: Path) -> Engine:
    records = open_database(f"sqlite:///{tmp_path / 'records.db'}")
    study = Study(name="s", federation=FederationSettings(quorum=2))
    runs.offer_study(
        records, study="s", toml=tomli_w.dumps(study.model_dump(mode="json")), bundle=b"fab", bundle_sha256="a" * 64,
        sites=SITES, actor="coordinator",
    )  # fmt: skip
    runs.create_run(records, run="r", study="s", folder=str(tmp_path / "r"), sites=SITES, actor="coordinator")
    return records


@pytest.fixture
def flower() -> Flower:
    return Flower()


@pytest.fixture
def conductor(records: Engine, flower: Flower, tmp_path: Path) -> Conductor:
    return Conductor(records, tmp_path / "studies", flower.start, flower.stop)


def answer(records: Engine, site: str, state: str) -> None:
    with transaction(records) as session:
        session.get_one(Offer, ("s", site)).state = state


def put(records: Engine, **values: str) -> None:
    with transaction(records) as session:
        row = session.get_one(Run, "r")
        for name, value in values.items():
            setattr(row, name, value)


def test_a_run_starts_when_its_quorum_has_approved_and_not_before(records, flower, conductor) -> None:
    for site, state in (("north", "approved"), ("east", "refused")):
        answer(records, site, state)
        conductor.look()
    assert flower.started == []
    answer(records, "south", "approved")
    conductor.look()
    conductor.look()
    row = runs.run_of(records, "r")
    assert flower.started == ["s r"]
    assert (row.state, row.flower_run, row.cause) == ("starting", "101", "its quorum has approved")


def test_a_run_whose_process_died_is_started_again_and_flowers_old_run_is_ended(records, flower, conductor) -> None:
    put(records, state="running", process=GONE, flower_run="7")
    conductor.look()
    assert (flower.started, flower.stopped) == (["s r"], ["7"])
    assert runs.run_of(records, "r").process == ""


def test_a_run_whose_process_lives_is_left_alone(records, flower, conductor) -> None:
    put(records, state="running", process=this_process(), flower_run="7")
    conductor.look()
    assert (flower.started, flower.stopped) == ([], [])


def test_a_run_that_does_not_come_up_is_started_again(records, flower, conductor) -> None:
    put(records, state="starting", flower_run="7")
    conductor.look()
    assert flower.started == []
    put(records, changed_at=after(-START_S - 1))
    conductor.look()
    assert flower.started == ["s r"]


def test_a_run_that_keeps_dying_without_a_round_fails_with_its_cause(records, flower, conductor, tmp_path) -> None:
    for _ in range(MOST_STARTS):
        put(records, state="running", process=GONE)
        conductor.look()
    row = runs.run_of(records, "r")
    assert len(flower.started) == MOST_STARTS - 1
    assert (row.state, row.cause) == (
        "failed",
        f"its process ended {MOST_STARTS} times in a row without a round between",
    )
    runs.wish(records, "r", "resume", actor="coordinator")
    conductor.look()
    assert len(flower.started) == MOST_STARTS


def test_while_the_database_takes_nothing_no_look_is_a_start(records, flower, conductor, monkeypatch) -> None:
    put(records, state="running", process=GONE)
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise RecordsError("The database cannot be used (SQLITE_FULL)", fix="make room")

        patch.setattr(module, "move_run", full)
        for _ in range(2 * MOST_STARTS):
            with pytest.raises(RecordsError):
                conductor.look()
    conductor.look()
    assert flower.started == ["s r"]
    assert runs.run_of(records, "r").state == "starting"


def test_a_round_between_two_deaths_is_progress(records, flower, conductor, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    for number in range(2 * MOST_STARTS):
        (tmp_path / "r" / f"try-{number:04d}.json").touch()
        put(records, state="running", process=GONE)
        conductor.look()
    assert len(flower.started) == 2 * MOST_STARTS


def test_a_wish_to_stop_is_recorded_before_flower_is_asked(records, flower, conductor) -> None:
    put(records, state="running", process=this_process(), flower_run="7")
    runs.wish(records, "r", "stop", actor="coordinator")
    seen = []
    conductor.stop = lambda _: seen.append(runs.run_of(records, "r").state)
    conductor.look()
    assert seen == ["stopped"]
    runs.wish(records, "r", "resume", actor="coordinator")
    conductor.look()
    assert flower.started == ["s r"]


def test_one_run_that_cannot_be_started_keeps_no_other_from_it(records, flower, conductor, tmp_path: Path) -> None:
    runs.create_run(records, run="lost", study="none", folder=str(tmp_path), sites=SITES, actor="coordinator")
    put(records, state="running", process=GONE)
    conductor.look()
    assert flower.started == ["s r"]
    flower.broken = True
    put(records, state="running", process=f"{os.getpid()}:0")
    conductor.look()
    assert runs.run_of(records, "r").state == "starting"


def test_a_superlink_that_could_not_start_a_run_is_asked_again_soon_and_its_failures_are_not_the_runs(
    records, flower, conductor
) -> None:
    put(records, state="running", process=GONE, flower_run="1")
    flower.broken = True
    for _ in range(2 * MOST_STARTS):
        conductor.look()
        put(records, changed_at=after(-REFUSED_S - 1))
    assert runs.run_of(records, "r").state == "starting"
    flower.broken = False
    conductor.look()
    assert flower.started == ["s r"]
    assert runs.run_of(records, "r").flower_run == "101"


def test_a_superlink_that_could_not_start_a_run_is_not_asked_on_and_on(records, flower, conductor) -> None:
    put(records, state="running", process=GONE, flower_run="1")
    flower.broken = True
    conductor.look()
    flower.broken = False
    conductor.look()
    assert not flower.started
